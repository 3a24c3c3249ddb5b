"""`python -m llm inspect` shows the rows that training has, from a run's configuration or from data and a tokenizer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from llm.alignment.rm.flashmask import run_reward
from llm.alignment.rm.flashmask.reward_run import resolve_run
from llm.alignment.rm.flashmask.reward_task import TASK
from llm.demo import tiny_model
from llm.inspection import inspect_row
from llm.inspection.inspect_row import is_config, main, read_rows, read_run

REPOSITORY = Path(__file__).resolve().parents[2]


def shown(capsys, *argv) -> str:
    main([*map(str, argv)])
    return capsys.readouterr().out


def refusal(capsys, *argv) -> str:
    with pytest.raises(SystemExit) as end:
        main([*map(str, argv)])
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.fixture
def two_solutions(tmp_path):
    """A question with two solutions that share their first step."""
    records = [
        {"src": ["Tom has 3 pens."], "responses": ["Tom buys 4:\n3 + 4 = 7.", second], "labels": ["+", label]}
        for second, label in (("He has 7 pens.", "+"), ("Tom has 8 pens.", "-"))
    ]
    path = tmp_path / "two.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"greedy_zero_padding": True, "prefix_sharing": False},
        {"zero_padding": False, "process_reward": False},
        {"max_seq_len": 100, "max_prompt_len": 20, "lazy": True},
        {"max_seq_len": ...},
        {"tensor_parallel_degree": 2, "sharding_parallel_degree": 2},
        {"pipeline_parallel_degree": 2},
    ],
)
def test_the_rows_of_a_configuration_are_those_of_its_training(settings_of, changes):
    """With every way of packing; also of a configuration for more and other devices than there are here."""
    _, run = read_run(TASK, settings_of(**changes))
    rows = read_rows(TASK, run, TASK.read_format(run))
    here = {name: 1 for name in changes if name.endswith("degree")}
    trained = resolve_run(settings_of(**changes | here), "")
    train = TASK.rows_of(trained, TASK.read_format(trained), trained.data.train_dataset_path, False)
    assert run.data.max_seq_len == trained.data.max_seq_len
    assert [row.ids.tolist() for row in rows.rows] == [row.ids.tolist() for row in train.rows]
    assert rows.fingerprint == train.fingerprint


def test_a_row_of_a_configuration(settings_of, capsys):
    out = shown(capsys, *settings_of(), "--row", 2)
    assert re.search(r"^row 2 of \d+: \d+ tokens and \d+ of padding make max_seq_len 384$", out, re.MULTILINE)
    assert "training data: 120 records read, 120 kept, 0 dropped" in out and "\nchecked: " in out
    labels = int(re.search(r"(\d+) labels at", out)[1])
    shown_labels = [int(line.split()[5]) for line in out.splitlines() if re.match(r" *\d+-\d+ .* [01] ", line)]
    assert "── tree 1: " in out and sum(shown_labels) == labels > 4 and out.count("ки\n") == len(shown_labels)


@pytest.mark.runs
def test_the_settings_that_a_run_saved_are_a_configuration(settings_of, tmp_path, capsys):
    run_reward.main(settings_of(max_steps=1, load_best_model_at_end=False, do_eval=False, save_strategy="no"))
    capsys.readouterr()
    assert "row 0 of" in shown(capsys, tmp_path / "out/settings.json")


def test_data_with_a_tokenizer_alone(tiny, two_solutions, capsys):
    """The shared text once, then each branch with its label; and a line for every token, with its id."""
    flags = "--tokenizer_name_or_path", tiny / "model", "--max_seq_len", 64
    out = shown(capsys, two_solutions, *flags, "--tokens")
    trees, tokens = out.split("follows\n")[1].split("\n\nmask")[0], out.split("target  weight\n")[1]
    numbers, texts = trees.splitlines()[::2], trees.splitlines()[1::2]
    assert [text.strip() for text in texts] == [
        "<s> Tom has 3 pens. Tom buys 4:↵3 + 4 = 7. ки",
        "↵",
        "He has 7 pens. ки",
        "Tom has 8 pens. ки",
    ]
    assert [line.split()[3:7] for line in numbers] == [
        ["1", "2", "2", "1-2"],
        ["1-2"],
        ["1", "1", "1", "1"],
        ["0", "1", "1", "2"],
    ]
    _, run = read_run(TASK, [str(two_solutions), *map(str, flags)])
    rows = read_rows(TASK, run, TASK.read_format(run))
    assert [line.split()[1] for line in tokens.splitlines()] == [str(number) for number in rows.rows[0].ids]


def test_no_weights_are_read(settings_of, tiny, tmp_path, capsys):
    folder = shutil.copytree(tiny / "model", tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"no weights")
    assert "row 0 of" in shown(capsys, *settings_of(model_name_or_path=folder))


def test_a_row_that_breaks_a_rule_ends_with_1_and_shows_its_tokens(tiny, two_solutions, capsys, monkeypatch):
    def damaged(rows, number):
        row = rows.rows[number]
        return replace(row, payload=replace(row.payload, scored=row.payload.scored + len(row)))

    monkeypatch.setattr(inspect_row, "choose", damaged)
    with pytest.raises(SystemExit) as end:
        main([str(two_solutions), "--tokenizer_name_or_path", str(tiny / "model")])
    out = capsys.readouterr().out
    assert end.value.code == 1
    assert "row 0 of 1 is BROKEN" in out and "scored positions outside the row" in out and "  <s>  " in out


def test_without_a_tokenizer_is_told_how_to_give_one(two_solutions, capsys):
    error = refusal(capsys, two_solutions)
    assert "--model_name_or_path FOLDER" in error and "--tokenizer_name_or_path FOLDER" in error


@pytest.mark.parametrize("flags", [[], ["--lazy", "--max_steps", "1"]])
@pytest.mark.parametrize("row", ["1", "-1"])
def test_a_row_that_is_not_there_is_told_with_the_number_of_rows(tiny, two_solutions, capsys, row, flags):
    error = refusal(capsys, two_solutions, "--tokenizer_name_or_path", tiny / "model", "--row", row, *flags)
    assert f"--row {row}: the data makes 1 row, counted from 0" in error


@pytest.mark.parametrize(
    "argv, told",
    [
        (["missing.jsonl"], "does not exist"),
        (["DATA", "--rows", "1"], "write row"),
        (["DATA", "--row", "x"], 'row = "x": expected integer'),
        (["DATA", "--tokenizer_name_or_path", "TOKENIZER", "--max_seq_len", "2"], "must be from 4 to"),
        (["DATA", "--train_dataset_path", "other.jsonl"], "given twice"),
        (["BAD", "--tokenizer_name_or_path", "TOKENIZER"], "1 of 1 records cannot be used"),
        (["BROKEN"], "not JSON"),
        (["NO_DATA"], "names no data to look at"),
    ],
)
def test_refusals(tiny, two_solutions, tmp_path, capsys, argv, told):
    dev = json.dumps(str(two_solutions))
    words = {"DATA": two_solutions, "TOKENIZER": tiny / "model"}
    contents = {
        "BAD": "{}",
        "BROKEN": '{"model_name_or_path": "m",}',
        "NO_DATA": f'{{"model_name_or_path": "m", "do_train": false, "dev_dataset_path": {dev}}}',
    }
    for name, text in contents.items():
        words[name] = tmp_path / f"{name}.json"
        words[name].write_text(text)
    assert told in refusal(capsys, *(words.get(word, word) for word in argv))


def test_data_is_told_from_configurations(tmp_path, tiny):
    """By the keys of its object, not by its name; a record that talks of settings is data."""
    path = tmp_path / "any"
    spread = ' \n{\n  "bf16": true,\n  "train_dataset_path" : "t"\n'
    configurations = '{"model_name_or_path": "m"}', spread, '\ufeff{"train_dataset_path":1}'
    record = json.dumps({"src": 'set "model_name_or_path": "m"', "responses": []})
    data = record, '[{"train_dataset_path": 1}]', "", "{}"
    for texts, expected in ((configurations, True), (data, False)):
        for text in texts:
            path.write_text(text, encoding="utf-8")
            assert is_config(str(path)) is expected, text
    assert not is_config(str(tmp_path)) and not is_config(str(tmp_path / "*.jsonl"))
    assert not is_config(str(tiny / "train.jsonl"))


@pytest.mark.runs
def test_the_command_ends_quietly_when_its_reader_has_gone(tiny, two_solutions):
    """As in `python -m llm inspect ... | head -1`."""
    command = [sys.executable, "-m", "llm", "inspect", str(two_solutions), "--model_name_or_path", str(tiny / "model")]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.close()
        error = run.stderr.read()
    assert run.returncode == 0, error
    assert "Traceback" not in error and "BrokenPipe" not in error


def test_what_the_page_shows_is_what_its_command_prints(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    page = (REPOSITORY / "docs/inspect.md").read_text(encoding="utf-8")
    data, screen, tokens = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    command = next(line for line in page.splitlines() if "inspect three.jsonl" in line)
    Path("three.jsonl").write_text(data, encoding="utf-8")
    tiny_model.make(Path("checkpoints/tiny/base"))
    out = shown(capsys, *command.split("inspect ")[1].split(), "--tokens")
    assert out.startswith(screen + "\n" + tokens.removesuffix("...\n"))
