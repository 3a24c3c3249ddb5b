"""A tokenizer of a tokenizer.json, and what it shares with one of a SentencePiece model. No paddle here."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from llm.core.console import listed
from llm.core.text.pieces_as_json import puts_blank_first, take_blank_before
from llm.core.text.slow_patterns import check_time, panics_as_errors
from llm.core.text.tokenizer_settings import (
    ADDED_FILE,
    CONFIG_FILE,
    FLAGS,
    NAMED,
    OLDER_FILES,
    SPECIAL_FILE,
    TEMPLATE_FILE,
    check_file,
    check_ids,
    content_of,
    object_in,
)

LLAMA = ("LlamaTokenizer", "CodeLlamaTokenizer")  # and these with Fast
# What transformers takes for a class whose tokenizer_config.json is silent about them.
DEFAULTS: dict[str | tuple[str, ...], dict[str, str]] = {
    LLAMA: {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    "Qwen2": {"eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
}
# The one class that both PaddleNLP and transformers (4 and 5) have and that reads tokenizer.json as it is. Each other
# class is missing in one of them, looks for other files, or takes parts of its own instead of those in tokenizer.json.
READS_AS_IT_IS = "BloomTokenizerFast"
# What only such classes obey, or what names files: tokenizer.json is saved with what follows from it.
OF_CLASSES = (
    "tokenizer_class init_class auto_map add_bos_token add_eos_token add_prefix_space legacy from_slow use_fast "
    "name_or_path vocab_file merges_file tokenizer_file sp_model_kwargs special_tokens_map_file"
).split()


class Tokenizer(ABC):
    """What both kinds share. `tokenizer(text)["input_ids"]` begins with the start token if the model has one.

    A special token's name inside a text, such as "</s>", is text: no record can end itself or begin another turn.
    With `split_special_tokens=False` it is the token, which is what a rendered chat template means by it. Added
    tokens that are not special (Qwen's "<think>") are tokens in any text.
    """

    byte_decoder: dict[str, int] | None = None  # of byte-level pieces: which byte a letter stands for
    prefix: list[int]  # what goes before every text, and after it
    suffix: list[int]
    _length: int

    def __init__(self, kind: str, config: dict, files: dict[str, bytes], own_names: dict[str, str] | None = None):
        self.kind, self.config, self.files = kind, config, files
        self.added: dict[str, AddedToken] = {}
        known = object_in(files, SPECIAL_FILE)
        defaults = own_names or next((names for name, names in DEFAULTS.items() if kind.startswith(name)), {})
        self.named = {name: content_of({**defaults, **known, **config}.get(name)) or None for name in NAMED}
        self.bos_token, self.eos_token, self.unk_token, _ = self.named.values()
        others = config.get("additional_special_tokens", known.get("additional_special_tokens")) or []
        if isinstance(config.get("extra_special_tokens"), list):  # what transformers 5 calls them, and 4 fails at
            others = [*others, *config.pop("extra_special_tokens")]
        self.additional = [*map(content_of, others)]
        # Not what pads: nothing is padded with it here, and many a folder names one that its model has no row for.
        self.special = [*filter(None, (self.bos_token, self.eos_token, self.unk_token)), *self.additional]

    def __len__(self) -> int:
        """Rows that an embedding needs: the highest id and one."""
        return self._length

    def __call__(self, text: str, add_special_tokens: bool = True, split_special_tokens: bool = True) -> dict:
        ids = self._encode(text, split_special_tokens)
        return {"input_ids": [*self.prefix, *ids, *self.suffix] if add_special_tokens else ids}

    @abstractmethod
    def _encode(self, text: str, split_special_tokens: bool) -> list[int]: ...

    @abstractmethod
    def _add(self, token: AddedToken, number: int | None) -> None:
        """As a token with this id (None: the next free one); ValueError if it has another, or the id another token."""

    @abstractmethod
    def _files_to_save(self) -> dict[str, bytes]: ...

    @abstractmethod
    def token_id(self, token: str | None) -> int | None: ...

    @abstractmethod
    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]: ...

    def _add_listed_tokens(self) -> None:
        """The tokens that the configuration adds to the vocabulary, in the order of their ids."""
        listed = self.config.get("added_tokens_decoder")
        if listed is None:
            listed = {number: text for text, number in object_in(self.files, ADDED_FILE).items()}
        for number, token in sorted((int(number), token) for number, token in listed.items()):
            known = token if isinstance(token, dict) else {"special": token in self.special, "normalized": False}
            flags = {flag: known[flag] for flag in FLAGS if flag in known}
            self._add(AddedToken(content_of(token), **flags), number)
        for token in self.special:
            if token not in self.added:
                self._add(AddedToken(token, special=True, normalized=False), self.token_id(token))

    def _llama_ends(self) -> tuple[list[str], list[str]]:
        """What Llama's classes put before and after a text, whatever tokenizer.json says."""
        ends: list[list[str]] = []
        for setting, default, name in (("add_bos_token", True, "bos_token"), ("add_eos_token", False, "eos_token")):
            wanted = self.config.get(setting, default)
            token = self.named[name]
            if wanted and token is None:
                raise ValueError(f"{CONFIG_FILE}: {setting} is true, but there is no {name}; name it, or write false")
            ends.append([token] if wanted and token is not None else [])
        before, after = ends
        return before, after

    def _template(self, before: list[str], after: list[str]) -> processors.TemplateProcessing:
        """What puts these tokens around every text."""
        second = [f"{token}:1" for token in (*before, "$B", *after)]
        special = [(token, self.token_id(token)) for token in (*before, *after)]
        return processors.TemplateProcessing([*before, "$A", *after], [*before, "$A", *after, *second], special)

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
        return {content: self.token_id(content) for content in self.added}  # type: ignore[misc]  # added: each has an id

    def add_special_token(self, content: str) -> int:
        """A new token with the next free id, or the id of a piece that is written like it; in what is saved, too.

        The blank before it is part of it, and what follows it is as it is in the middle of a text: a solution whose
        text is tokenised as a whole has the ids that training gives it.
        """
        return self._add_new(AddedToken(content, special=True, normalized=False, lstrip=True))

    def _add_new(self, token: AddedToken) -> int:
        number = self.token_id(token.content)
        number = len(self) if number is None else number
        self._add(token, number)
        return number

    def note_on_saving(self) -> str | None:
        """What other programs cannot read as it is read here."""
        return None

    def content(self) -> dict[str, bytes]:
        """The files that are saved: equal where the tokenizer is."""
        return self._files_to_save()

    def save_pretrained(self, folder: str) -> None:
        """Files that this project, PaddleNLP's AutoTokenizer and transformers read, with the same ids."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, content in self._files_to_save().items():
            (Path(folder) / name).write_bytes(content)

    def _files_of(self, backend: Backend, **settings: Any) -> dict[str, bytes]:
        """What was read, with a tokenizer.json and a configuration for what reads it."""
        kept = {name: value for name, value in self.config.items() if name not in OF_CLASSES}
        side = {"padding_side": "left"} if self.kind.startswith(LLAMA) else {}  # as these classes have it
        config = {
            "tokenizer_class": READS_AS_IT_IS,
            "model_input_names": ["input_ids", "attention_mask"],
            **side,
            **kept,
            **settings,
        }
        added = backend.get_added_tokens_decoder()
        return self._files_with(config, added) | {"tokenizer.json": backend.to_str(pretty=True).encode()}

    def _files_with(self, config: dict, added: dict[int, AddedToken]) -> dict[str, bytes]:
        """The configuration names every special token, so the older files that do are left out. PaddleNLP fails at a
        chat_template.json of transformers' form, so its template goes there, too."""
        tokens = {"additional_special_tokens": self.additional, "added_tokens_decoder": _listed(added)}
        config = {**config, **self.named, **tokens}
        kept = {name: content for name, content in self.files.items() if name not in OLDER_FILES}
        template = object_in(kept, TEMPLATE_FILE).get("chat_template")
        if template is not None:
            del kept[TEMPLATE_FILE]
            config["chat_template"] = config.get("chat_template") or template
        return kept | {CONFIG_FILE: (json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()}


def _listed(added: dict[int, AddedToken]) -> dict[str, dict]:
    """added_tokens_decoder as transformers writes it."""
    return {
        str(number): {"content": token.content, **{flag: getattr(token, flag) for flag in FLAGS}}
        for number, token in sorted(added.items())
    }


def add_to(backend: Backend, token: AddedToken) -> None:
    (backend.add_special_tokens if token.special else backend.add_tokens)([token])


class JsonTokenizer(Tokenizer):
    """Of a tokenizer.json, by the package that wrote it."""

    def __init__(self, backend: Backend, kind: str, config: dict, files: dict[str, bytes]):
        super().__init__(kind, config, files)
        self._backend = backend
        backend.no_truncation()  # a file keeps these settings of whoever saved it
        backend.no_padding()
        backend.encode_special_tokens = True
        self.added = {token.content: token for token in backend.get_added_tokens_decoder().values()}
        ids = backend.get_vocab(with_added_tokens=True)
        check_ids(ids, "tokenizer.json" if "tokenizer.json" in files else "vocab.json")
        check_file(object_in(files, "tokenizer.json"), ids)
        self._length = max(ids.values()) + 1
        self._add_listed_tokens()
        if kind.startswith(LLAMA):
            backend.post_processor = self._template(*self._llama_ends())
        check_time(lambda text: self._encode(text, True))
        self.prefix, self.suffix = self._ends_of_the_file()
        if "ByteLevel" in str(backend.decoder):
            self.byte_decoder = _byte_of_letter()

    def _encode(self, text: str, split_special_tokens: bool) -> list[int]:
        if split_special_tokens:
            with panics_as_errors():
                return self._backend.encode(text, add_special_tokens=False).ids
        self._backend.encode_special_tokens = False
        try:
            return self._encode(text, True)
        finally:
            self._backend.encode_special_tokens = True

    def _ends_of_the_file(self) -> tuple[list[int], list[int]]:
        plain = self._backend.encode("a", add_special_tokens=False).ids
        whole = self._backend.encode("a").ids
        if unknown := [number for number in whole if self._backend.id_to_token(number) is None]:
            raise ValueError(f"tokenizer.json: its post_processor adds the ids {listed(unknown)}, which no token has")
        start = next(n for n in range(len(whole) + 1) if whole[n : n + len(plain)] == plain)
        return whole[:start], whole[start + len(plain) :]

    def _add(self, token: AddedToken, number: int | None) -> None:
        if token.content not in self.added:
            add_to(self._backend, token)
            self.added[token.content] = token
        found = self.token_id(token.content)
        assert found is not None  # it has just been added
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
        if not puts_blank_first(self._backend):
            return super().add_special_token(content)
        return self._add_new(take_blank_before(self._backend, content))

    def _files_to_save(self) -> dict[str, bytes]:
        return self._files_of(self._backend)

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
