"""Load a tokenizer from a folder or by name."""

from __future__ import annotations

from paddlenlp.transformers import AutoTokenizer

from llm.core.errors import in_short

TOKENIZER_FILES = ("tokenizer.model", "sentencepiece.bpe.model", "tokenizer.json", "vocab.json")


def load_tokenizer(name_or_path: str):
    try:
        return AutoTokenizer.from_pretrained(name_or_path)
    except Exception as error:
        raise ValueError(
            f"tokenizer_name_or_path: no tokenizer could be read from {name_or_path!r} ({in_short(error)}). "
            f"Its folder needs one of {', '.join(TOKENIZER_FILES)} and tokenizer_config.json."
        ) from error
