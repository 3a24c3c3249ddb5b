"""The placeholder and the reward tokens are single tokens, or it is said what they are and what to do."""

import pytest

from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.reward_tokens import add_placeholder, find_reward_tokens

SIGNS = ("+", "-")


@pytest.fixture(params=["llama2", "llama3", "qwen2", "qwen2_merges"])
def tokenizer(request):
    return load_tokenizer(str(request.getfixturevalue(request.param)))


def test_a_placeholder_of_several_tokens_is_refused_with_its_pieces_and_the_setting(tokenizer):
    with pytest.raises(ValueError) as error:
        find_reward_tokens(tokenizer, "Ωmega", ("+", "Ωk"))
    placeholder, reward = str(error.value).splitlines()
    pieces = tokenizer.convert_ids_to_tokens(tokenizer(" Ωmega", add_special_tokens=False)["input_ids"])
    assert pieces[-1] in placeholder and "add_placeholder_token: true" in placeholder
    assert "'Ωk'" in reward and "add_placeholder_token" not in reward  # no row of the head would stand for it yet


def test_a_long_text_is_not_shown_whole(tokenizer):
    with pytest.raises(ValueError, match=r"tokens of this tokenizer \(.* \.\.\.\)") as error:
        find_reward_tokens(tokenizer, "xyz" * 2000, SIGNS)
    assert len(str(error.value)) < 1000


def test_an_added_placeholder_is_found_by_its_id(tokenizer, tmp_path):
    size = len(tokenizer)
    line = add_placeholder(tokenizer, "<|step|>")
    assert line.startswith("add_placeholder_token: '<|step|>' is") and str(size) in line and "\n" not in line
    assert find_reward_tokens(tokenizer, "<|step|>", SIGNS).placeholder == size == len(tokenizer) - 1
    tokenizer.save_pretrained(str(tmp_path))
    again = load_tokenizer(str(tmp_path))
    assert find_reward_tokens(again, "<|step|>", SIGNS) == find_reward_tokens(tokenizer, "<|step|>", SIGNS)
    assert "already" in add_placeholder(again, "<|step|>") and len(again) == size + 1


@pytest.mark.parametrize("blank", ["", " "])
def test_an_added_placeholder_has_one_id_with_and_without_a_blank_before_it(tokenizer, blank):
    add_placeholder(tokenizer, "<|step|>")
    number = find_reward_tokens(tokenizer, "<|step|>", SIGNS).placeholder
    for text in (f"so{blank}<|step|>", f"so.{blank}<|step|>\nso", f"{blank}<|step|>"):
        assert tokenizer(text, split_special_tokens=False)["input_ids"].count(number) == 1
        assert number not in tokenizer(text)["input_ids"]  # a record's own text cannot pretend to be scored


def test_a_piece_that_stands_only_inside_words_becomes_the_token_with_its_own_id(tokenizer, tmp_path):
    size = len(tokenizer)
    pieces = [piece for piece in tokenizer.convert_ids_to_tokens(range(size)) if piece.isascii() and piece.isalpha()]
    inner = next(piece for piece in pieces if len(tokenizer(f"a {piece}", add_special_tokens=False)["input_ids"]) > 2)
    add_placeholder(tokenizer, inner)
    tokens = find_reward_tokens(tokenizer, inner, SIGNS)
    assert len(tokenizer) == size and tokenizer.convert_ids_to_tokens([tokens.placeholder]) == [inner]
    tokenizer.save_pretrained(str(tmp_path))
    assert find_reward_tokens(load_tokenizer(str(tmp_path)), inner, SIGNS) == tokens


def test_a_single_token_stays_as_it_is(tokenizer):
    before = find_reward_tokens(tokenizer, "ки", SIGNS)
    line = add_placeholder(tokenizer, "ки")
    assert "already" in line and f"id {before.placeholder}" in line
    assert find_reward_tokens(tokenizer, "ки", SIGNS) == before and "ки" not in tokenizer.get_added_vocab()


def test_a_special_token_of_the_model_may_be_the_placeholder(tokenizer):
    """Some vocabularies have tokens reserved for such a purpose."""
    tokens = find_reward_tokens(tokenizer, tokenizer.eos_token, SIGNS)
    assert tokens.placeholder == tokenizer.eos_token_id


@pytest.mark.parametrize("folder", ["llama3", "qwen2"])
def test_a_letter_that_stands_for_a_byte_is_no_placeholder(folder, request):
    """Its piece would be found, and the placeholder's id would stand in ordinary text of other scripts."""
    tokenizer = load_tokenizer(str(request.getfixturevalue(folder)))
    with pytest.raises(ValueError, match="'é' cannot be added .* stands for other bytes"):
        add_placeholder(tokenizer, "é")
