"""What is disturbed: commands, the files that they read, and what they leave."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests import factories
from tests.faults import forms, watching
from tests.runs import FORKS, End, ends_of_ranks, history

SECONDS = 120  # of one command; it takes about one
TRAINER = "llm.core.train.exact_trainer:ExactTrainer"
INPUT, SCORES, MADE = "solutions.jsonl", "scores.jsonl", "made"
RESUMED = ("full", "LoRA", ".pdparams", "LoRA .pdparams", "stage3", "fine-tuning")


class Command(NamedTuple):
    """All of it is in one folder: tiny/ with model and data, run/config.json and run/out, and what it writes."""

    prepare: Callable[[Path], object]
    run: Callable[..., list[End]]  # (folder, watched=None): of each process
    result: Callable[[Path], object]
    reads: Callable[[Path], list[Path]]


def ended(folder: Path, module: str, argv: list[str], watched: tuple[Path, Path] | None = None) -> list[End]:
    """A verb of the command line, in a process that has imported paddle already."""
    log = folder / "log"
    process = FORKS.Process(target=_run, args=(folder, log, module, argv, watched))
    process.start()
    process.join(SECONDS)
    code = process.exitcode
    process.kill()
    process.join()
    return [End(code, log.read_text(errors="replace"))]


def _run(folder: Path, log: Path, module: str, argv: list[str], watched: tuple[Path, Path] | None) -> None:
    os.chdir(folder)
    with log.open("w") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    if watched:
        watching.start(*watched)
    importlib.import_module(module).main(argv)


def files_of(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file() and path.stat().st_size]


# ---- training


def out_of(folder: Path) -> Path:
    return folder / "run/out"


def train(form: str) -> Callable[..., list[End]]:
    def run(folder: Path, watched: tuple[Path, Path] | None = None) -> list[End]:
        faults = {"watch": dict(zip(("folder", "store"), map(str, watched), strict=True))} if watched else {}
        flags = [str(folder / "run/config.json")]
        how = forms.FORMS[form]
        return ends_of_ranks(flags, folder / "run", how.ranks, SECONDS, how.script, **faults)

    return run


def trained(folder: Path) -> object:
    """The weights, all that was logged, and the names of the files."""
    out = out_of(folder)
    weights = {path.name: path.read_bytes() for kind in ("*.safetensors", "*.pdparams") for path in out.glob(kind)}
    names = {str(path.relative_to(out)) for path in out.rglob("*") if "runs" not in path.parts}
    return weights, history(out), names


def start(form: str, data: tuple[str, ...]) -> Command:
    """A run from its beginning; `data` are its files of records."""
    return Command(
        lambda folder: forms.flags_of(folder, folder / "run", form, max_steps=1),
        train(form),
        trained,
        lambda folder: [
            *files_of(folder / "tiny/model"),
            *(folder / "tiny" / name for name in data),
            folder / "run/config.json",
        ],
    )


def prepare_resume(form: str) -> Callable[[Path], None]:
    """Killed in its third update."""

    def prepare(folder: Path) -> None:
        flags = forms.flags_of(folder, folder / "run", form, max_steps=3)
        kill = {"rank": 0, "inside": f"{TRAINER}.compute_loss", "step": 2}
        how = forms.FORMS[form]
        first, *_ = ends_of_ranks(flags, folder / "run", how.ranks, SECONDS, how.script, sigkill=kill)
        assert first.code == -9, first.shown

    return prepare


def resume(form: str) -> Command:
    return Command(
        prepare_resume(form),
        train(form),
        trained,
        lambda folder: [*files_of(out_of(folder), out_of(folder) / "checkpoint-2")],
    )


# ---- what reads a finished model


def prepare_finished(form: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        forms.run(folder, folder / "run", form)
        records = factories.read_lines(folder / "tiny/dev.jsonl")[:3]
        (folder / INPUT).write_text("".join(json.dumps(record) + "\n" for record in records))

    return prepare


def score(folder: Path, watched: tuple[Path, Path] | None = None) -> list[End]:
    return ended(folder, "llm.scoring.score", [str(out_of(folder)), str(folder / INPUT), str(folder / SCORES)], watched)


def merge(folder: Path, watched: tuple[Path, Path] | None = None) -> list[End]:
    return ended(folder, "llm.export.merge_lora", [str(out_of(folder)), str(folder / MADE)], watched)


def export(folder: Path, watched: tuple[Path, Path] | None = None) -> list[End]:
    arguments = [str(out_of(folder)), str(folder / MADE), "--to", "token-classification"]
    return ended(folder, "llm.export.export", arguments, watched)


def scored(folder: Path) -> object:
    return (folder / SCORES).read_bytes()


def made(folder: Path) -> object:
    return {path.name: path.read_bytes() for path in (folder / MADE).iterdir()}


def of_model(folder: Path) -> list[Path]:
    return files_of(out_of(folder))


def of_adapters(folder: Path) -> list[Path]:
    return files_of(out_of(folder), folder / "tiny/model")


FULL, LORA = prepare_finished("full"), prepare_finished("LoRA")
COMMANDS = {
    "training": start("full", ("train.jsonl", "dev.jsonl")),
    "fine-tuning": start("fine-tuning", ("answers.jsonl", "dev_answers.jsonl")),
    **{f"resuming {form}": resume(form) for form in RESUMED},
    "score": Command(FULL, score, scored, of_model),
    "score, LoRA": Command(LORA, score, scored, of_adapters),
    "merge-lora": Command(LORA, merge, made, of_adapters),
    "export": Command(FULL, export, made, of_model),
}
