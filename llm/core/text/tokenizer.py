"""The two kinds of tokenizers: of a tokenizer.json, and of a SentencePiece model. No paddle here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, pre_tokenizers
from tokenizers import Tokenizer as Backend

CONFIG_FILE = "tokenizer_config.json"
LLAMA = ("LlamaTokenizer", "CodeLlamaTokenizer")  # and these with Fast
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")  # of an added token
NAMED = ("bos_token", "eos_token", "unk_token", "pad_token")
# What transformers takes for a class whose tokenizer_config.json is silent about them.
DEFAULTS = {
    LLAMA: {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    "Qwen2": {"eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"},
}
# Appended to a serialized SentencePiece model: normalizer_spec { add_dummy_prefix: false }. A later field wins.
NO_PREFIX = b"\x1a\x02\x18\x00"


class Tokenizer:
    """What both kinds share. `tokenizer(text)["input_ids"]` begins with the start token if the model has one.

    A special token's name inside a text, such as "</s>", is text: no record can end itself or begin another turn.
    With `split_special_tokens=False` it is the token, which is what a rendered chat template means by it. Added
    tokens that are not special (Qwen's "<think>") are tokens in any text.
    """

    byte_decoder: dict[str, int] | None = None  # of byte-level pieces: which byte a letter stands for

    def __init__(self, kind: str, config: dict, files: dict[str, bytes], own_names: dict[str, str] | None = None):
        self.config, self.files = config, files
        self.added = {}  # content -> AddedToken
        known = {} if "special_tokens_map.json" not in files else json.loads(files["special_tokens_map.json"])
        defaults = own_names or next((names for name, names in DEFAULTS.items() if kind.startswith(name)), {})
        self.named = {name: _content({**defaults, **known, **config}.get(name)) for name in NAMED}
        self.bos_token, self.eos_token, self.unk_token, _ = self.named.values()
        others = config.get("additional_special_tokens", known.get("additional_special_tokens")) or []
        # Not what pads: nothing is padded with it here, and many a folder names one that its model has no row for.
        self.special = [*filter(None, (self.bos_token, self.eos_token, self.unk_token)), *map(_content, others)]

    def __len__(self) -> int:
        """Rows that an embedding needs: the highest id and one."""
        return self._length

    def __call__(self, text: str, add_special_tokens: bool = True, split_special_tokens: bool = True) -> dict:
        ids = self._encode(text, split_special_tokens)
        return {"input_ids": [*self.prefix, *ids, *self.suffix] if add_special_tokens else ids}

    def _add_listed_tokens(self) -> None:
        """The tokens that the configuration adds to the vocabulary, in the order of their ids."""
        listed = self.config.get("added_tokens_decoder")
        if listed is None:
            listed = {number: text for text, number in json.loads(self.files.get("added_tokens.json", b"{}")).items()}
        for number, token in sorted((int(number), token) for number, token in listed.items()):
            known = token if isinstance(token, dict) else {"special": token in self.special, "normalized": False}
            flags = {flag: known[flag] for flag in FLAGS if flag in known}
            self._add(AddedToken(_content(token), **flags), number)
        for token in self.special:
            if token not in self.added:
                self._add(AddedToken(token, special=True, normalized=False), self.token_id(token))

    def _llama_ends(self) -> tuple[list[int], list[int]]:
        """What Llama's classes put before and after a text, whatever tokenizer.json says."""
        ends = []
        for setting, default, name in (("add_bos_token", True, "bos_token"), ("add_eos_token", False, "eos_token")):
            wanted = self.config.get(setting, default)
            if wanted and self.named[name] is None:
                raise ValueError(f"{CONFIG_FILE}: {setting} is true, but there is no {name}; name it, or write false")
            ends.append([self.token_id(self.named[name])] if wanted else [])
        return tuple(ends)

    @property
    def bos_token_id(self) -> int | None:
        return self.token_id(self.bos_token)

    @property
    def eos_token_id(self) -> int | None:
        return self.token_id(self.eos_token)

    @property
    def unk_token_id(self) -> int | None:
        return self.token_id(self.unk_token)

    def get_added_vocab(self) -> dict[str, int]:
        return {content: self.token_id(content) for content in self.added}

    def add_special_token(self, content: str) -> int:
        """A new token with the next free id, or the id of a piece that is written like it; in what is saved, too."""
        number = self.token_id(content)
        number = len(self) if number is None else number
        self._add(AddedToken(content, special=True, normalized=False), number)
        listed = sorted((self.token_id(token.content), token) for token in self.added.values())
        self.config["added_tokens_decoder"] = {
            str(number): {"content": token.content, **{flag: getattr(token, flag) for flag in FLAGS}}
            for number, token in listed
        }
        return number

    def save_pretrained(self, folder: str) -> None:
        """The files as they were read, with what was added since."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (Path(folder) / name).write_bytes(content)
        config = json.dumps(self.config, indent=2, ensure_ascii=False) + "\n"
        (Path(folder) / CONFIG_FILE).write_text(config, encoding="utf-8")


def _content(token: str | dict | None) -> str | None:
    return token["content"] if isinstance(token, dict) else token


class JsonTokenizer(Tokenizer):
    """Of a tokenizer.json, by the package that wrote it."""

    def __init__(self, backend: Backend, kind: str, config: dict, files: dict[str, bytes]):
        super().__init__(kind, config, files)
        self._backend = backend
        backend.no_truncation()  # a file keeps these settings of whoever saved it
        backend.no_padding()
        backend.encode_special_tokens = True
        self.added = {token.content: token for token in backend.get_added_tokens_decoder().values()}
        self._length = max(backend.get_vocab(with_added_tokens=True).values()) + 1
        self._add_listed_tokens()
        self.prefix, self.suffix = self._llama_ends() if kind.startswith(LLAMA) else self._ends_of_the_file()
        if "ByteLevel" in str(backend.decoder):
            self.byte_decoder = _byte_of_letter()

    def _encode(self, text: str, split_special_tokens: bool) -> list[int]:
        if split_special_tokens:
            return self._backend.encode(text, add_special_tokens=False).ids
        self._backend.encode_special_tokens = False
        try:
            return self._backend.encode(text, add_special_tokens=False).ids
        finally:
            self._backend.encode_special_tokens = True

    def _ends_of_the_file(self) -> tuple[list[int], list[int]]:
        plain = self._backend.encode("a", add_special_tokens=False).ids
        whole = self._backend.encode("a").ids
        start = next(n for n in range(len(whole)) if whole[n : n + len(plain)] == plain)
        return whole[:start], whole[start + len(plain) :]

    def _add(self, token: AddedToken, number: int | None) -> None:
        if token.content not in self.added:
            self._backend.add_special_tokens([token]) if token.special else self._backend.add_tokens([token])
            self.added[token.content] = token
        found = self._backend.token_to_id(token.content)
        if number is not None and found != number:
            raise ValueError(f"{CONFIG_FILE} gives {token.content!r} the id {number}, the vocabulary {found}")
        self._length = max(self._length, found + 1)

    def add_special_token(self, content: str) -> int:
        letters = self.byte_decoder
        if letters and content not in self.added and self.token_id(content) is not None and not content.isascii():
            raise ValueError(
                f"{content!r} cannot be added as a token: a piece of this vocabulary is written like it and stands for "
                "other bytes. Choose a text of several letters, such as <|step|>."
            )
        number = super().add_special_token(content)
        if "tokenizer.json" in self.files:
            self.files["tokenizer.json"] = self._backend.to_str(pretty=True).encode()
        return number

    def token_id(self, token: str | None) -> int | None:
        return None if token is None else self._backend.token_to_id(token)

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self._backend.id_to_token(number) for number in ids]


def _byte_of_letter() -> dict[str, int]:
    """Byte-level pieces have a letter for every byte: Latin letters for their own, further ones for the rest."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    own = {letter: ord(letter) for letter in letters if ord(letter) < 256}
    others = [byte for byte in range(256) if byte not in own.values()]
    return own | dict(zip(letters[len(own) :], others, strict=True))


class SentencePieceTokenizer(Tokenizer):
    """Of a SentencePiece model, which itself knows no added token: text is cut at these first."""

    def __init__(self, model: bytes, kind: str, config: dict, files: dict[str, bytes]):
        self.sp_model = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._without_blank = sentencepiece.SentencePieceProcessor(model_proto=model + NO_PREFIX)
        numbers = self.sp_model.bos_id(), self.sp_model.eos_id(), self.sp_model.unk_id()
        pieces = {name: self.sp_model.id_to_piece(n) for name, n in zip(NAMED, numbers) if n >= 0}  # noqa: B905
        super().__init__(kind, config, files, own_names=pieces)
        # Whether a blank goes before a text, and before what follows a special token, as transformers has it.
        self._blank_first = config.get("add_prefix_space") is not False
        self._blank_later = self._blank_first and config.get("legacy") is not False
        self._ids, self._patterns = {}, {}
        self._length = self.sp_model.get_piece_size()
        self._add_listed_tokens()
        self.prefix, self.suffix = self._llama_ends()

    def _encode(self, text: str, split_special_tokens: bool) -> list[int]:
        if split_special_tokens not in self._patterns:
            self._patterns[split_special_tokens] = self._pattern(split_special_tokens)
        ids, end = [], 0
        for match in self._patterns[split_special_tokens].finditer(text):
            ids += self._encode_between(text[end : match.start()], first=not ids)
            ids.append(self._ids[match[match.lastindex]])
            end = match.end()
        return ids + self._encode_between(text[end:], first=not ids)

    def _encode_between(self, text: str, first: bool) -> list[int]:
        blank = self._blank_first if first else self._blank_later
        return (self.sp_model if blank else self._without_blank).encode(text)

    def _pattern(self, split_special_tokens: bool) -> re.Pattern:
        """Of the added tokens that are recognised; the longest wins, and some take the blanks beside them."""
        wanted = [token for token in self.added.values() if not (split_special_tokens and token.special)]
        wanted.sort(key=lambda token: -len(token.content))
        each = [r"\s*" * token.lstrip + f"({re.escape(token.content)})" + r"\s*" * token.rstrip for token in wanted]
        return re.compile("|".join(each) or r"(?!)")

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
        if token is None or token in self._ids:
            return self._ids.get(token)
        number = self.sp_model.piece_to_id(token)
        return number if self.sp_model.id_to_piece(number) == token else None

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        added = {number: content for content, number in self._ids.items()}
        return [added[n] if n in added else self.sp_model.id_to_piece(n) for n in ids]
