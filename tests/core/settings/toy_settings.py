"""Settings for the tests of this folder, and what the reader makes of them."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import List, Literal, Optional, Union  # noqa: UP035 - the trainer's classes use these forms

import pytest

from llm.core.settings.parse import parse
from llm.core.settings.settings import SettingsError


class Strategy(Enum):
    NO = "no"
    STEPS = "steps"
    EPOCH = "epoch"


@dataclass
class TrainerBase:
    """Stands for the trainer's own class: defaults of another form than the type, typing's old spellings."""

    output_dir: str = field(metadata={"help": "Where it goes."})
    evaluation_strategy: Strategy = field(default="no", metadata={"help": "When to evaluate."})
    eval_steps: int = field(default=None, metadata={"help": "Steps between evaluations."})
    save_total_limit: Optional[int] = None  # noqa: UP045
    label_names: Optional[List[str]] = None  # noqa: UP006, UP045
    skip_intervals: Optional[List[List[int]]] = None  # noqa: UP006, UP045
    scale_loss: float = 32768
    logging_dir: Optional[str] = None  # noqa: UP045
    no_cuda: bool = False


@dataclass
class Training(TrainerBase):
    """What our documents describe."""

    output_dir: str = field(default="./checkpoints", metadata={"help": "Where the checkpoints go."})
    max_steps: int = field(default=100, metadata={"help": "Steps to run."})
    learning_rate: float = field(default=1e-6, metadata={"help": "Its initial value, reached after warm-up."})
    bf16: bool = field(default=True, metadata={"help": "Compute in bfloat16."})
    granularity: str = field(default="full", metadata={"help": "What.", "choices": ["full", "core_attn"]})

    def __post_init__(self):
        self.evaluation_strategy = Strategy(self.evaluation_strategy)
        self.logging_dir = self.logging_dir or f"{self.output_dir}/runs"


@dataclass
class Data:
    paths: Union[str, List[str]] = "train.json"  # noqa: UP006, UP007
    max_seq_len: int = field(default=4096, metadata={"help": "Longest input."})
    max_prompt_len: int = 2048
    folder: Path = Path("data")
    extra: dict = field(default_factory=dict)
    sizes: List[int] = field(default_factory=lambda: [1, 2])  # noqa: UP006
    level: Literal[1, 2, "auto"] = "auto"
    granularity: str = field(default="full", metadata={"help": "What.", "choices": ["full", "core_attn"]})


CLASSES = (Training, Data)
MISPRINTS = {"max_seq_le": "max_seq_len"}


def checked(*arguments):
    settings = parse(*arguments)
    settings.check()
    return settings


def read(*argv):
    return checked(CLASSES, list(argv), "Trains.", MISPRINTS)


def problems(function, *argv):
    with pytest.raises(SettingsError) as caught:
        function(*argv)
    assert all(line in str(caught.value) for line in caught.value.problems)
    return caught.value.problems


def one_problem(function, *argv):
    (line,) = problems(function, *argv)
    return line
