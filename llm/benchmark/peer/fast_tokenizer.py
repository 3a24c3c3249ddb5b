"""A tokenizer in the form that transformers reads."""

from __future__ import annotations

from pathlib import Path

from llm.core.model.folder import find_model
from llm.core.text.pieces_as_json import backend_of


def tokenizer_json(tokenizer, folder: str | None) -> str:
    """The folder's own tokenizer.json, or the SentencePiece pieces written as one."""
    if folder and (own := Path(find_model(folder, "tokenizer")) / "tokenizer.json").is_file():
        return own.read_text(encoding="utf-8")
    pieces = getattr(tokenizer, "sp_model", None)
    backend = pieces and backend_of(pieces, blank_first=True, blank_later=True)
    if backend is None:
        raise ValueError(f"--tokenizer: {folder} has neither a tokenizer.json nor a SentencePiece model of byte pairs.")
    return backend.to_str()


def special_tokens(tokenizer) -> dict[str, str]:
    """By name. What pads is seen by nothing and scored by nothing, so the end token will do."""
    names = ("bos_token", "eos_token", "unk_token")
    found = {name: getattr(tokenizer, name) for name in names if getattr(tokenizer, name, None) is not None}
    if "eos_token" not in found:
        raise ValueError("--tokenizer: it has no eos_token, which TRL needs.")
    return found | {"pad_token": found["eos_token"]}
