"""What is saved gives the same ids to every reader: this project, PaddleNLP's AutoTokenizer and transformers'.

transformers is no part of the pinned environment: its part is skipped unless it is installed.
"""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import sentencepiece

from llm.core.records.records import Record
from llm.core.text.encoding import StepEncoder
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.pieces_as_json import backend_of
from llm.core.text.reward_tokens import add_placeholder, find_reward_tokens

PLACEHOLDER = "<|step|>"
TEXTS = [
    "",
    "a",
    " a",
    "  two blanks",
    "ends with a blank ",
    "\n",
    "\nstep",
    "a\n\n  b\t",
    "16 - 9 = 1234567",
    r"\frac{1}{2}$",
    "Шаг ки",
    "日本語の手順。",
    "e\u0301 \u00a0x",
    "🙂 naïve",
    "<0x0A> <unk>",
    "so</s>so </s> so",
    "<s>so<s> so",
    "a<|eot_id|>\n\nb <|im_end|> c<think> d",
    f"so {PLACEHOLDER}\nso {PLACEHOLDER}",
    f"so{PLACEHOLDER}so{PLACEHOLDER}{PLACEHOLDER}\n",
    f"{PLACEHOLDER}so</s>{PLACEHOLDER} so",
    f" {PLACEHOLDER}</s> {PLACEHOLDER}",
]


def rewrite(folder: Path, **changes) -> None:
    """Change tokenizer_config.json; ... takes a setting out."""
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps({name: value for name, value in config.items() if value is not ...}), encoding="utf-8")


def pieces_without_config(folder: Path) -> None:
    (folder / "tokenizer.model").rename(folder / "sentencepiece.bpe.model")
    (folder / "tokenizer_config.json").unlink()


def pieces_of_paddlenlp(folder: Path) -> None:
    from paddlenlp.transformers import LlamaTokenizer

    tokenizer = LlamaTokenizer(str(folder / "tokenizer.model"))
    tokenizer.save_pretrained(str(folder))
    (folder / "tokenizer.model").unlink()


def merges_of_paddlenlp(folder: Path) -> None:
    from paddlenlp.transformers import Qwen2Tokenizer

    Qwen2Tokenizer.from_pretrained(str(folder)).save_pretrained(str(folder))


def pieces_and_json(folder: Path) -> None:
    """As the folders of Llama 2 and Mistral are."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    backend_of(model, blank_first=True, blank_later=True).save(str(folder / "tokenizer.json"))


# name -> (fixture, what is changed in its folder, model_type)
FOLDERS = {
    "tokenizer.model": ("llama2", lambda folder: None, "llama"),
    "tokenizer.model, newer": ("llama2", lambda folder: rewrite(folder, legacy=False), "llama"),
    "tokenizer.model, no blank first": ("llama2", lambda folder: rewrite(folder, add_prefix_space=False), "mistral"),
    "tokenizer.model, ends": ("llama2", lambda f: rewrite(f, add_bos_token=False, add_eos_token=True), "llama"),
    "tokenizer.model and json": ("llama2", pieces_and_json, "mistral"),
    "sentencepiece.bpe.model": ("llama2", pieces_without_config, "llama"),
    "PaddleNLP's LlamaTokenizer": ("llama2", pieces_of_paddlenlp, "llama"),
    "Llama 3": ("llama3", lambda folder: None, "llama"),
    "Llama 3, Llama's class": ("llama3", lambda f: rewrite(f, tokenizer_class="LlamaTokenizer", legacy=True), "llama"),
    "Qwen2": ("qwen2", lambda folder: None, "qwen2"),
    "vocab and merges": ("qwen2_merges", lambda folder: None, "qwen2"),
    "PaddleNLP's Qwen2Tokenizer": ("qwen2_merges", merges_of_paddlenlp, "qwen2"),
}


@pytest.fixture(scope="module", params=[True, False], ids=["placeholder added", "as it was"])
def is_added(request):
    return request.param


@pytest.fixture(scope="module", params=FOLDERS)
def saved(request, is_added, tmp_path_factory):
    """(folder, the tokenizer that was saved there)"""
    source, change, model_type = FOLDERS[request.param]
    base, folder = tmp_path_factory.mktemp("base") / "model", tmp_path_factory.mktemp("saved") / "model"
    shutil.copytree(request.getfixturevalue(source), base)
    change(base)
    tokenizer = load_tokenizer(str(base))
    if is_added:
        add_placeholder(tokenizer, PLACEHOLDER)
    tokenizer.save_pretrained(str(folder))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    expected = {text: ids_here(tokenizer, text) for text in TEXTS}
    (folder / "expected.json").write_text(json.dumps(expected))
    return folder, tokenizer


def ids_here(tokenizer, text: str) -> list[int]:
    return tokenizer(text, split_special_tokens=False)["input_ids"]


def ids_of_this_project(folder: Path):
    tokenizer = load_tokenizer(str(folder))
    return lambda text: ids_here(tokenizer, text)


def ids_of_paddlenlp(folder: Path):
    from paddlenlp.transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    return lambda text: tokenizer(text)["input_ids"]


def ids_of_transformers(folder: Path):
    if find_spec("transformers") is None:
        pytest.skip("transformers is not installed")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    return lambda text: tokenizer(text)["input_ids"]


READERS = {
    "this project": ids_of_this_project,
    "PaddleNLP": ids_of_paddlenlp,
    "transformers": ids_of_transformers,
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_gives_the_ids_of_the_tokenizer_that_was_saved(saved, reader):
    folder, tokenizer = saved
    ids = READERS[reader](folder)
    assert {text: ids(text) for text in TEXTS} == {text: ids_here(tokenizer, text) for text in TEXTS}
