"""Which question a record answers: equal for records whose questions differ only in case, blanks and the like."""

from __future__ import annotations

import re
import unicodedata

import xxhash

from llm.core.records.comparisons import Comparison
from llm.core.records.dialogues import Dialogue
from llm.core.records.reward_records import Preference, Record

# Parts of Math-Shepherd are published with a blank src and the question before this, inside the first step.
FIRST_STEP = re.compile(r"\bstep 1\s*:", re.IGNORECASE)


def question_of(record: Record | Preference | Dialogue | Comparison) -> str:
    """The dialogue that the record continues, normalised. Where it is blank, the text before "Step 1:", or else the
    first step, or the answer."""
    if isinstance(record, Dialogue | Comparison):
        asked, answer = record.messages, ""
        if isinstance(record, Dialogue):
            asked, answer = record.messages[:-1], record.messages[-1].content
        before = "\n".join(message.content for message in asked)
        return normalised(before if before.strip() else answer)
    if any(turn.strip() for turn in record.src):
        return normalised("\n".join((*record.src, *record.tgt)))
    first = record.steps[0] if isinstance(record, Record) else record.chosen
    before = FIRST_STEP.split(first, maxsplit=1)[0]
    return normalised(before if before.strip() else first)


def normalised(text: str) -> str:
    """One spelling for texts that a person reads as the same: letters' forms, case and white space do not count."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def key_of(text: str) -> int:
    """64 bits in place of a text."""
    return xxhash.xxh3_64_intdigest(text.encode())
