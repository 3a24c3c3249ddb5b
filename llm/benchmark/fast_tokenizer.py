"""A tokenizer in the form that transformers reads."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, models, normalizers

from llm.core.model.folder import find_model


def tokenizer_json(tokenizer, folder: str | None) -> str:
    """The folder's own tokenizer.json, or the SentencePiece pieces written as one."""
    if folder and (own := Path(find_model(folder, "tokenizer")) / "tokenizer.json").is_file():
        return own.read_text(encoding="utf-8")
    pieces = getattr(tokenizer, "sp_model", None)
    if pieces is None:
        raise ValueError(f"--tokenizer: {folder} has neither a tokenizer.json nor a SentencePiece model.")
    return from_pieces([pieces.id_to_piece(number) for number in range(pieces.get_piece_size())])


def from_pieces(pieces: list[str]) -> str:
    """Of byte pairs with byte fallback and a blank put before the text, as Llama and Mistral have them. A pair that
    makes an earlier piece is joined first."""
    ids = {piece: number for number, piece in enumerate(pieces)}
    merges = []
    for piece in pieces:
        parts = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
        merges += sorted(
            (pair for pair in parts if all(part in ids for part in pair)), key=lambda pair: (ids[pair[0]], ids[pair[1]])
        )
    fast = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return fast.to_str()


def special_tokens(tokenizer) -> dict[str, str]:
    """By name. What pads is seen by nothing and scored by nothing, so the end token will do."""
    names = ("bos_token", "eos_token", "unk_token")
    found = {name: getattr(tokenizer, name) for name in names if getattr(tokenizer, name, None) is not None}
    return found | {"pad_token": found["eos_token"]}
