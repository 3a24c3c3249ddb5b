"""What the documentation says is literally so: its commands, paths, settings, configurations, reports and code."""

import functools
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from llm.alignment.rm.flashmask import reward_checks, run_reward
from llm.alignment.rm.flashmask.data import form_of_data
from llm.alignment.rm.flashmask.reward_argument import CLASSES, IDENTITY
from llm.alignment.rm.flashmask.reward_metrics import (
    INTERVAL_METRICS,
    OUTCOME_METRICS,
    PREFERENCE_METRICS,
    STEP_METRICS,
    interval_metrics,
    outcome_metrics,
    preference_metrics,
    step_metrics,
)
from llm.core.model.sizes import KNOWN
from llm.core.records.comparisons import Comparison, parse_comparison
from llm.core.records.dialogues import Dialogue, parse_dialogue
from llm.core.records.fields import label_values
from llm.core.records.judged_answers import JudgedAnswer, parse_judged
from llm.core.records.records import BadRecords, read_records
from llm.core.records.reward_records import Preference, Record, parse_preference, parse_record
from llm.core.run import checks
from llm.core.run.arguments import MISPRINTS, is_unobeyed
from llm.core.settings.parse import parse
from llm.core.settings.settings import SettingsError
from llm.tasks.table import TASKS, task_named
from tests import forked_rank
from tests.runs import train_ranks

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "docs"))

from generate_reference import files

READMES = [REPOSITORY / "README.md", REPOSITORY / "README.zh-CN.md"]
PAGES = sorted((REPOSITORY / "docs").glob("*.md"))
TRAINING, DATA = REPOSITORY / "docs/training.md", REPOSITORY / "docs/data.md"
EVERY_PAGE = pytest.mark.parametrize("page", [*READMES, *PAGES], ids=lambda path: path.name)
SCRIPT = "llm/alignment/rm/flashmask/run_reward.py"
MADE_BY_RUNS = ("data/", "checkpoints/")  # what commands write; a fresh clone has none of it


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    return [line for block in blocks(page, "bash") for line in block.splitlines() if line.strip()]


def spoken_code(page: Path) -> list[str]:
    """What stands in backticks within a line."""
    outside = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", outside)


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def parsed(*flags: str):
    return parse(CLASSES, list(flags), "", MISPRINTS, is_unobeyed)


@EVERY_PAGE
def test_every_make_target_that_is_named_exists(page):
    targets = set(re.findall(r"^([\w-]+):", text_of(REPOSITORY / "Makefile"), re.MULTILINE))
    for code in [*commands(page), *spoken_code(page)]:
        if code.startswith("make "):
            named = [word for word in code.split()[1:] if "=" not in word]
            assert set(named) <= targets, code


@EVERY_PAGE
def test_every_path_of_the_repository_that_is_named_exists(page):
    tops = {path.name for path in REPOSITORY.iterdir()} - {".venv"}
    words = [
        word.strip("\"'()").removeprefix("./")
        for code in [*commands(page), *spoken_code(page)]
        for word in code.split()
    ]
    paths = {word for word in words if re.fullmatch(r"[\w./-]+", word) and not word.startswith(MADE_BY_RUNS)}
    in_repository = {path for path in paths if path.split("/")[0] in tops or "/" in path and path.startswith("llm")}
    missing = [path for path in in_repository if not (REPOSITORY / path).exists()]
    assert not missing
    if page in READMES:
        assert {SCRIPT, "requirements-gpu.txt", "llm/config/tiny/prm_flashmask_argument.json"} <= in_repository


@EVERY_PAGE
def test_every_link_leads_somewhere(page):
    for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([\w-]*))?\)", text_of(page)):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        if heading:
            assert heading in anchors(linked), f"{target}#{heading}"


@EVERY_PAGE
def test_no_placeholder_is_left(page):
    assert "{{" not in text_of(page)


def test_the_readmes_name_the_same_commands_code_pages_and_figures():
    english, chinese = READMES
    assert commands(english) == commands(chinese)
    for language in ("python", "json"):
        assert blocks(english, language) == blocks(chinese, language)
    figures = [re.findall(r"\d+(?:\.\d+)?", re.sub(r"\[.*?\]\(.*?\)", "", text_of(page))) for page in READMES]
    assert sorted(set(figures[0])) == sorted(set(figures[1]))
    for page in PAGES:
        assert all(f"(docs/{page.name})" in text_of(readme) for readme in READMES)


def test_generated_files_are_those_of_the_code():
    """make docs writes them."""
    for path, text in files().items():
        assert text_of(path) == text, f"{path} is stale: run make docs"


def test_the_schemas_take_every_configuration_and_refuse_what_training_refuses():
    schemas = {name: json.loads(text_of(REPOSITORY / "llm/config" / task_named(name).schema)) for name in TASKS}
    checkers = {name: jsonschema.validators.validator_for(schema)(schema) for name, schema in schemas.items()}
    for checker in checkers.values():
        checker.check_schema(checker.schema)
    for config in (REPOSITORY / "llm/config").glob("*/*.json"):
        settings = json.loads(text_of(config))
        name = config.name.partition("_")[0]
        name = name if name in TASKS else "reward"
        assert (config.parent / settings["$schema"]).resolve() == REPOSITORY / "llm/config" / task_named(name).schema
        checkers[name].validate(settings)
    good = {"model_name_or_path": "m", "report_to": "visualdl", "train_dataset_path": ["a"], "max_steps": 5}
    for checker in checkers.values():
        checker.validate(good)
        wrong = {"max_step": 5, "max_steps": 2.5, "sharding": "stage4", "report_to": [5], "bf16": 0}
        for name, value in wrong.items():
            with pytest.raises(jsonschema.ValidationError):
                checker.validate(good | {name: value})


def test_what_a_resumed_run_compares_is_listed():
    resuming = text_of(TRAINING).split("## Resuming")[1].split("\n## ")[0]
    for name in (*IDENTITY, "model_name_or_path"):
        assert f"`{name}`" in resuming, name


def test_every_metric_of_an_evaluation_is_explained():
    assert step_metrics([0.9, 0.1], [1, 0], [0, 0]).keys() | {"loss"} == STEP_METRICS.keys()
    assert outcome_metrics([0.9], [1]).keys() | {"loss"} == OUTCOME_METRICS.keys()
    assert interval_metrics([0.1], [0.9], [1]).keys() == INTERVAL_METRICS.keys()
    assert preference_metrics([1.0], [0.0]).keys() | {"loss"} == PREFERENCE_METRICS.keys()


@EVERY_PAGE
def test_json_snippets_are_records_or_configurations_that_are_accepted(page, tmp_path):
    for snippet in blocks(page, "json"):
        content = json.loads(snippet)
        if isinstance(content, list) or "src" in content:
            for record in content if isinstance(content, list) else [content]:
                if page.name == "finetune.md":
                    assert isinstance(parse_dialogue(record, ""), Dialogue), record
                elif page.name == "dpo.md":
                    found = (
                        parse_judged(record, "") if {"label", "labels"} & {*record} else parse_comparison(record, "")
                    )
                    assert isinstance(found, Comparison | JudgedAnswer), record
                elif "sort" in record:
                    assert isinstance(parse_preference(record, ""), Preference), record
                else:
                    assert isinstance(parse_record(record, "", label_values(("+", "-"))), Record), record
        else:
            config = tmp_path / "config.json"
            config.write_text(snippet, encoding="utf-8")
            reward_checks.resolve(parsed(str(config)), ranks=1, has_cuda=False)


@EVERY_PAGE
def test_flags_of_the_training_commands_are_settings(page):
    for command in commands(page):
        if SCRIPT in command:
            words = command.split(SCRIPT)[1].split()
            flags = [word.removeprefix("--") for word in words if word.startswith("--") and word != "--help"]
            known = parsed("--model_name_or_path", "m").parameters
            assert [flag for flag in flags if flag not in known and flag != "key"] == [], command


def test_the_report_of_bad_data_is_what_the_example_gives(tmp_path, monkeypatch):
    texts = blocks(DATA, "text")
    example = next(text for text in texts if text.startswith('{"src"'))
    report = next(text for text in texts if text.startswith("error: 6 of"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.jsonl").write_text(example, encoding="utf-8")
    with pytest.raises(BadRecords) as error:
        read_records("bad.jsonl")
    assert f"error: {error.value}\n" == report


def test_the_refusal_of_preferences_is_the_one_that_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = {"src": "q", "response": ["a", "b"], "sort": [1, 0]}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(record), encoding="utf-8")
    settings = parsed("--model_name_or_path", "m", "--train_dataset_path", "pairs.jsonl")
    with pytest.raises(ValueError) as error:
        form_of_data({"train_dataset_path": settings["train_dataset_path"]}, process_reward=True)
    assert f"error: {error.value}\n" in blocks(DATA, "text")


def test_the_changed_defaults_are_those_that_are_shown():
    settings = parsed(
        "--model_name_or_path", "m", "--train_dataset_path", "t", "--dev_dataset_path", "d", "--max_steps", "4"
    )
    reward_checks.resolve(settings, ranks=1, has_cuda=False)
    checks.fit_to_model(settings, replace(KNOWN["meta-llama/Meta-Llama-3.1-8B"], max_position_embeddings=1024))
    screen = next(block for block in blocks(TRAINING, "text") if block.startswith("settings\n"))
    early = "".join(["changed defaults\n", *(f"  {line}\n" for line in settings.changes)])
    checks.fit_to_steps(settings, 4, 1)
    assert early in screen and f"changed default: {settings.changes[-1]}\n" in screen


@pytest.mark.parametrize(
    "flags",
    [
        "--max_seq_le 512 --learning_rat 1e-5 --dataloader_num_workers 4",
        "--bf16 true --fp16_opt_level O2 --sharding_parallel_degree 2 --flash_mask true --eval_steps 0",
    ],
)
def test_refusals_are_those_that_are_shown(flags):
    with pytest.raises(SettingsError) as error:
        needed = "--model_name_or_path m --train_dataset_path t --dev_dataset_path d"
        reward_checks.resolve(parsed(*needed.split(), *flags.split()), ranks=1, has_cuda=False)
    assert f"error: {error.value}\n" in blocks(TRAINING, "text")


@pytest.mark.runs
def test_the_readmes_code_reads_the_same_scores_back_in_two_ways(settings_of, tmp_path):
    """The project's scorer, and the convention over the full model, each in a process where nothing is patched."""
    run_reward.main(settings_of(max_steps=1, load_best_model_at_end=False, do_eval=False, save_strategy="no"))
    scores = []
    for code in blocks(READMES[0], "python"):
        assert "checkpoints/tiny/prm" in code
        file = tmp_path / "example.py"
        file.write_text(code.replace("checkpoints/tiny/prm", str(tmp_path / "out")), encoding="utf-8")
        shown = train_ranks([], tmp_path, 1, script=functools.partial(forked_rank.run_script, str(file)))
        scores.append([float(number) for number in re.findall(r"\b[01]\.\d+(?:e-\d+)?", shown)[-4:]])
    one, other = scores
    assert len(one) == 4 and one == pytest.approx(other, abs=1e-5)
