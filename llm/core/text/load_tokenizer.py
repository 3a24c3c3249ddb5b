"""Read a tokenizer from a folder or by name.

PaddleNLP's own classes are not used: each looks for some of the files only, and its ids differ from those that a model
was trained on where blanks, special tokens or the start token are concerned. No paddle here, but to download by name.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from llm.core.console import in_short
from llm.core.strict_json import object_of, text_of
from llm.core.text.sentencepiece_tokenizer import PIECES_FILES, SentencePieceTokenizer
from llm.core.text.slow_patterns import panics_as_errors
from llm.core.text.tokenizer import LLAMA, OF_CLASSES, JsonTokenizer, Tokenizer
from llm.core.text.tokenizer_settings import CONFIG_FILE, OF_PIECES, OLDER_FILES, TEMPLATE_FILE, read_config

TOKENIZER_FILES = ("tokenizer.json", *PIECES_FILES, "vocab.json")
TEMPLATE_FILES = ("chat_template.jinja", TEMPLATE_FILE)
OTHER_FILES = ("merges.txt", *OLDER_FILES, *TEMPLATE_FILES)
TIKTOKEN = re.compile(rb"[A-Za-z0-9+/=]+ \d+\n")
QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def load_tokenizer(name_or_path: str) -> Tokenizer:
    """The tokenizer of a folder, or of a model's name that PaddleNLP can download."""
    try:
        folder = Path(name_or_path)
        with panics_as_errors():
            return read_tokenizer(folder if folder.is_dir() else _download(name_or_path))
    except Exception as error:
        raise ValueError(
            f"tokenizer_name_or_path: no tokenizer could be read from {name_or_path!r} ({in_short(error)}). "
            f"Its folder needs one of {', '.join(TOKENIZER_FILES)} and {CONFIG_FILE}."
        ) from error


def read_tokenizer(folder: Path) -> Tokenizer:
    names = (*TOKENIZER_FILES, *OTHER_FILES, CONFIG_FILE)
    files = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    config = read_config(files)
    files.pop(CONFIG_FILE, None)
    if OF_PIECES in config and files.keys() & set(PIECES_FILES):
        of_pieces = config.pop(OF_PIECES)
        config = {name: value for name, value in config.items() if name not in OF_CLASSES} | of_pieces
        files.pop("tokenizer.json", None)
    kind = config.get("tokenizer_class") or config.get("init_class") or ""
    if "tokenizer.json" in files:
        backend = Backend.from_str(text_of(files["tokenizer.json"], "tokenizer.json"))
        return JsonTokenizer(backend, kind, config, files)
    for name in PIECES_FILES:
        if name in files:
            _check_pieces(name, files[name], kind)
            return SentencePieceTokenizer(files[name], kind, config, files)
    if {"vocab.json", "merges.txt"} <= files.keys() and kind.startswith("Qwen2"):
        return JsonTokenizer(_qwen2_backend(files), kind, config, files)
    if "vocab.json" in files:
        raise ValueError(
            f"vocab.json and merges.txt do not say how {kind or 'a tokenizer without tokenizer_class'} splits text; "
            "only Qwen2Tokenizer's way is known. Put its tokenizer.json into the folder."
        )
    raise ValueError(f"{folder} has none of {', '.join(TOKENIZER_FILES)}")


def _check_pieces(name: str, model: bytes, kind: str) -> None:
    if TIKTOKEN.match(model):
        raise ValueError(f"{name} is a tiktoken vocabulary, as Llama 3 has: put that model's tokenizer.json next to it")
    if kind and not kind.startswith(LLAMA):
        raise ValueError(f"{kind} numbers the pieces of {name} differently: put its tokenizer.json next to it")


def _download(name: str) -> Path:
    from paddlenlp.utils.download import resolve_file_path

    found = [resolve_file_path(name, CONFIG_FILE)]
    for file in (*TOKENIZER_FILES, *OTHER_FILES):
        with contextlib.suppress(OSError):  # without a connection only what was downloaded before is there
            found.append(resolve_file_path(name, file))
    found = [Path(path) for path in found if path]
    if not found:
        raise ValueError(f"PaddleNLP knows no tokenizer named {name!r}")
    return found[0].parent


def _qwen2_backend(files: dict[str, bytes]) -> Backend:
    vocabulary = object_of(files["vocab.json"], "vocab.json")
    lines = text_of(files["merges.txt"], "merges.txt").split("\n")
    merges = [tuple(line.split()) for line in lines if line.strip() and not line.startswith("#version:")]
    backend = Backend(models.BPE(vocabulary, merges))
    backend.normalizer = normalizers.NFC()
    words = pre_tokenizers.Split(Regex(QWEN2_WORDS), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)])
    backend.decoder = decoders.ByteLevel()
    return backend
