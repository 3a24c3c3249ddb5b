"""Files that a command reads, each damaged once: a bit is flipped, the end is missing, a pickle takes its place."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from random import Random

from llm.core.model.whole import LIST
from tests.faults import trees
from tests.faults.commands import COMMANDS, Command, all_outcomes, run, run_again
from tests.faults.one_by_one import Case
from tests.faults.outcomes import (
    HANG,
    MESSAGE,
    NO_EFFECT,
    NOT_DETECTABLE,
    SILENT,
    TRACEBACK,
    WRONG_MESSAGE,
    Row,
)
from tests.runs import STACK, End

# names under which libraries look for pickles, in the folders of models, adapters and checkpoints
PICKLES = ("model_state.pdparams", "lora_model_state.pdparams", "optimizer.pdopt", "master_weights.pdparams")
PICKLES += ("rng_state.pth", "scheduler.pdparams", "scaler.pdparams", "training_args.bin", "pytorch_model.bin")
MARKER = "marker"
WEIGHTS = (".safetensors", ".pdparams")


class Planted:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def flipped(random: Random, content: bytes) -> bytes:
    """Half of them at the beginning, where a file says what it is."""
    at = random.randrange(min(len(content), random.choice((200, len(content)))))
    return content[:at] + bytes([content[at] ^ 1 << random.randrange(8)]) + content[at + 1 :]


def truncated(random: Random, content: bytes) -> bytes:
    return content[: random.randrange(len(content))]


CHANGES = {"flips": flipped, "truncations": truncated}
PLANTED = "planted pickles"


def sweep(tiny: Path, folder: Path, name: str, seed: int, every: int = 1) -> list[Row]:
    """Of flipped bits, truncations and planted pickles. `every`: of the files, each so many-th."""
    command, tree, wanted = begin(tiny, folder, name)
    cases = [(kind, path) for kind in CHANGES for path in command.reads(folder)[::every]]
    cases += [(PLANTED, path) for path in placements(command, folder)[::every]]
    rows = {kind: Row(f"{kind}: {name}") for kind in (*CHANGES, PLANTED)}
    found = all_outcomes(command, damaging, (folder, name, seed, cases, tree, wanted), range(len(cases)))
    for (kind, path), (outcome, what) in zip(cases, found, strict=True):
        rows[kind].add(outcome, f"{path.relative_to(folder)}: {what}")
    return list(rows.values())


def damaging(
    _: Path, folder: Path, name: str, seed: int, cases: list[tuple[str, Path]], tree: trees.Tree, wanted: object
) -> Case:
    trees.write(folder, tree)  # another process may have been lost

    def outcome_of(number: int) -> tuple[str, str]:
        kind, path = cases[number]
        content = pickle.dumps({"a": Planted(folder / MARKER)}, 4)
        if kind in CHANGES:
            content = CHANGES[kind](Random(f"{seed} {kind} {path.name}"), path.read_bytes())
        return outcome_with(content, COMMANDS[name], folder, tree, path, wanted)

    return outcome_of


def placements(command: Command, folder: Path) -> list[Path]:
    given = command.reads(folder)
    models = {path.parent for path in given if path.suffix == ".safetensors" or path.suffix == ".pdparams"}
    return [*given, *(model / name for model in sorted(models) for name in PICKLES if model / name not in given)]


def begin(tiny: Path, folder: Path, name: str) -> tuple[Command, trees.Tree, object]:
    """A command, what is given to it, and what it makes of that."""
    command = COMMANDS[name]
    trees.write(folder / "tiny", trees.read(tiny))
    command.prepare(folder)
    tree = trees.read(folder)
    ends = run(command, folder)
    assert not any(end.code for end in ends), ends
    wanted = command.result(folder)
    trees.write(folder, tree)
    return command, tree, wanted


def outcome_with(
    content: bytes, command: Command, folder: Path, tree: trees.Tree, path: Path, wanted: object
) -> tuple[str, str]:
    """Of the command with another content of this file. Afterwards the folder is as it was."""
    is_new = not path.exists()
    path.write_bytes(content)
    outcome, what = judged(run_again(command, folder), path)
    if is_new:
        path.unlink(missing_ok=True)
    if outcome == NO_EFFECT and (found := _result(command, folder)) != wanted:
        outcome, what = (SILENT if is_protected(folder, path) else NOT_DETECTABLE), difference(wanted, found)
    if (folder / MARKER).exists():
        outcome, what = SILENT, "the pickle has run"
    trees.write(folder, tree)
    return outcome, what


def _result(command: Command, folder: Path) -> object:
    try:
        return command.result(folder)
    except OSError:  # a setting says that it is somewhere else
        return None


def judged(ends: list[End], path: Path | None) -> tuple[str, str]:
    """What the processes of a command show; `path` is what is wrong. Of weights the folder says enough."""
    shown = "\n".join(end.shown for end in ends)
    if any(end.code is None for end in ends):
        return HANG, shown[-300:]
    if STACK in shown or any(end.code not in (0, 2, 3) for end in ends):
        return TRACEBACK, f"{[end.code for end in ends]} {shown[-600:]}"
    _, _, error = shown.partition("error: ")
    if any(end.code for end in ends):
        names = [path.name, *([str(path.parent)] if path.suffix in WEIGHTS else [])] if path else []
        return (MESSAGE if any(name in error for name in names) else WRONG_MESSAGE), error[:400]
    return (MESSAGE if path and f"it is damaged: {path.name}" in shown else NO_EFFECT), ""


def is_protected(folder: Path, path: Path) -> bool:
    """By a checksum that is kept."""
    return path.parent.name.startswith("checkpoint-") or (path.parent / LIST).exists()


def difference(wanted: object, found: object) -> str:
    if isinstance(wanted, tuple) and isinstance(found, tuple):
        pairs = [(one, other) for one, other in zip(wanted, found, strict=True) if one != other]
        return " and ".join(difference(*pair) for pair in pairs)
    if isinstance(wanted, set) and isinstance(found, set):
        return f"files {sorted(found - wanted)} in place of {sorted(wanted - found)}"
    return f"{type(wanted).__name__} differs"
