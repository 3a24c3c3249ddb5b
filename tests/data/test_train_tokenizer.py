"""A tokenizer of its own for any text: as many pieces as asked for, or as the text gives."""

import subprocess
import sys

import pytest

from llm.core.text.load_tokenizer import load_tokenizer
from llm.data.train_tokenizer import train_tokenizer

TEXTS = ["Tom has 3 pens. ки", "He buys 4 pens. ки"]


def test_too_little_text_is_an_error_unless_fewer_pieces_will_do(tmp_path):
    with pytest.raises(RuntimeError, match="too high"):
        train_tokenizer(TEXTS, tmp_path / "exact", 1000)
    tokenizer = train_tokenizer(TEXTS, tmp_path / "fewer", 1000, fewer=True)
    assert 256 < len(tokenizer) < 1000  # a piece for every byte, and then some


def test_it_is_read_back_from_its_folder_as_it_was_by_this_project_and_by_paddlenlp(tmp_path):
    from paddlenlp.transformers import AutoTokenizer

    tokenizer = train_tokenizer(TEXTS, tmp_path, 1000, fewer=True)
    again, paddlenlps = load_tokenizer(str(tmp_path)), AutoTokenizer.from_pretrained(str(tmp_path))
    for text in ("Tom buys 4\n pens, naïve", "  He. ки\nTom", "数 🙂", ""):
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"] == paddlenlps(text)["input_ids"]


def test_the_same_texts_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        train_tokenizer(TEXTS, tmp_path / name, 1000, fewer=True)
    assert {file.name for file in (tmp_path / "one").iterdir()} == {
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
    }
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name


@pytest.mark.runs
def test_it_needs_no_paddle():
    code = (
        "import sys, pathlib, llm.data.train_tokenizer as module\n"
        f"module.train_tokenizer({TEXTS!r}, pathlib.Path(sys.argv[1]), 1000, fewer=True)\n"
        "assert not [name for name in sys.modules if name.startswith('paddle')]"
    )
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", code, folder], check=True)
