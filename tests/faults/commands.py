"""What is disturbed: commands, the files that they read, and what they leave."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from paddle.utils import unique_name
from safetensors.numpy import load_file

from llm.core.parallel import ranks
from llm.export.export import main as export
from llm.export.merge_lora import main as merge
from llm.scoring.score import main as score
from tests import factories
from tests.faults import forms
from tests.faults.one_by_one import Case, outcomes, show_in
from tests.runs import End, ends_of_ranks, history

SECONDS = 120  # of one command; it takes less than one
TRAINER = "llm.core.train.exact_trainer:ExactTrainer"
INPUT, SCORES, MADE = "solutions.jsonl", "scores.jsonl", "made"
RESUMED = ("full", "LoRA", ".pdparams", "LoRA .pdparams", "stage3", "fine-tuning")


class Command(NamedTuple):
    """All of it is in one folder: tiny/ with model and data, run/config.json and run/out, and what it writes."""

    prepare: Callable[[Path], object]
    main: Callable[[list[str]], object]
    argv: Callable[[Path], list[str]]
    result: Callable[[Path], object]
    reads: Callable[[Path], list[Path]]
    ranks: int = 1


def run(command: Command, folder: Path, watched: tuple[Path, Path] | None = None) -> list[End]:
    """In processes of its own, which have imported paddle already; `watched` is a folder, and where its states go."""
    faults = {"watch": dict(zip(("folder", "store"), map(str, watched), strict=True))} if watched else {}
    return ends_of_ranks(command.argv(folder), folder, command.ranks, SECONDS, command.main, **faults)


def run_again(command: Command, folder: Path) -> list[End]:
    """One of many times: in this process, which has done it before, but for several ranks."""
    if command.ranks > 1:
        return run(command, folder)
    os.chdir(folder)
    log = folder / "log"
    show_in(log)
    code = 1
    try:
        with unique_name.guard():  # Paddle numbers parameters, and some checkpoints know them by these names
            ranks.run(command.main, command.argv(folder))
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
    show_in(Path(os.devnull))
    return [End(code, log.read_text(errors="replace"))]


def all_outcomes(
    command: Command, make: Callable[..., Case], arguments: tuple, numbers: range
) -> Iterator[tuple[str, str]]:
    """Of cases that run the command again."""
    if command.ranks > 1:
        return map(make(None, *arguments), numbers)
    return outcomes(make, arguments, numbers, SECONDS)


def files_of(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file() and path.stat().st_size]


# ---- training


def out_of(folder: Path) -> Path:
    return folder / "run/out"


def config_of(folder: Path) -> list[str]:
    return [str(folder / "run/config.json")]


def trained(folder: Path) -> object:
    """The weights, all that was logged, and the names of the files. A model may be in one file or in a file of each
    rank, as the last process saves it."""
    out = out_of(folder)
    parts = sorted(out.glob("*.safetensors"))
    weights = {name: tensor.tobytes() for part in parts for name, tensor in load_file(part).items()}
    weights |= {path.name: path.read_bytes() for path in out.glob("*.pdparams")}
    names = {str(path.relative_to(out)) for path in out.rglob("*") if "runs" not in path.parts and path not in parts}
    return weights, history(out), names


def training(form: str, prepare: Callable[[Path], object], reads: Callable[[Path], list[Path]]) -> Command:
    how = forms.FORMS[form]
    return Command(prepare, how.script, config_of, trained, reads, how.ranks)


def start(form: str, *data: str) -> Command:
    """A run from its beginning; `data` are its files of records."""
    return training(
        form,
        lambda folder: forms.flags_of(folder, folder / "run", form, max_steps=1),
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
    return training(
        form, prepare_resume(form), lambda folder: files_of(out_of(folder), out_of(folder) / "checkpoint-2")
    )


# ---- what reads a finished model


def prepare_finished(form: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        forms.run(folder, folder / "run", form)
        records = factories.read_lines(folder / "tiny/dev.jsonl")[:3]
        (folder / INPUT).write_text("".join(json.dumps(record) + "\n" for record in records))

    return prepare


def files_to_score(folder: Path) -> list[str]:
    return [str(out_of(folder)), str(folder / INPUT), str(folder / SCORES)]


def folders_to_merge(folder: Path) -> list[str]:
    return [str(out_of(folder)), str(folder / MADE)]


def folders_to_export(folder: Path) -> list[str]:
    return [*folders_to_merge(folder), "--to", "token-classification"]


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
    "training": start("full", "train.jsonl", "dev.jsonl"),
    "fine-tuning": start("fine-tuning", "answers.jsonl", "dev_answers.jsonl"),
    **{f"resuming {form}": resume(form) for form in RESUMED},
    "score": Command(FULL, score, files_to_score, scored, of_model),
    "score, LoRA": Command(LORA, score, files_to_score, scored, of_adapters),
    "merge-lora": Command(LORA, merge, folders_to_merge, made, of_adapters),
    "export": Command(FULL, export, folders_to_export, made, of_model),
}
