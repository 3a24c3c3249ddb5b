"""The mark that ends an answer, in text that was decoded with its special tokens. The standard library alone."""

from __future__ import annotations

import re

# </s>, <eos>, <end_of_turn>, <|im_end|>, <|eot_id|>, and the same in full-width letters
END_MARK = re.compile(r"(?:</s>|<eos>|<end_of_turn>|<[|｜][^<>|｜\s]+[|｜]>)\s*\Z")


def without_end_mark(text: str) -> str:
    return END_MARK.sub("", text)
