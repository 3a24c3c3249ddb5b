"""Rows of compared answers with what a file says of them ahead. No paddle here."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import partial
from pathlib import Path

from llm.alignment.dpo.dpo_checks import AHEAD
from llm.alignment.dpo.reference import store
from llm.alignment.dpo.reference.store import Known
from llm.core.rows.answer_payload import ComparedAnswers, JudgedAnswers
from llm.core.rows.row import Row
from llm.core.run.packed_rows import PackedRows, weighed
from llm.core.run.row_stream import RowStream

RUN = "Run python -m llm reference-logprobs with this configuration"


def read_file(path: Path) -> tuple[dict, Known]:
    """(what it was made from, what it holds); ValueError where there is none, or a damaged one."""
    if not path.is_file():
        raise ValueError(f"{AHEAD}: {path} is not there. {RUN}; it writes this file.")
    try:
        return store.read(path)
    except ValueError as error:
        raise ValueError(f"{AHEAD}: {error}. Delete the file. {RUN} again.") from error


def with_reference(packed: PackedRows, path: Path) -> PackedRows:
    """Every answer is looked up now; of a stream, which is read again in every pass, when its row is."""
    _, known = read_file(path)
    rows = weighed(packed.rows, partial(row_with_reference, known=known, path=path))
    if not isinstance(rows, RowStream):
        deque(rows, maxlen=0)
    return replace(packed, rows=rows)


def row_with_reference(row: Row, known: Known, path: Path) -> Row:
    payload = row.payload
    assert isinstance(payload, ComparedAnswers | JudgedAnswers)
    log_p, is_known = known.look_up(payload.keys)
    if not is_known.all():
        raise ValueError(
            f"{AHEAD}: {path} is stale: it lacks {int((~is_known).sum())} of {len(is_known)} answers of "
            f"{', '.join(row.records[:3])}. The data, the model, its tokenizer or a limit has changed since. {RUN} "
            "again; it computes what is missing, or says that the file is of another model."
        )
    return replace(row, payload=replace(payload, reference=log_p))
