"""Runs of four updates, each of which is saved, and faults for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from llm.alignment.rm.flashmask.reward_objective import LabelObjective
from llm.core.train import finite
from llm.core.train.exact_trainer import ExactTrainer
from tests.alignment.rm import faulty_run
from tests.factories import twelve_updates

LAYOUTS = {
    "data parallel": {"sharding": ""},
    "sharding stage 2": {"sharding": "stage2"},
    "sharding stage 3": {"sharding": "stage3"},
    "tensor parallel": {"tensor_parallel_degree": 2, "gradient_accumulation_steps": 4},
    "pipeline": {"pipeline_parallel_degree": 2, "gradient_accumulation_steps": 4},
}


def flags_of(tiny, folder, **changes) -> list[str]:
    """Four rows in an update, one in a micro-batch, and every update saved."""
    short = {"max_steps": 4, "save_steps": 1, "logging_steps": 1, "do_eval": False, "warmup_steps": 0}
    return twelve_updates(tiny, folder, **{"per_device_train_batch_size": 1, **short, **changes})


def alone(tiny, folder, **changes) -> list[str]:
    return flags_of(tiny, folder, **{"gradient_accumulation_steps": 4, **changes})


@contextlib.contextmanager
def disturbed(**faults) -> Iterator[None]:
    """Inside, this process has these faults of faulty_run.py."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, method in (
            (LabelObjective, "loss_and_statistics"),
            (ExactTrainer, "_settle"),
            (ExactTrainer, "_share_of_update"),
            (ExactTrainer, "_maybe_log_save_evaluate"),
        ):
            patch.setattr(owner, method, getattr(owner, method))
        patch.setattr(finite, "LARGEST", finite.LARGEST)
        for name, values in faults.items():
            getattr(faulty_run, name)(**values)
        yield
