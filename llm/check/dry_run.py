"""A training up to the point where it builds its model: every stage is looked at, whatever the others found."""

from __future__ import annotations

import contextlib
import copy
import io
from pathlib import Path
from typing import Any

from llm.check.outcome import CheckArgument, Outcome, Paths, check_paths
from llm.check.section import Section, data_section
from llm.core.checkpoint import folder_settings
from llm.core.model.config import read_sizes
from llm.core.model.folder import find_model
from llm.core.model.sizes import KNOWN, Sizes, with_head
from llm.core.paths import find_files
from llm.core.run.arguments import MISPRINTS, is_unobeyed
from llm.core.run.checks import writes_model
from llm.core.run.packed_rows import PackedRows, packed
from llm.core.run.run import Machine, Run, data_sets, fit, fit_to_data, look_up_paths
from llm.core.run.task import Task
from llm.core.settings.parse import parse
from llm.core.settings.settings import Settings, SettingsError
from llm.data.check.data_check import DataCheck, form_of
from llm.data.check.finding import Finding
from llm.data.check.tokens import Tokens
from llm.estimate.estimate import EstimateArgument, judge, layout_of, machine_of, verdict
from llm.estimate.memory import GIB
from llm.estimate.model_sizes import count, tensors

TRAIN, DEV, TEST = "train_dataset_path", "dev_dataset_path", "test_dataset_dir"
TITLES = {TRAIN: "training data", DEV: "held-out data", TEST: "test data"}
NOT_HERE = "is not a folder here, so it was not looked at; training would download it"


def dry_run(task: Task, words: list[str], bar: bool) -> Outcome:
    """`words` are the configuration and flags of settings."""
    classes = (CheckArgument, EstimateArgument, *task.classes_without_model)
    settings = parse(classes, words, "", MISPRINTS, is_unobeyed)
    if settings.misread >= settings.parameters.keys():  # the configuration could not be read
        settings.check()
    asked = _copy(settings).build()[0]
    about_settings, about_model, about_tokenizer = Section("settings"), Section("model"), Section("tokenizer")
    machine = _machine(settings)
    folder = _resolve(task, settings, machine)
    sizes = _sizes(folder, task.head_of(settings), about_model)
    run = _run(task, settings, folder, sizes, machine.ranks, about_settings)
    text_format = _format(task, run, about_tokenizer)
    paths, data = _data(task, asked, run, text_format, bar)
    sections = [about_settings, about_model, about_tokenizer, *data, _rows(task, run, text_format, data)]
    if run.training.do_train:
        sections.append(_memory(task, settings, sizes, not about_settings.findings))
    said = {finding.text for finding in about_settings.findings}  # of a path that two stages need, once
    about_tokenizer.findings = [finding for finding in about_tokenizer.findings if finding.text not in said]
    checked = next((section.data for section in data if section.name == TRAIN), None)
    return Outcome(asked, paths, sections, checked)


def _copy(settings: Settings) -> Settings:
    """The same without the problems: what could be read is looked at further."""
    sound = copy.copy(settings)
    sound.problems = []
    return sound


def _machine(settings: Settings) -> Machine:
    """As many GPUs as are asked for or needed, whatever this machine has; a CPU if the configuration says so."""
    return machine_of(settings)._replace(has_cuda=settings["device"] != "cpu")


def _resolve(task: Task, settings: Settings, machine: Machine) -> str:
    """The model's folder or name, "" if there is none. Problems are noted in the settings."""
    if not settings["model_name_or_path"]:
        settings.refuse("model_name_or_path", "a training starts from a model; give its folder")
        settings.misread.add("model_name_or_path")
    folder = look_up_paths(settings)
    task.note_problems(settings, *machine)
    if not folder and not settings.problems:
        with contextlib.suppress(ValueError):
            return find_model(settings["model_name_or_path"] or "")
    return folder


def _sizes(folder: str, reward_head: str, about: Section) -> Sizes | None:
    if not Path(folder).is_dir() or not folder:
        about.lines = [f"{folder} {NOT_HERE}"] if folder else ["no folder to look at"]
        return with_head(KNOWN[folder], reward_head) if folder in KNOWN else None
    try:
        sizes = read_sizes(folder, reward_head)
    except ValueError as error:
        about.refused(str(error))
        return None
    about.facts = {"folder": folder, "parameters": count(tensors(sizes))}
    about.lines = [f"{folder}: {about.facts['parameters']:,} parameters"]
    return sizes


def _run(task: Task, settings: Settings, folder: str, sizes: Sizes | None, ranks: int, about: Section) -> Run:
    """What of the settings can be read, with everything that is wrong with them as findings."""
    with contextlib.suppress(SettingsError):
        fit(settings, sizes)
    sound = _copy(settings)
    training, data, _ = sound.build()[-3:]
    form, sets = "", {name: paths for name, paths in data_sets(training, data).items() if _is_there(paths)}
    try:
        form = task.form_of(sound, sets) if sets else ""
    except ValueError as error:
        about.refused(str(error))
        form = form_of(find_files(next(iter(sets.values()))))
    with contextlib.suppress(SettingsError):
        task.fit_to_form(settings, form)
    folder_settings.note_problems(settings, folder, writes_model(settings))
    for problem in settings.problems:
        about.refused(problem)
    run = task.make_run(sound, folder, sizes, ranks, form)
    about.lines = [f"changed default: {line}" for line in settings.changes] + run.without_effect()
    about.facts = {"changed defaults": list(settings.changes)}
    return run


def _is_there(paths: list[str]) -> bool:
    try:
        return bool(find_files(paths))
    except ValueError:
        return False


def _format(task: Task, run: Run, about: Section) -> Any:
    """How text becomes rows; None if the tokenizer cannot be used."""
    name = run.model.tokenizer_name_or_path or run.model_path
    if not name or not (resolved := Path(run.model_path if name == run.model_path else name)).exists():
        about.lines = [f"{name} {NOT_HERE}"] if name else ["no folder to look at"]
        return None
    try:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            text_format = task.read_format(run)
            if make_encoder := task.reading(run, text_format).make_encoder:
                make_encoder()
    except ValueError as error:
        about.refused(str(error))
        return None
    about.lines = [f"{resolved}: {len(text_format.tokenizer):,} ids", *said.getvalue().splitlines()]
    return text_format


def _data(task: Task, asked: CheckArgument, run: Run, text_format: Any, bar: bool) -> tuple[Paths, list[Section]]:
    """Of data that is not there, and of labels that cannot be, the settings' section says so."""
    found = {name: paths for name, paths in run.data_sets.items() if _is_there(paths)}
    held_out = find_files(found[DEV]) if DEV in found else []
    test = find_files(found[TEST]) if TEST in found else []
    paths = check_paths(asked, found.get(TRAIN, []), [*held_out, *test])
    try:
        reading = task.reading(run, text_format)
    except ValueError:
        return paths, []
    sections = []
    against = [*held_out, *test, *paths.against]
    for name, files, others in ((TRAIN, paths.data, against), (DEV, held_out, []), (TEST, test, [])):
        if name in found:
            sections.append(data_section(name, files, reading, others, bar, run.data.dataset_num_proc, True))
    return paths, sections


def _rows(task: Task, run: Run, text_format: Any, data: list[Section]) -> Section:
    """Of what the check of the data has encoded, packed as in training."""
    about = Section("rows")
    bad = [section.name for section in data if section.data and section.data.refuses(run.data.skip_bad_records)]
    if text_format is None or bad or len(data) < len(run.data_sets):
        about.lines = [f"not packed: {' and '.join(bad) or 'tokenizer or data'} cannot be used"]
        return about
    try:
        rows = {section.name: _packed(run, section.data) for section in data if section.data}
        for name, of_data in rows.items():
            about.lines += of_data.describe(TITLES[name], run.data.max_seq_len)
        train = rows.get(TRAIN)
        fitted = fit_to_data(run, train)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            if train:
                task.training_rows(fitted, train)
    except ValueError as error:
        about.refused(str(error))
        return about
    about.lines += [*said.getvalue().splitlines(), *(f"changed default: {line}" for line in fitted.late_changes)]
    if train:
        about.lines.append(f"updates to run: {fitted.steps:,}")
        about.facts = {"rows": train.counted.rows, "tokens": train.counted.tokens, "updates": fitted.steps}
    return about


def _packed(run: Run, checked: DataCheck) -> PackedRows:
    (tokens,) = (measure for measure in checked.measures if isinstance(measure, Tokens))
    return packed(checked.files, checked.encoded, run.data, checked.counts, tokens.counts)


def _memory(task: Task, settings: Settings, sizes: Sizes | None, is_sound: bool) -> Section:
    about = Section("memory")
    if settings["device"] == "cpu":
        about.lines = ["not estimated: device is cpu"]
        return about
    if sizes is None or not is_sound:
        about.lines = ["not estimated: model or settings cannot be used"]
        return about
    judged = judge(settings, sizes, task)
    fits = [line.strip() for line in verdict(judged)]
    at_most = f"at most {judged['peak_bytes'] / GIB:.2f} GiB on each"
    about.lines = [f"GPUs: {judged['gpus']}, {layout_of(judged)}; {at_most}", *(fits if judged["fits"] else [])]
    about.facts = {name: judged[name] for name in ("gpus", "peak_bytes", "memory_bytes", "fits", "changes")}
    if not judged["fits"]:
        advice = "python -m llm estimate shows every term, and other layouts."
        about.findings.append(Finding("memory", 1, "; ".join(fits), advice))
    return about
