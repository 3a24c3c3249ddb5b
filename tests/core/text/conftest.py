"""A tokenizer of byte-level pairs."""

from __future__ import annotations

import json

import pytest

from llm.core.text.reward_tokens import find_reward_tokens
from tests.core.text.solutions import PLACEHOLDER


@pytest.fixture(scope="session")
def byte_level(tmp_path_factory):
    """(tokenizer, reward tokens) of Qwen's kind: byte-level BPE that splits by a pattern and puts no start token."""
    from paddlenlp.transformers import Qwen2Tokenizer
    from paddlenlp.transformers.gpt.tokenizer import bytes_to_unicode

    letters = bytes_to_unicode()
    vocabulary, merges = list(letters.values()), []
    for word in (" ки", " +", " -", " step"):
        first, *others = [letters[byte] for byte in word.encode()]
        for other in others:
            merges.append(f"{first} {other}")
            first += other
            vocabulary.append(first)
    folder = tmp_path_factory.mktemp("byte_level")
    (folder / "vocab.json").write_text(json.dumps({text: number for number, text in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *dict.fromkeys(merges)]) + "\n")
    tokenizer = Qwen2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    return tokenizer, find_reward_tokens(tokenizer, PLACEHOLDER, ("+", "-"))
