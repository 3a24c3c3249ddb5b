"""A SentencePiece model in the form of a tokenizer.json, which more programs read as it is. No paddle here."""

from __future__ import annotations

import re

from sentencepiece import SentencePieceProcessor
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

BLANK = "▁"  # how SentencePiece writes a blank inside a piece
# A ligature, a wide letter, a letter in two parts, other white space, runs of blanks: what models may write otherwise.
REWRITTEN_BY_SOME = "a  ﬁ Ａ e\u0301\u00a0\u3000\t\n "


def backend_of(model: SentencePieceProcessor, blank_first: bool, blank_later: bool) -> Tokenizer | None:
    """The same pieces for the tokenizers library, or None if it cannot divide text as this model does.

    blank_first, blank_later: whether a blank is put before a text, and before what follows a special token.
    """
    if not (_is_of_byte_pairs(model) and _keeps_text(model)):
        return None
    ids = {model.id_to_piece(number): number for number in range(model.get_piece_size())}
    merges = _merges([model.id_to_piece(number) for number in _joined_pieces(model)])
    unknown = model.id_to_piece(model.unk_id())
    has_bytes = any(map(model.is_byte, ids.values()))
    backend = Tokenizer(models.BPE(ids, merges, unk_token=unknown, fuse_unk=True, byte_fallback=has_bytes))
    if blank_first and not blank_later:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(BLANK, "first", split=False)
    else:
        first = [normalizers.Prepend(BLANK)] if blank_first else []
        backend.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", BLANK)])
    last = [decoders.Strip(" ", 1, 0)] if blank_first else []
    backend.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse(), *last])
    return backend


def joins_no_words(model: SentencePieceProcessor) -> bool:
    """Whether a text has the ids of its words, each with the blanks before it, one after another: where text is divided
    by joining pairs, and no piece has a blank behind something else."""
    pieces = (model.id_to_piece(number) for number in range(model.get_piece_size()))
    return _is_of_byte_pairs(model) and _keeps_text(model) and not any(BLANK in p.lstrip(BLANK) for p in pieces)


def puts_blank_first(backend: Tokenizer) -> bool:
    """Before every text between special tokens, that is."""
    return backend.normalizer is not None and backend.normalizer.normalize_str("a") == f"{BLANK}a"


def take_blank_before(backend: Tokenizer, content: str) -> AddedToken:
    """Where a blank is put before every text between special tokens: a token that is like a piece of the vocabulary.
    The blank before it is part of it, and none is put behind it."""
    blank = normalizers.Replace(Regex(f"{BLANK}?{re.escape(content)}"), BLANK + content)
    backend.normalizer = normalizers.Sequence([backend.normalizer, blank])
    return AddedToken(content, special=True, normalized=True)


def _joined_pieces(model: SentencePieceProcessor) -> list[int]:
    """The pieces that text can become, in the order in which the model joins them."""
    others = (model.is_control, model.is_unknown, model.is_byte, model.is_unused)
    numbers = [n for n in range(model.get_piece_size()) if not any(is_one(n) for is_one in others)]
    return sorted(numbers, key=lambda number: -model.get_score(number))


def _is_of_byte_pairs(model: SentencePieceProcessor) -> bool:
    """Their score is the place in the order. Other models have logarithms, and pieces that the user has defined all the
    same one. Runs of blanks have the same one in Llama's and Mistral's, and come last."""
    words = [number for number in _joined_pieces(model) if model.id_to_piece(number).strip(BLANK)]
    scores = [model.get_score(number) for number in words]
    return len(set(scores)) == len(scores) and all(score.is_integer() for score in scores)


def _keeps_text(model: SentencePieceProcessor) -> bool:
    return model.normalize(REWRITTEN_BY_SOME).removeprefix(BLANK) == REWRITTEN_BY_SOME.replace(" ", BLANK)


def _merges(pieces: list[str]) -> list[tuple[str, str]]:
    """Every pair that makes a piece. A pair that makes an earlier piece is joined first."""
    order = {piece: number for number, piece in enumerate(pieces)}
    merges = []
    for piece in pieces:
        parts = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
        pairs = [pair for pair in parts if all(part in order for part in pair)]
        merges += sorted(pairs, key=lambda pair: (order[pair[0]], order[pair[1]]))
    return merges
