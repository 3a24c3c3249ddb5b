"""The log-probability of every answer of some rows by the reference, into a file, part by part."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.distributed as dist

from llm.alignment.dpo.dpo_run import DpoRun
from llm.alignment.dpo.reference import store
from llm.alignment.dpo.reference.rows import read_file
from llm.alignment.dpo.reference.store import Known
from llm.alignment.dpo.reference.weights import made_from_reference
from llm.core import patches
from llm.core.console import count_of
from llm.core.model import attention, language_model
from llm.core.parallel import rank_failure, ranks
from llm.core.parallel.ranks import say
from llm.core.rows.batch import collate
from llm.core.rows.row import Row
from llm.core.run.language_model import load_reference
from llm.core.run.packed_rows import Rows
from llm.core.run.work import meet_ranks

ROWS_OF_PART = 256


def ask_reference(run: DpoRun, data_sets: list[Rows]) -> int:
    """How many answers the file holds then."""
    file = run.reference_file
    assert file
    with rank_failure.reported():
        patches.apply_to_processes()
        arguments = meet_ranks(run)
        made_from = made_from_reference(run)
        known = _known(file, made_from)
        _meet()  # before any of them writes
        if next(_missing(data_sets, known), None):
            say(f"{len(known.keys):,} answers are known")
            attend, _ = attention.choose(run.model.use_flash_attention, run.model.flash_mask)
            model = load_reference(run, run.reference_path, attend, arguments)
            mine = islice(
                _missing(data_sets, known), arguments.dataset_rank, None, max(arguments.dataset_world_size, 1)
            )
            _write_parts(run, model, mine, made_from, writes=arguments.tensor_parallel_rank == 0)
        _meet()
        if ranks.rank() == 0:
            known = _known(file, made_from)
            store.write(file, made_from, known)
            shutil.rmtree(_parts_of(file), ignore_errors=True)
    return len(known.keys)


def _meet() -> None:
    if ranks.count() > 1:
        dist.barrier()


def _known(file: Path, made_from: dict[str, Any]) -> Known:
    """Of the file and its parts, as far as they are whole and made from the same. ValueError where the file itself is
    not: it is somebody's, and not replaced."""
    found = []
    if file.exists():
        about, known = read_file(file)
        if about != made_from:
            raise ValueError(
                f"reference_logprobs: {file} was made from another model. Delete it, or give another file."
            )
        found.append(known)
    for part in sorted(_parts_of(file).glob("*.safetensors")):
        try:
            about, known = store.read(part)
        except ValueError:  # of a process that was killed
            continue
        found += [known] if about == made_from else []
    return store.merged(found)


def _parts_of(file: Path) -> Path:
    return file.with_name(file.name + store.PARTS)


def _missing(data_sets: list[Rows], known: Known) -> Iterator[Row]:
    return (row for row in chain(*data_sets) if not known.look_up(row.payload.keys)[1].all())


def _write_parts(run: DpoRun, model, rows: Iterator[Row], made_from: dict[str, Any], writes: bool) -> None:
    folder = _parts_of(run.reference_file)
    folder.mkdir(parents=True, exist_ok=True)
    done, number = 0, len(list(folder.glob(_name_of_part("*"))))  # behind those of a command that was ended
    while some := list(islice(rows, ROWS_OF_PART)):
        known = Known.of(*zip(*_log_p_of(run, model, some), strict=True))
        if writes:
            store.write(folder / _name_of_part(f"{number:06d}"), made_from, known)
        done, number = done + len(some), number + 1
        say(f"  {count_of(done, 'row')} of this process")


def _name_of_part(number: str) -> str:
    return f"{ranks.rank():04d}-{number}.safetensors"


@paddle.no_grad()
def _log_p_of(run: DpoRun, model, rows: Iterable[Row]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(keys, log-probabilities) of the answers of some rows at a time."""
    rows = iter(rows)
    while some := list(islice(rows, run.training.per_device_eval_batch_size)):
        arrays = collate(some, pad_id=0, multiple=run.row_multiple, kind=type(some[0].payload))
        batch = {name: paddle.to_tensor(array) for name, array in arrays.items()}
        log_p_M = language_model.outputs(model, batch)[:, 0].astype("float64")
        log_p_A = paddle.geometric.segment_sum(log_p_M, batch["answers"])
        yield arrays["keys"], log_p_A.numpy()
