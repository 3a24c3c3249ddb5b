"""A tokenizer of a SentencePiece model, as Llama's and Mistral's first ones are. No paddle here."""

from __future__ import annotations

import re

import sentencepiece
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from llm.core.text.pieces_as_json import BLANK, backend_of, joins_no_words, take_blank_before
from llm.core.text.tokenizer import OF_CLASSES, Tokenizer, add_to
from llm.core.text.tokenizer_settings import CONFIG_FILE, NAMED, OF_PIECES

WORD = re.compile(" *[^ ]+| +")  # with the blanks before it
MOST_WORDS = 1 << 16  # whose ids are remembered
PIECES_FILES = ("tokenizer.model", "sentencepiece.bpe.model")  # as transformers and PaddleNLP call it
# Appended to a serialized SentencePiece model: normalizer_spec { add_dummy_prefix: false }. A later field wins.
NO_PREFIX = b"\x1a\x02\x18\x00"


class SentencePieceTokenizer(Tokenizer):
    """Of a SentencePiece model, which itself knows no added token: text is cut at these first."""

    def __init__(self, model: bytes, kind: str, config: dict, files: dict[str, bytes]):
        self.sp_model = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._without_blank = sentencepiece.SentencePieceProcessor(model_proto=model + NO_PREFIX)
        numbers = self.sp_model.bos_id(), self.sp_model.eos_id(), self.sp_model.unk_id()
        pieces = {name: self.sp_model.id_to_piece(n) for name, n in zip(NAMED, numbers) if n >= 0}  # noqa: B905
        super().__init__(kind or "LlamaTokenizer", config, files, own_names=pieces)
        # Whether a blank goes before a text, and before what follows a special token, as transformers has it.
        self._blank_first = config.get("add_prefix_space") is not False and self.sp_model.normalize("a") == f"{BLANK}a"
        self._blank_later = self._blank_first and config.get("legacy") is not False
        self._like_pieces = list(config.pop("like_pieces", ()))  # added tokens that have the blank before them inside
        self._ids: dict[str, int] = {}
        self._known_words: dict[str, list[int]] | None = {} if joins_no_words(self.sp_model) else None
        self._patterns: dict[bool, re.Pattern | None] = {}
        self._length = self.sp_model.get_piece_size()
        self._add_listed_tokens()
        self.prefix, self.suffix = ([self.token_id(token) for token in tokens] for tokens in self._llama_ends())  # type: ignore[assignment]  # two lists, one for each side

    def _encode(self, text: str, split_special_tokens: bool) -> list[int]:
        if split_special_tokens not in self._patterns:
            self._patterns[split_special_tokens] = self._pattern(split_special_tokens)
        pattern = self._patterns[split_special_tokens]
        if pattern is None:
            return self._encode_between(text, self._blank_first)
        ids, end, blank = [], 0, self._blank_first
        for match in pattern.finditer(text):
            token, before = match[match.lastindex], text[end : match.start()]  # type: ignore[index]  # one of its groups
            if token in self._like_pieces:
                ids += self._encode_before_piece(before, blank)
            else:
                ids += self._encode_between(before, blank)
            ids.append(self._ids[token])
            end, blank = match.end(), self._blank_later and token not in self._like_pieces
        return ids + self._encode_between(text[end:], blank)

    def _encode_between(self, text: str, blank: bool) -> list[int]:
        if not self._blank_later and text.startswith((" ", BLANK)):
            blank = False  # the newer behaviour: a text that has one gets no second one
        if self._known_words is None or BLANK in text or not text:
            return (self.sp_model if blank else self._without_blank).encode(text)
        return self._encode_words(f" {text}" if blank else text, self._known_words)

    def _encode_words(self, text: str, known: dict[str, list[int]]) -> list[int]:
        """Word by word, which gives the ids of the whole where no piece goes on behind a word. A word is looked up in a
        hundredth of the time that it takes to divide it."""
        if len(known) > MOST_WORDS:
            known.clear()
        ids: list[int] = []
        for word in WORD.findall(text):
            found = known.get(word)
            if found is None:
                found = known[word] = self._without_blank.encode(word)
            ids += found
        return ids

    def _encode_before_piece(self, text: str, blank: bool) -> list[int]:
        """Without the last blank, be it the one that is put first."""
        whole = BLANK * blank + text
        return self._without_blank.encode(whole[:-1] if whole.endswith((" ", BLANK)) else whole)

    def add_special_token(self, content: str) -> int:
        if not self._blank_later:
            return super().add_special_token(content)
        self._like_pieces.append(content)
        return self._add_new(AddedToken(content, special=True, normalized=True))

    def note_on_saving(self) -> str | None:
        if self._as_json() is not None:
            return None
        return (
            "tokenizer: its SentencePiece model cannot be written as a tokenizer.json, because it is not a BPE model, "
            "has user-defined pieces, or normalises text. PaddleNLP and transformers read the model itself, each in "
            "its own way, and may give other ids than this project."
        )

    def _files_to_save(self) -> dict[str, bytes]:
        like_pieces = {"like_pieces": self._like_pieces} if self._like_pieces else {}
        backend = self._as_json()
        if backend is not None:
            settings = {name: self.config[name] for name in OF_CLASSES if name in self.config}
            return self._files_of(backend, **{OF_PIECES: settings | like_pieces})
        # Under the name that each library looks for, to be read in its own way.
        model = self.sp_model.serialized_model_proto()
        added = {self._ids[content]: token for content, token in self.added.items()}
        config = {**self.config, "tokenizer_class": self.kind, **like_pieces}
        return self._files_with(config, added) | dict.fromkeys(PIECES_FILES, model)

    def _as_json(self) -> Backend | None:
        """None where the tokenizers library would give other ids."""
        backend = backend_of(self.sp_model, self._blank_first, self._blank_later)
        if backend is None:
            return None
        for content, number in sorted(self._ids.items(), key=lambda item: item[1]):
            is_like_piece = content in self._like_pieces
            add_to(backend, take_blank_before(backend, content) if is_like_piece else self.added[content])
            if backend.token_to_id(content) != number:
                return None
        backend.post_processor = self._template(*self._llama_ends())
        return backend

    def _pattern(self, split_special_tokens: bool) -> re.Pattern | None:
        """Of the added tokens that are recognised, if there are any; the longest wins, and some take the blanks around
        them."""
        wanted = [token for token in self.added.values() if not (split_special_tokens and token.special)]
        wanted.sort(key=lambda token: -len(token.content))
        each = [r"\s*" * token.lstrip + f"({re.escape(token.content)})" + r"\s*" * token.rstrip for token in wanted]
        return re.compile("|".join(each)) if each else None

    def _add(self, token: AddedToken, number: int | None) -> None:
        if number is None:
            number = self._length
        if number < self.sp_model.get_piece_size() and self.sp_model.id_to_piece(number) != token.content:
            piece = self.sp_model.id_to_piece(number)
            raise ValueError(f"{CONFIG_FILE} gives {token.content!r} the id {number}, which {piece!r} has in the model")
        self.added[token.content], self._ids[token.content] = token, number
        self._length = max(self._length, number + 1)
        self._patterns.clear()

    def token_id(self, token: str | None) -> int | None:
        if token is None:
            return None
        if token in self._ids:
            return self._ids[token]
        number = self.sp_model.piece_to_id(token)
        return number if self.sp_model.id_to_piece(number) == token else None

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        added = {number: content for content, number in self._ids.items()}
        return [added[n] if n in added else self.sp_model.id_to_piece(n) for n in ids]
