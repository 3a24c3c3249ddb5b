"""A training up to the point where it builds its model: every stage is looked at, whatever the others found."""

from __future__ import annotations

import contextlib
import copy
import io
from dataclasses import replace
from pathlib import Path

from llm.alignment.rm.flashmask import reward_checks, reward_run
from llm.alignment.rm.flashmask.data import form_of_data
from llm.alignment.rm.flashmask.reward_argument import DataArgument, TrainingArguments
from llm.alignment.rm.flashmask.reward_format import RewardFormat, split_reward_tokens
from llm.alignment.rm.flashmask.reward_run import RewardRun
from llm.alignment.rm.flashmask.run_reward import read_data, read_format
from llm.check.outcome import CheckArgument, Outcome, Paths, check_paths
from llm.check.section import Section, data_section
from llm.check.text_settings import asked_of
from llm.core.checkpoint import folder_settings
from llm.core.model.config import read_sizes
from llm.core.model.folder import find_model
from llm.core.model.sizes import KNOWN, Sizes, with_head
from llm.core.paths import find_files
from llm.core.records.records import LABELLED
from llm.core.run.arguments import MISPRINTS, is_unobeyed
from llm.core.run.checks import writes_model
from llm.core.run.run import Machine, data_sets, fit, fit_to_data
from llm.core.settings.parse import parse
from llm.core.settings.settings import Settings, SettingsError
from llm.data.check.data_check import Asked
from llm.data.check.finding import Finding
from llm.estimate.estimate import EstimateArgument, OptionalModel, judge, layout_of, machine_of, verdict
from llm.estimate.memory import GIB
from llm.estimate.model_sizes import count, tensors

REWARD_CLASSES = (TrainingArguments, DataArgument, OptionalModel)
CLASSES = (CheckArgument, EstimateArgument, *REWARD_CLASSES)
TRAIN, DEV = "train_dataset_path", "dev_dataset_path"
NOT_HERE = "is not a folder here, so it was not looked at; training would download it"


def dry_run(words: list[str], bar: bool) -> Outcome:
    """`words` are the configuration and flags of settings."""
    settings = parse(CLASSES, words, "", MISPRINTS, is_unobeyed)
    if settings.misread >= settings.parameters.keys():  # the configuration could not be read
        settings.check()
    asked = _copy(settings).build()[0]
    about_settings, about_model, about_tokenizer = Section("settings"), Section("model"), Section("tokenizer")
    machine = _machine(settings)
    folder = _resolve(settings, machine)
    sizes = _sizes(folder, settings["reward_head"], about_model)
    run = _run(settings, folder, sizes, machine.ranks, about_settings)
    reward_format = _format(run, about_tokenizer)
    paths, data = _data(asked, run, reward_format, bar)
    sections = [about_settings, about_model, about_tokenizer, *data, _rows(run, reward_format, data)]
    if run.training.do_train:
        sections.append(_memory(settings, sizes, not about_settings.findings))
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


def _resolve(settings: Settings, machine: Machine) -> str:
    """The model's folder or name, "" if there is none. Problems are noted in the settings."""
    if not settings["model_name_or_path"]:
        settings.refuse("model_name_or_path", "a training starts from a model; give its folder")
        settings.misread.add("model_name_or_path")
    with contextlib.suppress(SettingsError):
        return reward_run.resolve(settings, machine)
    with contextlib.suppress(ValueError):
        return find_model(settings["model_name_or_path"] or "")
    return ""


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


def _run(settings: Settings, folder: str, sizes: Sizes | None, ranks: int, about: Section) -> RewardRun:
    """What of the settings can be read, with everything that is wrong with them as findings."""
    with contextlib.suppress(SettingsError):
        fit(settings, sizes)
    sound = _copy(settings)
    sound.classes = REWARD_CLASSES
    training, data, model = sound.build()
    form = LABELLED
    sets = {name: paths for name, paths in data_sets(training, data).items() if _is_there(paths)}
    try:
        form = form_of_data(sets, training.process_reward) if sets else LABELLED
    except ValueError as error:
        about.refused(str(error))
    with contextlib.suppress(SettingsError):
        reward_checks.fit_to_form(settings, form)
    folder_settings.note_problems(settings, folder, writes_model(settings))
    for problem in settings.problems:
        about.refused(problem)
    # sizes None: only what builds a model asks for them
    run = RewardRun(sound, training, data, model, folder, sizes, ranks, form=form)  # type: ignore[arg-type]
    about.lines = [f"changed default: {line}" for line in settings.changes] + run.without_effect()
    about.facts = {"changed defaults": list(settings.changes)}
    return run


def _is_there(paths: list[str]) -> bool:
    try:
        return bool(find_files(paths))
    except ValueError:
        return False


def _format(run: RewardRun, about: Section) -> RewardFormat | None:
    name = run.model.tokenizer_name_or_path or run.model_path
    if not name or not (resolved := Path(run.model_path if name == run.model_path else name)).exists():
        about.lines = [f"{name} {NOT_HERE}"] if name else ["no folder to look at"]
        return None
    try:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            reward_format = read_format(run)
            reward_format.encoder()
    except ValueError as error:
        about.refused(str(error))
        return None
    about.lines = [f"{resolved}: {len(reward_format.tokenizer):,} ids", *said.getvalue().splitlines()]
    return reward_format


def _data(
    asked: CheckArgument, run: RewardRun, reward_format: RewardFormat | None, bar: bool
) -> tuple[Paths, list[Section]]:
    """Of data that is not there the settings' section says so."""
    found = {name: paths for name, paths in run.data_sets.items() if _is_there(paths)}
    held_out = find_files(found[DEV]) if DEV in found else []
    paths = check_paths(asked, found.get(TRAIN, []), held_out)
    how = asked_of(reward_format) if reward_format else _without_tokenizer(run)
    sections = []
    if TRAIN in found:
        against = [*held_out, *paths.against]
        sections.append(data_section(TRAIN, paths.data, replace(how, against=against), bar, run.data.dataset_num_proc))
    if DEV in found:
        sections.append(data_section(DEV, held_out, how, bar, run.data.dataset_num_proc))
    return paths, sections


def _without_tokenizer(run: RewardRun) -> Asked:
    tokens = split_reward_tokens(run.model.reward_tokens)
    are_two = len(set(tokens)) == len(tokens) == 2  # the settings' section says so if they are not
    return Asked(tokens if are_two else Asked.reward_tokens, run.model.placeholder_token)


def _rows(run: RewardRun, reward_format: RewardFormat | None, data: list[Section]) -> Section:
    """Packed as in training."""
    about = Section("rows")
    bad = [section.name for section in data if section.data and section.data.refuses(run.data.skip_bad_records)]
    if reward_format is None or bad or len(data) < len(run.data_sets):
        about.lines = [f"not packed: {' and '.join(bad) or 'tokenizer or data'} cannot be used"]
        return about
    try:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            train, _ = read_data(run, reward_format)
            fitted = fit_to_data(run, train)
            if train:
                train.read_through(bar=False)
                fitted.positive_weight(train)
    except ValueError as error:
        about.refused(str(error))
        return about
    about.lines = [*said.getvalue().splitlines(), *(f"changed default: {line}" for line in fitted.late_changes)]
    if train:
        about.lines.append(f"updates to run: {fitted.steps:,}")
        about.facts = {"rows": train.counted.rows, "tokens": train.counted.tokens, "updates": fitted.steps}
    return about


def _memory(settings: Settings, sizes: Sizes | None, is_sound: bool) -> Section:
    about = Section("memory")
    if settings["device"] == "cpu":
        about.lines = ["not estimated: device is cpu"]
        return about
    if sizes is None or not is_sound:
        about.lines = ["not estimated: model or settings cannot be used"]
        return about
    judged = judge(settings, sizes)
    fits = [line.strip() for line in verdict(judged)]
    at_most = f"at most {judged['peak_bytes'] / GIB:.2f} GiB on each"
    about.lines = [f"GPUs: {judged['gpus']}, {layout_of(judged)}; {at_most}", *(fits if judged["fits"] else [])]
    about.facts = {name: judged[name] for name in ("gpus", "peak_bytes", "memory_bytes", "fits", "changes")}
    if not judged["fits"]:
        advice = "python -m llm estimate shows every term, and other layouts."
        about.findings.append(Finding("memory", 1, "; ".join(fits), advice))
    return about
