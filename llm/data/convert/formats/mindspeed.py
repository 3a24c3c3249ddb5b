"""MindSpeed-LLM's processed form: token ids, and at each placeholder the id of a sign, elsewhere -100.

It is read back into text with the tokenizer that made it. Rows that were packed together cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.pieces import bytes_of_ids
from llm.core.text.tokenizer import Tokenizer
from llm.data.convert.form import Format, Made, Options, Row, Unfit, Unusable, has, labelled
from llm.data.convert.placeholders import notes, question_apart
from llm.data.convert.values import SIGNS, items, same_length

IGNORED = -100


def convert(row: Row, options: Options) -> Iterator[Made]:
    if options.tokenizer is None:
        raise ValueError("token ids need --tokenizer FOLDER, the tokenizer that they were made with.")
    tokenizer = _tokenizer(options.tokenizer)
    ids, labels = _ids(row, "input_ids"), _ids(row, "labels")
    same_length(ids, labels, "input_ids and labels")
    places = [place for place, label in enumerate(labels) if label != IGNORED]
    if not places:
        raise Unusable("no label")
    signs = [_sign(tokenizer, labels[place]) for place in places]
    pieces = _pieces(tokenizer, ids)
    starts = [0, *(place + 1 for place in places)]
    # between two placeholders; the placeholder itself is no text
    steps = [_text(pieces[start:place]) for start, place in zip(starts, places, strict=False)]
    question, steps = question_apart(steps)
    yield from notes(question, steps, _text(pieces[starts[-1] :]))
    yield labelled(question, steps, signs)


@lru_cache(1)
def _tokenizer(folder: str) -> Tokenizer:
    return load_tokenizer(folder)


def _ids(row: Row, name: str) -> list[int]:
    ids = items(row, name)
    for place, number in enumerate(ids):
        if type(number) is not int:
            raise Unfit(number, "wrong type", f"{name}[{place}]", f"{name} is a list of whole numbers")
    return ids


def _pieces(tokenizer: Tokenizer, ids: list[int]) -> list[bytes]:
    size = len(tokenizer)
    if beyond := [number for number in ids if not 0 <= number < size]:
        detail = f"the tokenizer has {size:,} tokens"
        raise Unfit(beyond[0], "token id beyond the vocabulary", detail, "name the tokenizer that made the ids")
    return bytes_of_ids(tokenizer, ids)


def _sign(tokenizer: Tokenizer, number: int) -> str:
    sign = _text(_pieces(tokenizer, [number]))
    if sign not in SIGNS:
        raise Unfit(sign, "no sign", f"label {number}", "it is the id of + or -")
    return sign


def _text(pieces: list[bytes]) -> str:
    return b"".join(pieces).decode("utf-8", "replace").strip()


FIELDS = ("input_ids", "labels")
FORMAT = Format(
    name="mindspeed",
    meaning="token ids with the ids of signs at the placeholders, from MindSpeed-LLM",
    fields=FIELDS,
    fits=has(*FIELDS),
    convert=convert,
    obeys=("tokenizer",),
)
