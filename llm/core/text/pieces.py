"""Ids of a tokenizer -> the text that they stand for."""

from __future__ import annotations

import re

from llm.core.text.tokenizer import Tokenizer

BYTE_PIECE = re.compile("<0x([0-9A-F]{2})>")


def bytes_of_ids(tokenizer: Tokenizer, ids: list[int]) -> list[bytes]:
    """Of each id what it stands for; a character may be spread over several."""
    byte_of_letter = getattr(tokenizer, "byte_decoder", None)
    return [bytes_of(piece, byte_of_letter) for piece in tokenizer.convert_ids_to_tokens(ids)]


def bytes_of(piece: str | bytes, byte_of_letter: dict[str, int] | None) -> bytes:
    """What a piece of the vocabulary stands for: bytes already (tiktoken), a letter for each byte (byte-level BPE), or
    SentencePiece's writing of blanks and bytes. Special tokens are written out."""
    if isinstance(piece, bytes):
        return piece
    if byte_of_letter is not None:
        return b"".join(bytes([byte_of_letter[c]]) if c in byte_of_letter else c.encode() for c in piece)
    byte = BYTE_PIECE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()
