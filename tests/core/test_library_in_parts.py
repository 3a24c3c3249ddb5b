"""Training does not import what it does not need of PaddleNLP, and what else somebody asks for is still there."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.runs

NOT_NEEDED = "pandas", "sklearn", "fastapi", "aiohttp", "paddlenlp.taskflow", "paddlenlp.trl", "paddlenlp.server"
SCRIPT = f"""
import sys
from llm.core.cpu import environment
from llm.core import library_in_parts
environment.prepare()
library_in_parts.prepare()
library_in_parts.prepare()
assert sum(type(finder).__module__ == library_in_parts.__name__ for finder in sys.meta_path) == 1
from llm.alignment.rm.flashmask import reward_start
from llm.core.run import work
assert not (there := [name for name in {NOT_NEEDED} if name in sys.modules]), there

import paddlenlp
version = paddlenlp.__version__
from paddlenlp import Taskflow, transformers
from paddlenlp.trainer import PdArgumentParser, Trainer
from datasets import Dataset
assert Trainer in work.ExactTrainer.__mro__
assert paddlenlp.trl is sys.modules["paddlenlp.trl"] and paddlenlp.__version__ == version
for package in (paddlenlp, paddlenlp.trainer):
    try:
        package.no_such_name
    except AttributeError as error:
        assert "no_such_name" in str(error)
    else:
        raise AssertionError(package)
"""


def test_training_imports_what_it_needs_and_the_rest_is_there_when_it_is_asked_for():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
