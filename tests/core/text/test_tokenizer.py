"""A folder's tokenizer gives the ids that the model was trained on, whoever wrote the folder."""

from __future__ import annotations

import json
import shutil

import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend

from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.pieces_as_json import backend_of
from tests.core.text.tokenizer_config import rewrite

KINDS = ("llama2", "llama3", "qwen2", "qwen2_merges")
TEXTS = [
    "",
    "a",
    " a",
    "  two blanks",
    "ends with a blank ",
    "\n",
    "\nstep",
    "a\n\n  b\t",
    "16 - 9 = 1234567",
    r"\frac{1}{2}$",
    "don't",
    "Шаг ки",
    "日本語。",
    "e\u0301",
    "\u00a0x",
    "🙂",
    "Step 1: 2 + 3 = 5. ки\nStep 2",
]
quick = settings(max_examples=40)
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="▁")


@pytest.fixture(params=KINDS)
def folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def copy(tmp_path):
    """A copy of a folder to change: copy(folder, key=value, ...) changes its tokenizer_config.json, ... takes out."""

    def changed(folder, **changes):
        target = tmp_path / "copy"
        shutil.copytree(folder, target)
        rewrite(target, **changes)
        return target

    return changed


def plain(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def rendered(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"]


def refusal(folder) -> str:
    with pytest.raises(ValueError, match="no tokenizer could be read") as error:
        load_tokenizer(str(folder))
    return str(error.value)


# ---- ids


@pytest.mark.parametrize("text", TEXTS)
def test_ids_of_byte_level_files_are_those_of_the_library_that_wrote_them(llama3, qwen2, qwen2_merges, text):
    start = Backend.from_file(str(llama3 / "tokenizer.json")).token_to_id("<|begin_of_text|>")
    expected = Backend.from_file(str(llama3 / "tokenizer.json")).encode(text).ids
    assert load_tokenizer(str(llama3))(text)["input_ids"] == expected and expected[0] == start
    expected = Backend.from_file(str(qwen2 / "tokenizer.json")).encode(text).ids
    for folder in (qwen2, qwen2_merges):
        assert load_tokenizer(str(folder))(text)["input_ids"] == expected


@pytest.mark.parametrize("name", ["tokenizer.model", "sentencepiece.bpe.model"])
def test_ids_of_a_sentencepiece_model_are_sentencepieces_own(llama2, copy, name):
    """Under the name that transformers gives it, and under PaddleNLP's."""
    folder = copy(llama2)
    (folder / "tokenizer.model").rename(folder / name)
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / name))
    tokenizer = load_tokenizer(str(folder))
    for text in TEXTS:
        assert tokenizer(text)["input_ids"] == [model.bos_id(), *model.encode(text)], text
    (folder / "tokenizer_config.json").unlink()  # as models are handed out by those who trained them
    assert load_tokenizer(str(folder))("a b")["input_ids"] == tokenizer("a b")["input_ids"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_tokenizer_json_of_the_same_pieces_gives_the_same_ids(llama2, copy, text):
    """Of the class LlamaTokenizerFast, whose start token is in the configuration and not in tokenizer.json."""
    folder = copy(llama2, tokenizer_class="LlamaTokenizerFast")
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    backend_of(model, blank_first=True, blank_later=True).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer.model").unlink()
    assert load_tokenizer(str(folder))(text)["input_ids"] == load_tokenizer(str(llama2))(text)["input_ids"]


@quick
@given(text=st.text(LETTERS, max_size=30) | st.lists(st.sampled_from(TEXTS), max_size=4).map("".join))
@example(text=" </s><|eot_id|>")
def test_vocab_and_merges_give_what_tokenizer_json_gives(qwen2, qwen2_merges, text):
    one, other = load_tokenizer(str(qwen2)), load_tokenizer(str(qwen2_merges))
    assert plain(one, text) == plain(other, text) and len(one) == len(other)


@pytest.mark.parametrize("text", TEXTS)
def test_text_without_a_tokenizer_json_is_divided_as_qwen_divides_it(qwen2, qwen2_merges, text):
    """Also where this small vocabulary has no piece that would show it: digits stand alone."""
    one, other = load_tokenizer(str(qwen2))._backend, load_tokenizer(str(qwen2_merges))._backend
    assert one.pre_tokenizer.pre_tokenize_str(text) == other.pre_tokenizer.pre_tokenize_str(text)


def test_what_a_folder_keeps_of_truncation_and_padding_cuts_nothing(qwen2, copy):
    folder = copy(qwen2)
    backend = Backend.from_file(str(folder / "tokenizer.json"))
    backend.enable_truncation(3)
    backend.enable_padding(length=50)
    backend.save(str(folder / "tokenizer.json"))
    text = "16 - 9 = 7 eggs are left."
    assert plain(load_tokenizer(str(folder)), text) == plain(load_tokenizer(str(qwen2)), text)


# ---- start token and special tokens


def test_the_start_token_is_what_configuration_and_class_say(llama2, llama3, qwen2, copy):
    """Llama's classes put it unless add_bos_token is false; others leave it to tokenizer.json."""
    for folder in (llama2, llama3):
        tokenizer = load_tokenizer(str(folder))
        assert tokenizer("a")["input_ids"] == [tokenizer.bos_token_id, *plain(tokenizer, "a")]
    assert load_tokenizer(str(qwen2)).bos_token_id is None
    assert load_tokenizer(str(qwen2))("a")["input_ids"] == plain(load_tokenizer(str(qwen2)), "a")
    without = load_tokenizer(str(copy(llama2, add_bos_token=False)))
    assert without("a")["input_ids"] == plain(without, "a")


def test_llamas_class_overrides_what_tokenizer_json_puts(llama3, copy):
    tokenizer = load_tokenizer(str(copy(llama3, tokenizer_class="LlamaTokenizerFast", add_eos_token=True)))
    assert tokenizer("a")["input_ids"] == [tokenizer.bos_token_id, *plain(tokenizer, "a"), tokenizer.eos_token_id]


def test_special_tokens_have_the_ids_of_the_folder(folder):
    tokenizer = load_tokenizer(str(folder))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert tokenizer.eos_token == config["eos_token"]
    assert tokenizer.convert_ids_to_tokens([tokenizer.eos_token_id]) == [config["eos_token"]]
    for number, token in config.get("added_tokens_decoder", {}).items():
        assert tokenizer.get_added_vocab()[token["content"]] == int(number)


def test_a_special_tokens_name_is_text_unless_it_is_rendered(folder):
    """A record cannot end itself or begin another turn."""
    tokenizer = load_tokenizer(str(folder))
    text = f"a{tokenizer.eos_token}b"
    assert tokenizer.eos_token_id not in plain(tokenizer, text)
    assert rendered(tokenizer, text).count(tokenizer.eos_token_id) == 1
    assert tokenizer.eos_token_id not in plain(tokenizer, text)  # what was rendered has left no trace


def test_an_added_token_that_is_not_special_is_one_in_any_text(qwen2, qwen2_merges):
    for folder in (qwen2, qwen2_merges):
        tokenizer = load_tokenizer(str(folder))
        assert plain(tokenizer, "a<think>b").count(tokenizer.get_added_vocab()["<think>"]) == 1


@pytest.mark.parametrize(("legacy", "blank"), [(..., True), (True, True), (False, False)])
def test_whether_a_blank_follows_a_special_token_is_as_the_configuration_says(llama2, copy, legacy, blank):
    """transformers gives SentencePiece the text behind a special token by itself, with a blank before it, unless legacy
    is false."""
    tokenizer = load_tokenizer(str(copy(llama2, legacy=legacy)))
    model = tokenizer.sp_model
    behind = model.encode("so") if blank else model.encode("\nso")[len(model.encode("\n")) :]
    assert rendered(tokenizer, "so</s>so") == [*model.encode("so"), model.eos_id(), *behind]


def test_tokens_listed_in_the_older_files_are_read(llama2, copy):
    folder = copy(llama2, bos_token=..., eos_token=...)
    size = len(load_tokenizer(str(llama2)))
    (folder / "added_tokens.json").write_text(json.dumps({"<|end|>": size, "<mark>": size + 1}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": {"content": "<|end|>"}}))
    tokenizer = load_tokenizer(str(folder))
    assert (tokenizer.eos_token_id, len(tokenizer)) == (size, size + 2)
    assert size + 1 in plain(tokenizer, "a<mark>b<|end|>") and size not in plain(tokenizer, "a<mark>b<|end|>")


def test_tokens_that_take_the_blanks_beside_them_do(llama2, copy):
    size = len(load_tokenizer(str(llama2)))
    taking = {"content": "<mark>", "lstrip": True, "rstrip": True, "special": True}
    tokenizer = load_tokenizer(str(copy(llama2, added_tokens_decoder={str(size): taking})))
    assert rendered(tokenizer, "so \n<mark>  so") == [*plain(tokenizer, "so"), size, *plain(tokenizer, "so")]


# ---- saving


def test_what_is_saved_gives_the_same_ids(folder, tmp_path):
    tokenizer = load_tokenizer(str(folder))
    tokenizer.save_pretrained(str(tmp_path))
    again = load_tokenizer(str(tmp_path))
    assert len(again) == len(tokenizer)
    for text in TEXTS:
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in folder.iterdir()} | {"tokenizer.json"}


def test_an_added_token_is_saved(folder, tmp_path):
    tokenizer = load_tokenizer(str(folder))
    size = len(tokenizer)
    assert tokenizer.add_special_token("<|step|>") == size and len(tokenizer) == size + 1
    tokenizer.save_pretrained(str(tmp_path / "one"))
    load_tokenizer(str(tmp_path / "one")).save_pretrained(str(tmp_path / "two"))
    again = load_tokenizer(str(tmp_path / "two"))
    assert len(again) == size + 1
    assert rendered(again, "so<|step|>\nso") == rendered(tokenizer, "so<|step|>\nso")
    assert rendered(again, "so<|step|>\nso").count(size) == 1
    # For programs that read this file alone.
    assert Backend.from_file(str(tmp_path / "two/tokenizer.json")).token_to_id("<|step|>") == size


def test_byte_level_pieces_can_be_turned_into_bytes(folder):
    tokenizer = load_tokenizer(str(folder))
    if tokenizer.byte_decoder is None:
        return
    pieces = tokenizer.convert_ids_to_tokens(plain(tokenizer, "日本 \n x"))
    assert bytes(tokenizer.byte_decoder[letter] for letter in "".join(pieces)).decode() == "日本 \n x"


# ---- refusals and names


def test_what_would_give_other_ids_is_refused(llama2, qwen2, qwen2_merges, tmp_path, copy):
    shutil.copytree(llama2, tmp_path / "a")
    tokens = (tmp_path / "a/tokenizer.model", b"IQ== 0\nIg== 1\n")
    tokens[0].write_bytes(tokens[1])
    assert "tiktoken" in refusal(tmp_path / "a") and "tokenizer.json" in refusal(tmp_path / "a")
    message = refusal(copy(llama2, tokenizer_class="XLMRobertaTokenizer"))
    assert "XLMRobertaTokenizer" in message and "tokenizer.json" in message


def test_vocab_and_merges_of_an_unknown_class_are_refused(qwen2_merges, copy):
    message = refusal(copy(qwen2_merges, tokenizer_class="GPT2Tokenizer"))
    assert "GPT2Tokenizer" in message and "tokenizer.json" in message


def test_an_added_token_with_the_id_of_another_piece_is_refused(llama2, qwen2, tmp_path):
    for number, folder in enumerate((llama2, qwen2)):
        shutil.copytree(folder, tmp_path / str(number))
        config = json.loads((folder / "tokenizer_config.json").read_text())
        config["added_tokens_decoder"] = {"7": {"content": "<|x|>", "special": True}}
        (tmp_path / str(number) / "tokenizer_config.json").write_text(json.dumps(config))
        assert "'<|x|>'" in refusal(tmp_path / str(number)) and "7" in refusal(tmp_path / str(number))


def test_a_start_token_that_has_no_name_is_refused(llama3, copy):
    message = refusal(copy(llama3, tokenizer_class="LlamaTokenizerFast", bos_token=None))
    assert "add_bos_token" in message and "bos_token" in message


def test_a_name_is_looked_up_by_paddlenlp(qwen2, monkeypatch):
    """What was downloaded lies in one folder; files that a model has not are None."""
    from paddlenlp.utils import download

    def resolve(name, file):
        assert name == "owner/name"
        return str(qwen2 / file) if (qwen2 / file).is_file() else None

    monkeypatch.setattr(download, "resolve_file_path", resolve)
    assert load_tokenizer("owner/name")("a b")["input_ids"] == load_tokenizer(str(qwen2))("a b")["input_ids"]
    monkeypatch.setattr(download, "resolve_file_path", lambda name, file: None)
    assert "'owner/name'" in refusal("owner/name")
