"""The ids of the placeholder and the two reward tokens, as they are inside a text. No paddle here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from llm.core.text.tokenizer import Tokenizer

# Text is tokenised behind this word and its ids are cut off again, so that a tokenizer that treats the beginning of a
# text differently (SentencePiece puts a blank there) gives the ids that the text has in the middle of a solution.
CONTEXT = "a"
SHOWN = 20  # pieces of a text that is not one token


@dataclass(frozen=True)
class RewardTokens:
    """The ids that every reward model here uses, as they are inside a text."""

    placeholder: int
    positive: int
    negative: int


def ids_in_context(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of `text` after other text."""
    before = _ids_of_context(tokenizer)
    whole = tokenizer(CONTEXT + text, add_special_tokens=False)["input_ids"]
    if whole[: len(before)] != before:
        raise ValueError(
            f"This tokenizer joins {CONTEXT!r} and {text[:20]!r} into one piece, so a step has no ids of its own. "
            "Use a tokenizer that splits at white space (Llama's, Mistral's and Qwen's do)."
        )
    return whole[len(before) :]


@lru_cache(maxsize=8)
def _ids_of_context(tokenizer: Tokenizer) -> list[int]:
    return tokenizer(CONTEXT, add_special_tokens=False)["input_ids"]


def find_reward_tokens(tokenizer: Tokenizer, placeholder_token: str, reward_tokens: tuple[str, ...]) -> RewardTokens:
    """Look up the three ids in context; every one that is not a single token is reported at once."""
    problems, found = [], []
    settings = ("placeholder_token", "reward_tokens (first)", "reward_tokens (second)")
    for setting, text in zip(settings, (placeholder_token, *reward_tokens), strict=True):
        ids = _ids_of_token(tokenizer, text)
        if len(ids) == 1 and not _is_unknown(tokenizer, ids):
            found.append(ids[0])
            continue
        otherwise = ", or set add_placeholder_token: true to add it" if setting == "placeholder_token" else ""
        problems.append(
            f"{setting}: {text!r:.100} is {_describe(tokenizer, ids)}, but one token must carry the score. Choose a "
            f"text that is a single token of this model's vocabulary{otherwise}."
        )
    if not problems and len(set(found)) < 3:
        problems.append(
            f"placeholder_token {placeholder_token!r} and reward_tokens {','.join(reward_tokens)!r} have the ids "
            f"{found}: two of them are the same, so they cannot be told apart. Choose three different tokens."
        )
    if problems:
        raise ValueError("\n".join(problems))
    return RewardTokens(*found)


def add_placeholder(tokenizer: Tokenizer, placeholder_token: str) -> str:
    """Make the placeholder a token of its own if it is not one; returns a line that says what was done."""
    ids = _ids_of_token(tokenizer, placeholder_token)
    if len(ids) == 1 and not _is_unknown(tokenizer, ids):
        return f"add_placeholder_token: {placeholder_token!r} is a single token already (id {ids[0]}): nothing is added"
    was = _describe(tokenizer, ids)
    number = tokenizer.add_special_token(placeholder_token)
    line = f"add_placeholder_token: {placeholder_token!r} is {was}; it is added as a token of its own, id {number}"
    text = f"{CONTEXT} {placeholder_token}\n{CONTEXT}"
    start = tokenizer(CONTEXT, add_special_tokens=False)["input_ids"]
    whole = tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"]
    if whole == [*start, number, *ids_in_context(tokenizer, "\n" + CONTEXT)]:
        return line
    pieces = " ".join(tokenizer.convert_ids_to_tokens(whole))
    return f"{line}. Training tokenises each step by itself; the same text as a whole would become {pieces}"


def _ids_of_token(tokenizer: Tokenizer, text: str) -> list[int]:
    """A piece of the vocabulary has the blank before it inside; an added token is the same everywhere."""
    ids = ids_in_context(tokenizer, " " + text)
    if len(ids) == 1:
        return ids
    added = tokenizer.get_added_vocab()
    return [added[text]] if text in added else ids


def _is_unknown(tokenizer: Tokenizer, ids: list[int]) -> bool:
    return tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids


def _describe(tokenizer: Tokenizer, ids: list[int]) -> str:
    pieces = " ".join(map(str, tokenizer.convert_ids_to_tokens(ids[:SHOWN]))) + " ..." * (len(ids) > SHOWN)
    return f"{'unknown to' if _is_unknown(tokenizer, ids) else f'{len(ids)} tokens of'} this tokenizer ({pieces})"
