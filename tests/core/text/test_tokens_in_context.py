"""Reward tokens are the ids that they have inside a text, or are refused."""

from __future__ import annotations

import pytest

from llm.core.text.reward_tokens import RewardTokens, find_reward_tokens, ids_in_context


def test_reward_tokens_are_the_ids_that_they_have_inside_a_text(tokenizer, tokens):
    """Alone, a tokenizer may give them other ids, at which a model was never trained."""
    ids = tokenizer("a ки + -", add_special_tokens=False)["input_ids"]
    assert ids[-3:] == [tokens.placeholder, tokens.positive, tokens.negative]


@pytest.mark.parametrize(
    "placeholder, reward, shown",
    [
        ("many pieces", ("+", "-"), ["placeholder_token: 'many pieces' is", "tokens of"]),
        ("ки", ("Ω", "-"), ["reward_tokens (first): 'Ω'", "<0xCE>", "<0xA9>"]),
        ("ки", ("+", "Ω"), ["reward_tokens (second): 'Ω'"]),
        ("ки", ("+", "+"), ["'+,+'", "two of them are the same"]),
        ("+", ("+", "-"), ["placeholder_token '+'", "two of them are the same"]),
    ],
)
def test_a_token_that_cannot_carry_the_score_is_refused(tokenizer, placeholder, reward, shown):
    with pytest.raises(ValueError) as error:
        find_reward_tokens(tokenizer, placeholder, reward)
    for text in (*shown, "Choose"):
        assert text in str(error.value)


def test_all_unusable_tokens_are_told_at_once_with_their_pieces(tokenizer):
    with pytest.raises(ValueError) as error:
        find_reward_tokens(tokenizer, "Ωmega", ("good!", "bad?"))
    lines = str(error.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "placeholder_token",
        "reward_tokens (first)",
        "reward_tokens (second)",
    ]
    for line, text in zip(lines, ("Ωmega", "good!", "bad?"), strict=True):
        for piece in tokenizer.convert_ids_to_tokens(ids_in_context(tokenizer, " " + text)):
            assert piece in line


class WordTokenizer:
    """Splits at blanks, knows few words, and gives every other one the id of the unknown word."""

    words = ("<unk>", "a", "ки", "+", "-")
    unk_token_id, bos_token_id = 0, None

    def __call__(self, text, add_special_tokens=True):
        ids = [self.words.index(word) if word in self.words else self.unk_token_id for word in text.split()]
        return {"input_ids": ids}

    def convert_ids_to_tokens(self, ids):
        return [self.words[number] for number in ids]


def test_a_token_that_the_vocabulary_lacks_is_refused():
    """An unknown word is one token, too: all steps of the world would be scored at it."""
    assert find_reward_tokens(WordTokenizer(), "ки", ("+", "-")) == RewardTokens(2, 3, 4)
    with pytest.raises(ValueError, match=r"(?s)'good' is unknown to this tokenizer \(<unk>\).*'bad' is unknown"):
        find_reward_tokens(WordTokenizer(), "ки", ("good", "bad"))
