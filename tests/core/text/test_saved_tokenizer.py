"""What is saved gives the same ids to every reader: this project, PaddleNLP's AutoTokenizer and transformers'.

transformers is no part of the pinned environment: its part is skipped unless it is installed.
"""

from __future__ import annotations

import io
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import Tokenizer as Backend
from tokenizers import pre_tokenizers

from llm.core.records.reward_records import Record
from llm.core.text.encoding import StepEncoder
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.pieces_as_json import backend_of
from llm.core.text.reward_tokens import add_placeholder, find_reward_tokens
from tests.core.text.tokenizer_config import rewrite

PLACEHOLDER = "<|step|>"
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
    "Шаг ки",
    "日本語の手順。",
    "e\u0301 \u00a0x",
    "🙂 naïve",
    "<0x0A> <unk>",
    "so</s>so </s> so",
    "<s>so<s> so",
    "a<|eot_id|>\n\nb <|im_end|> c<think> d",
    f"so {PLACEHOLDER}\nso {PLACEHOLDER}",
    f"so{PLACEHOLDER}so{PLACEHOLDER}{PLACEHOLDER}\n",
    f"{PLACEHOLDER}so</s>{PLACEHOLDER} so",
    f" {PLACEHOLDER}</s> {PLACEHOLDER}",
]


def pieces_without_config(folder: Path) -> None:
    (folder / "tokenizer.model").rename(folder / "sentencepiece.bpe.model")
    (folder / "tokenizer_config.json").unlink()


def pieces_of_paddlenlp(folder: Path) -> None:
    from paddlenlp.transformers import LlamaTokenizer

    tokenizer = LlamaTokenizer(str(folder / "tokenizer.model"))
    tokenizer.save_pretrained(str(folder))
    (folder / "tokenizer.model").unlink()


def merges_of_paddlenlp(folder: Path) -> None:
    from paddlenlp.transformers import Qwen2Tokenizer

    Qwen2Tokenizer.from_pretrained(str(folder)).save_pretrained(str(folder))


def pieces_and_json(folder: Path) -> None:
    """As the folders of Llama 2 and Mistral are."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    backend_of(model, blank_first=True, blank_later=True).save(str(folder / "tokenizer.json"))


def tokens_in_older_files(folder: Path) -> None:
    size = len(load_tokenizer(str(folder)))
    (folder / "added_tokens.json").write_text(json.dumps({"<think>": size, "<|eot_id|>": size + 1}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": ["<|eot_id|>"]}))


# name -> (fixture, what is changed in its folder, model_type)
FOLDERS = {
    "tokenizer.model": ("llama2", lambda folder: None, "llama"),
    "tokenizer.model, newer": ("llama2", lambda folder: rewrite(folder, legacy=False), "llama"),
    "tokenizer.model, no blank first": ("llama2", lambda folder: rewrite(folder, add_prefix_space=False), "mistral"),
    "tokenizer.model, ends": ("llama2", lambda f: rewrite(f, add_bos_token=False, add_eos_token=True), "llama"),
    "tokenizer.model and json": ("llama2", pieces_and_json, "mistral"),
    "sentencepiece.bpe.model": ("llama2", pieces_without_config, "llama"),
    "older files": ("llama2", tokens_in_older_files, "llama"),
    "PaddleNLP's LlamaTokenizer": ("llama2", pieces_of_paddlenlp, "llama"),
    "Llama 3": ("llama3", lambda folder: None, "llama"),
    "Llama 3, Llama's class": ("llama3", lambda f: rewrite(f, tokenizer_class="LlamaTokenizer", legacy=True), "llama"),
    "Llama 3, transformers 5": (
        "llama3",
        lambda f: rewrite(f, tokenizer_class="TokenizersBackend", extra_special_tokens=["<|eot_id|>"]),
        "llama",
    ),
    "Qwen2": ("qwen2", lambda folder: None, "qwen2"),
    "vocab and merges": ("qwen2_merges", lambda folder: None, "qwen2"),
    "PaddleNLP's Qwen2Tokenizer": ("qwen2_merges", merges_of_paddlenlp, "qwen2"),
}


@pytest.fixture(scope="module", params=[True, False], ids=["placeholder added", "as it was"])
def is_added(request):
    return request.param


@pytest.fixture(scope="module", params=FOLDERS)
def saved(request, is_added, tmp_path_factory):
    """(folder, the tokenizer that was saved there)"""
    source, change, model_type = FOLDERS[request.param]
    base, folder = tmp_path_factory.mktemp("base") / "model", tmp_path_factory.mktemp("saved") / "model"
    shutil.copytree(request.getfixturevalue(source), base)
    change(base)
    tokenizer = load_tokenizer(str(base))
    if is_added:
        add_placeholder(tokenizer, PLACEHOLDER)
    tokenizer.save_pretrained(str(folder))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder, tokenizer


def ids_here(tokenizer, text: str) -> list[int]:
    return tokenizer(text, split_special_tokens=False)["input_ids"]


def ids_of_this_project(folder: Path):
    tokenizer = load_tokenizer(str(folder))
    return lambda text: ids_here(tokenizer, text)


def ids_of_paddlenlp(folder: Path):
    from paddlenlp.transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    return lambda text: tokenizer(text)["input_ids"]


def ids_of_transformers(folder: Path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    return lambda text: tokenizer(text)["input_ids"]


READERS = [
    ids_of_this_project,
    ids_of_paddlenlp,
    pytest.param(
        ids_of_transformers,
        marks=pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed"),
    ),
]


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_gives_the_ids_of_the_tokenizer_that_was_saved(saved, reader):
    folder, tokenizer = saved
    ids = reader(folder)
    assert {text: ids(text) for text in TEXTS} == {text: ids_here(tokenizer, text) for text in TEXTS}


@pytest.mark.parametrize("reader", READERS)
def test_with_an_added_placeholder_a_solutions_text_as_a_whole_has_the_ids_of_training(saved, is_added, reader):
    """As it is documented: a blank before every placeholder, a line break behind it. Training never tokenises them
    together."""
    if not is_added:
        return
    folder, tokenizer = saved
    question, steps = "What is 2 + 3?", ("2 + 3 = 5", "so: don't add.", "日本語")
    record = Record((question,), (), steps, (1.0,) * len(steps), "data.jsonl:1")
    tokens = find_reward_tokens(tokenizer, PLACEHOLDER, ("+", "-"))
    sequence = StepEncoder(tokenizer, tokens, 1000, 1000).encode(record)
    text = f"{question} " + "\n".join(f"{step} {PLACEHOLDER}" for step in steps)
    assert reader(folder)(text) == [*sequence.ids.tolist(), *tokenizer.suffix]


def test_a_sentencepiece_model_gives_the_ids_of_the_tokenizer_json_that_was_made_of_it(saved, tmp_path):
    """Whichever of the two a folder has lost."""
    folder, tokenizer = saved
    if "sentencepiece" not in json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")):
        return
    names = {"tokenizer.json", "tokenizer.model", "sentencepiece.bpe.model"} & {file.name for file in folder.iterdir()}
    for name in names:
        shutil.copytree(folder, tmp_path / name)
        for other in names - {name}:
            (tmp_path / name / other).unlink()
        ids = ids_of_this_project(tmp_path / name)
        assert {text: ids(text) for text in TEXTS} == {text: ids_here(tokenizer, text) for text in TEXTS}


def test_the_same_tokenizer_is_saved_as_the_same_bytes_again(saved, tmp_path):
    folder, _ = saved
    load_tokenizer(str(folder)).save_pretrained(str(tmp_path))
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (folder / file.name).read_bytes(), file.name


# ---- what no tokenizer.json can express


def train(folder: Path, texts: list[str], **settings) -> Path:
    """A folder of another kind of SentencePiece model, with nothing but the model."""
    model = io.BytesIO()
    defaults = {"model_type": "bpe", "byte_fallback": True, "vocab_size": 340, "minloglevel": 2}
    kept = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
    options = defaults | kept | settings
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_writer=model, **options)
    folder.mkdir()
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "unigram", "vocab_size": 285},
        {"normalization_rule_name": "nmt_nfkc"},
        {"remove_extra_whitespaces": True},
        {"user_defined_symbols": ["<sep>"]},
    ],
    ids=str,
)
def test_a_model_that_divides_text_in_other_ways_is_saved_as_it_is_and_said(tmp_path, settings):
    texts = ["Tom has 3 pens and buys 4 more pens.", "So he has 3 + 4 = 7 pens, that is seven pens.", "pens and hens"]
    tokenizer = load_tokenizer(str(train(tmp_path / "base", texts, **settings)))
    assert "PaddleNLP and transformers" in tokenizer.note_on_saving()
    tokenizer.add_special_token(PLACEHOLDER)
    tokenizer.save_pretrained(str(tmp_path / "out"))
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"tokenizer.model", "sentencepiece.bpe.model", "tokenizer_config.json"}
    for text in TEXTS:
        assert ids_here(load_tokenizer(str(tmp_path / "out")), text) == ids_here(tokenizer, text)
    assert ids_of_paddlenlp(tmp_path / "out")("Tom has pens") == ids_here(tokenizer, "Tom has pens")


def test_other_models_of_byte_pairs_are_saved_with_a_tokenizer_json(tmp_path):
    texts = ["Tom has 3 pens and buys 4 more pens.", "So he has 3 + 4 = 7 pens, that is seven pens.", "pens and hens"]
    for number, settings in enumerate(({"byte_fallback": False, "vocab_size": 60}, {"add_dummy_prefix": False})):
        tokenizer = load_tokenizer(str(train(tmp_path / f"base{number}", texts, **settings)))
        assert tokenizer.note_on_saving() is None
        tokenizer.save_pretrained(str(tmp_path / f"out{number}"))
        ids = ids_of_paddlenlp(tmp_path / f"out{number}")
        assert {text: ids(text) for text in TEXTS} == {text: ids_here(tokenizer, text) for text in TEXTS}


def test_a_blank_that_cannot_be_kept_away_is_said(llama2, tmp_path):
    """Of a tokenizer.json that begins every text between special tokens with a blank as it divides it."""
    shutil.copytree(llama2, tmp_path / "base")
    pieces_and_json(tmp_path / "base")
    backend = Backend.from_file(str(tmp_path / "base/tokenizer.json"))
    backend.normalizer = None
    backend.pre_tokenizer = pre_tokenizers.Metaspace("▁", "always", split=False)
    backend.save(str(tmp_path / "base/tokenizer.json"))
    line = add_placeholder(load_tokenizer(str(tmp_path / "base")), PLACEHOLDER)
    assert f"▁a {PLACEHOLDER} ▁ <0x0A> a" in line and "\n" not in line
    assert "as a whole" not in add_placeholder(load_tokenizer(str(llama2)), PLACEHOLDER)
