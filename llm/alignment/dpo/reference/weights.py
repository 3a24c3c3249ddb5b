"""Which weights a reference has, so that they are known again."""

from __future__ import annotations

from typing import Any

from llm.alignment.dpo.dpo_checks import AHEAD, Reference
from llm.alignment.dpo.dpo_run import DpoRun
from llm.alignment.dpo.reference.rows import RUN, read_file
from llm.alignment.dpo.reference.store import VERSION
from llm.core.model.config import read_sizes
from llm.core.model.head.head_kinds import LM
from llm.core.model.load import fingerprint


def identity_of_reference(run: DpoRun) -> dict[str, str]:
    """What a checkpoint must share with a run that resumes it: a policy is compared with one reference all along."""
    if run.reference in (Reference.NONE, Reference.ADAPTERS):
        return {"reference": run.reference.value}
    made_from = made_from_reference(run)
    if run.reference is Reference.FILE:
        check_file(run, made_from)
    return {"reference": made_from["weights"]}


def made_from_reference(run: DpoRun) -> dict[str, Any]:
    """What a file of log-probabilities is made from."""
    weights = fingerprint(run.reference_path, read_sizes(run.reference_path, LM).model_type)
    return {"version": VERSION, "weights": weights, "dtype": run.precision}


def check_file(run: DpoRun, made_from: dict[str, Any]) -> None:
    """ValueError where it was made from something else."""
    assert run.reference_file
    found, _ = read_file(run.reference_file)
    if found != made_from:
        different = ", ".join(
            f"{name} {found.get(name)} instead of {made_from[name]}" for name in differing(found, made_from)
        )
        raise ValueError(
            f"{AHEAD}: {run.reference_file} is stale: it was made from another model than {run.reference_path} "
            f"({different}). Delete the file. {RUN} again."
        )


def differing(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return [name for name in wanted if found.get(name) != wanted[name]]
