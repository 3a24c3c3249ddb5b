"""A data set, a tokenizer and a model small enough for seconds, made once per test session."""

import fcntl
import functools
import gc
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))
# Tests run whole training runs in this process and beside it; one thread each is faster than two that share cores.
os.environ.setdefault("MKL_NUM_THREADS", "1")

from llm.core import library_in_parts
from llm.core.cpu import environment

environment.prepare()
library_in_parts.prepare()  # as a training does

import hypothesis
import pytest

from llm.core.checkpoint import output_folder
from tests import factories

# How long an example takes says something about the machine, not about the code; each run draws other examples.
hypothesis.settings.register_profile("short", deadline=None, max_examples=40)
hypothesis.settings.load_profile("short")


def pytest_collection_finish():
    """PaddleNLP collects garbage in every run, and would look at all that was imported each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_runs_unmarked(request, monkeypatch):
    """Without the marker `runs` a test trains nothing and starts no Python: make test-fast would wait for it."""
    if request.node.get_closest_marker("runs"):
        return
    popen = subprocess.Popen.__init__

    def refuse(*args, **kwargs):
        pytest.fail("this test trains or starts a process: mark it with pytest.mark.runs (see CONTRIBUTING.md)")

    def start_other_programs(process, command, *args, **kwargs):
        if command[0] == sys.executable:
            refuse()
        popen(process, command, *args, **kwargs)

    monkeypatch.setattr(subprocess.Popen, "__init__", start_other_programs)
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", refuse)
    monkeypatch.setattr(output_folder, "locked", refuse)  # what a run does before it trains


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """made_once(name, make): a folder for the whole session, which make(folder) fills once for all processes of
    pytest-xdist."""
    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def folder_of(name: str, make: Callable[[Path], object]) -> Path:
        folder, mark = common / name, common / f"{name}.made"
        with (common / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not mark.exists():
                folder.mkdir()
                make(folder)
                mark.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def tiny(made_once):
    """folder/model (a Llama of 2 layers and its tokenizer); labelled records in folder/train.jsonl (120) and dev.jsonl
    (24); preferences of the same problems in folder/pairs.jsonl (86) and dev_pairs.jsonl (17)."""
    from paddlenlp.utils.log import logger

    logger.set_level("ERROR")
    return made_once("tiny", make_tiny)


def make_tiny(folder: Path) -> None:
    from llm.data.generate_arithmetic import preferences, records, solution_text, write
    from llm.data.train_tokenizer import train_tokenizer

    write(folder / "train.jsonl", records(30))
    write(folder / "dev.jsonl", records(6, split="dev"))
    write(folder / "pairs.jsonl", preferences(30))
    write(folder / "dev_pairs.jsonl", preferences(6, split="dev"))
    rows = factories.read_lines(folder / "train.jsonl")
    texts = [solution_text(record["src"][0], record["responses"]) for record in rows]
    tokenizer = train_tokenizer(texts, folder / "model", vocabulary=640)
    factories.save_model(factories.random_model("Llama", len(tokenizer)), folder / "model")


@pytest.fixture(scope="session")
def tokenizer(tiny):
    from llm.core.text.load_tokenizer import load_tokenizer

    return load_tokenizer(str(tiny / "model"))


@pytest.fixture(scope="session")
def tokens(tokenizer):
    from llm.core.text.reward_tokens import find_reward_tokens

    return find_reward_tokens(tokenizer, "ки", ("+", "-"))


@pytest.fixture
def settings_of(tiny, tmp_path):
    """Flags of a run of 6 updates into tmp_path/out, with changes: settings_of(max_steps=3)."""
    return functools.partial(factories.six_updates, tiny, tmp_path)
