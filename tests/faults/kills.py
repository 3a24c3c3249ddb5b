"""Commands that are killed at every file operation: the same command goes on to what it would have made. And a second
run into the folder of a finished one: what is found there is one of the two, never a mixture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.faults import forms, trees, watching
from tests.faults.commands import (
    COMMANDS,
    MADE,
    Command,
    all_outcomes,
    out_of,
    run,
    run_again,
    scored,
    training,
)
from tests.faults.damage import difference, judged
from tests.faults.one_by_one import Case
from tests.faults.outcomes import MESSAGE, NO_EFFECT, SILENT, WRONG_MESSAGE, Row
from tests.faults.trees import Tree

OTHER = {"reward_tokens": "-,+", "seed": 7, "overwrite_output_dir": True}  # of the second run
STORE = "store"  # of the states


def prepare_run(form: str) -> Callable[[Path], object]:
    return lambda folder: forms.flags_of(folder, folder / "run", form)


SAVES = {f"saves, {form}": training(form, prepare_run(form), lambda _: []) for form in forms.FORMS}
WRITERS = {**SAVES, "merge-lora": COMMANDS["merge-lora"], "export": COMMANDS["export"]}
REPLACED = "a second run"


def sweep(tiny: Path, folder: Path, name: str, every: int = 1) -> Row:
    """`every`: of the states that the command's folder goes through, each so many-th."""
    command = WRITERS[name]
    trees.write(folder / "tiny", trees.read(tiny))
    command.prepare(folder)
    states = states_of(command, folder, written_by(name, folder))
    return row_of(name, command, going_on, (folder, name, command.result(folder)), states, every)


def going_on(_: Path, folder: Path, name: str, wanted: object) -> Case:
    command, written, states = WRITERS[name], written_by(name, folder), watching.states(folder / STORE)

    def outcome_of(number: int) -> tuple[str, str]:
        trees.write(written, states[number])
        outcome, what = judged(run_again(command, folder), path=None)  # a refusal is wrong: it was only killed
        if outcome == NO_EFFECT and (found := command.result(folder)) != wanted:
            return SILENT, difference(wanted, found)
        return outcome, what

    return outcome_of


def written_by(name: str, folder: Path) -> Path:
    return folder / MADE if name in COMMANDS else out_of(folder)


def sweep_replacement(tiny: Path, folder: Path, every: int = 1) -> Row:
    scoring = COMMANDS["score"]
    trees.write(folder / "tiny", trees.read(tiny))
    scoring.prepare(folder)
    before = scores(folder)
    forms.flags_of(folder, folder / "run", "full", **OTHER)
    states = states_of(SAVES["saves, full"], folder, out_of(folder))
    after = scores(folder)
    assert before != after
    return row_of(REPLACED, scoring, reading_one_of, (folder, before, after), states, every)


def reading_one_of(_: Path, folder: Path, *wanted: object) -> Case:
    command, states = COMMANDS["score"], watching.states(folder / STORE)

    def outcome_of(number: int) -> tuple[str, str]:
        trees.write(out_of(folder), states[number])
        clear_scores(folder)
        outcome, what = judged(run_again(command, folder), path=None)
        if outcome == NO_EFFECT and scored(folder) not in wanted:
            return SILENT, "the scores are of neither run"
        return (MESSAGE if outcome == WRONG_MESSAGE else outcome), what  # the model is not whole, which is said

    return outcome_of


def scores(folder: Path) -> object:
    clear_scores(folder)
    ends = run(COMMANDS["score"], folder)
    assert not any(end.code for end in ends), ends
    return scored(folder)


def clear_scores(folder: Path) -> None:
    for old in folder.glob("scores.jsonl*"):
        old.unlink()


def states_of(command: Command, folder: Path, written: Path) -> list[Tree]:
    (folder / STORE).mkdir()
    ends = run(command, folder, (written, folder / STORE))
    assert not any(end.code for end in ends), ends
    return watching.states(folder / STORE)


def row_of(
    name: str, command: Command, make: Callable[..., Case], arguments: tuple, states: list[Tree], every: int
) -> Row:
    row, numbers = Row(f"kills: {name}"), range(0, len(states), every)
    for number, (outcome, what) in zip(numbers, all_outcomes(command, make, arguments, numbers), strict=True):
        state = states[number]
        row.add(outcome, f"state {number} ({len(state)} files, last {max(state, default='none')}): {what}")
    return row
