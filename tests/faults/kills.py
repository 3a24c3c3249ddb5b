"""Commands that are killed at every file operation: the same command goes on to what it would have made. And a second
run into the folder of a finished one: what is found there is one of the two, never a mixture."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.faults import forms, trees, watching
from tests.faults.commands import (
    COMMANDS,
    MADE,
    Command,
    out_of,
    prepare_finished,
    score,
    scored,
    train,
    trained,
)
from tests.faults.damage import difference, judged
from tests.faults.outcomes import MESSAGE, NO_EFFECT, SILENT, WRONG_MESSAGE, Row
from tests.faults.trees import Tree

OTHER = {"reward_tokens": "-,+", "seed": 7, "overwrite_output_dir": True}  # of the second run


def prepare_run(form: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        forms.flags_of(folder, folder / "run", form)

    return prepare


SAVES = {f"saves, {form}": Command(prepare_run(form), train(form), trained, lambda _: []) for form in forms.FORMS}
WRITERS = {**SAVES, "merge-lora": COMMANDS["merge-lora"], "export": COMMANDS["export"]}
REPLACED = "a second run"


def sweep(tiny: Path, folder: Path, name: str, every: int = 1) -> Row:
    """`every`: of the states that the command's folder goes through, each so many-th."""
    command, row = WRITERS[name], Row(f"kills: {name}")
    written = folder / MADE if name in COMMANDS else out_of(folder)
    trees.write(folder / "tiny", trees.read(tiny))
    command.prepare(folder)
    states = _states(command, folder, written)
    wanted = command.result(folder)
    for number, state in enumerate(states[::every]):
        trees.write(written, state)
        ends = command.run(folder)
        outcome, what = judged(ends, path=None)  # a refusal is wrong: nothing has happened but a kill
        if outcome == NO_EFFECT and (found := command.result(folder)) != wanted:
            outcome, what = SILENT, difference(wanted, found)
        row.add(outcome, f"state {number * every} ({_last(state)}): {what}")
    return row


def sweep_replacement(tiny: Path, folder: Path, every: int = 1) -> Row:
    row = Row(f"kills: {REPLACED}")
    trees.write(folder / "tiny", trees.read(tiny))
    prepare_finished("full")(folder)
    before = _scores(folder)
    forms.flags_of(folder, folder / "run", "full", **OTHER)
    command = Command(lambda _: None, train("full"), scored, lambda _: [])
    states = _states(command, folder, out_of(folder))
    after = _scores(folder)
    assert before != after
    for number, state in enumerate(states[::every]):
        trees.write(out_of(folder), state)
        ends = _score(folder)
        outcome, what = judged(ends, path=None)
        outcome = MESSAGE if outcome == WRONG_MESSAGE else outcome  # the model is not whole, which is said
        if outcome == NO_EFFECT and scored(folder) not in (before, after):
            outcome, what = SILENT, "the scores are of neither run"
        row.add(outcome, f"state {number * every} ({_last(state)}): {what}")
    return row


def _states(command: Command, folder: Path, written: Path) -> list[Tree]:
    store = folder / "store"
    store.mkdir()
    ends = command.run(folder, watched=(written, store))
    assert not any(end.code for end in ends), ends
    states = watching.states(store)
    shutil.rmtree(store)
    return states


def _score(folder: Path):
    for old in folder.glob("scores.jsonl*"):
        old.unlink()
    return score(folder)


def _scores(folder: Path) -> object:
    ends = _score(folder)
    assert not any(end.code for end in ends), ends
    return scored(folder)


def _last(state: Tree) -> str:
    """What tells states apart for a reader."""
    return f"{len(state)} files, last {max(state, default='none')}"
