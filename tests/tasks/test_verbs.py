"""The verbs around a training of answers: its configuration, data and rows are those that training reads."""

from __future__ import annotations

import json
import re

import pytest

from llm.check.check import main as check
from llm.command_line import main as command_line
from llm.core.model.sizes import KNOWN
from llm.estimate.estimate import judged
from llm.estimate.memory import GIB
from llm.inspection.inspect_row import main as inspect
from llm.tasks.batch_size import main as batch_size
from llm.tasks.build_cache import main as tokenize
from llm.tasks.table import task_named
from tests.factories import write_config

SFT, DPO = task_named("sft"), task_named("dpo")
DIALOGUES = [
    {"prompt": "Ben has 3 + 4 pens.\n", "response": "He has 7.", "weight": 2},
    {"prompt": "Ben has 3 + 4 pens.\n", "response": "He has 8."},
    {"src": ["2 + 3?\n", "And 4 more?\n"], "tgt": ["5", "9"]},
]
PAIR = {"prompt": "2 + 3?\n", "chosen": "It is 5.", "rejected": "It is 4."}


def lines(path, *records) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.fixture
def config(tiny, tmp_path):
    dev = lines(tmp_path / "dev.jsonl", {"prompt": "1 + 1?\n", "response": "2"})
    settings = {"train_dataset_path": lines(tmp_path / "train.jsonl", *DIALOGUES), "dev_dataset_path": dev}
    return write_config(tmp_path / "run", model_name_or_path=tiny / "model", device="cpu", max_steps=2, **settings)


def checked(capsys, *argv: str) -> tuple[int, dict]:
    code = 0
    try:
        check([*argv, "--json"])
    except SystemExit as end:
        code = end.code
    return code, json.loads(capsys.readouterr().out)


def test_a_dry_run_finds_nothing_in_a_training_that_would_run(config, capsys):
    code, outcome = checked(capsys, "--config", *config)
    assert (code, outcome["findings"]) == (0, [])
    run = SFT.resolve_run([*config, "--overwrite_output_dir"], "")
    rows = SFT.rows_of(run, SFT.read_format(run), run.data.train_dataset_path, False)
    assert outcome["rows"] == {"rows": rows.counted.rows, "tokens": rows.counted.tokens, "updates": 2}
    assert outcome["train_dataset_path"]["records"] == 3 and outcome["train_dataset_path"]["form"] == "dialogue"


def test_what_is_wrong_with_dialogues_is_found_where_it_is(config, tiny, tmp_path, capsys):
    wrong = [
        {"prompt": "a\n"},
        {"prompt": "no line break", "response": "b"},
        DIALOGUES[0],
        {"prompt": "1 + 1?\n", "response": "2"},
    ]
    data = lines(tmp_path / "bad.jsonl", *DIALOGUES, *wrong)
    code, outcome = checked(capsys, "--config", *config, "--train_dataset_path", data)
    kinds = [(one["kind"], one["count"]) for one in outcome["findings"] if one["in"] == "train_dataset_path"]
    assert kinds == [("bad record", 1), ("open prompt", 1), ("duplicate", 1), ("question in held-out data", 1)]
    code, outcome = checked(capsys, data, "--tokenizer", str(tiny / "model"), "--max_seq_len", "8")
    assert code == 1 and outcome["data"]["tokens"]["share cut by max_seq_len"] > 0
    code, outcome = checked(capsys, lines(tmp_path / "good.jsonl", *DIALOGUES))
    assert code == 0 and outcome["data"]["answers"]["per record"]["most"] == 2


def test_a_row_shows_what_is_learnt(config, capsys):
    inspect([*config, "--tokens"])
    out = capsys.readouterr().out
    learnt = int(re.search(r"(\d+) tokens to learn at", out)[1])
    assert "checked: end_row, positions and the tokens to learn belong together" in out
    weights = [float(words[-1]) for line in out.splitlines() if (words := line.split())[-2:-1] == ["learnt"]]
    assert 0 < len(weights) <= learnt and {1.0, 2.0} <= set(weights)
    text = out.split("── tree")[1]
    assert "Ben has 3 + 4 pens." in text and "learnt" in text


def test_pairs_are_shown_and_checked_too(tiny, tmp_path, capsys):
    settings = {
        "beta": 0.1,
        "train_dataset_path": lines(tmp_path / "pairs.jsonl", PAIR),
        "max_steps": 2,
        "device": "cpu",
    }
    words = write_config(tmp_path / "run", model_name_or_path=tiny / "model", **settings)
    inspect(words)
    out = capsys.readouterr().out
    assert "1 pair at" in out and "+1 -0" in out and "+0 -1" in out and "BROKEN" not in out
    code, outcome = checked(capsys, "--config", *words)
    assert (code, outcome["findings"]) == (0, [])
    assert outcome["train_dataset_path"]["answers"]["pairs"] == 1


def test_rows_built_ahead_are_those_that_training_finds(config, tmp_path, capsys):
    cache = ["--cache_dir", str(tmp_path / "cache")]
    tokenize([*config, *cache])
    assert capsys.readouterr().out.count("rows of an earlier run") == 0
    run = SFT.resolve_run([*config, *cache], "")
    for paths in run.data_sets.values():
        SFT.rows_of(run, SFT.read_format(run), paths, False)
    assert capsys.readouterr().out.count("rows of an earlier run") == 2
    batch_size([*config, "--solutions", "2"])
    assert "of about 2 solutions" in capsys.readouterr().out


def test_an_estimate_counts_what_fine_tuning_holds(capsys):
    """The head's gradient over the whole vocabulary and the hidden states that it reads, and of adapters no rows."""
    sft, reward = (
        judged([f"llm/config/llama/{name}_argument.json", "--gpus", "4"]) for name in ("sft", "prm_flashmask")
    )
    sizes = KNOWN["meta-llama/Meta-Llama-3.1-8B"]
    assert sft["trained"] == reward["trained"] and sft["peak_bytes"] < 80 * GIB
    flags = ["--lora", "--gpus", "4"]
    lora, rewards = (judged([f"llm/config/llama/{name}_argument.json", *flags]) for name in ("sft", "prm_flashmask"))
    assert rewards["trained"] - lora["trained"] == 2 * sizes.hidden_size
    flags = ["--model_name_or_path", "meta-llama/Meta-Llama-3.1-8B", "--train_dataset_path", "x", "--gpus", "4"]
    alone, beside = (judged([*flags, "--task", "dpo", "--reference_free", value]) for value in ("true", "false"))
    assert beside["bytes"]["weights"] == 2 * alone["bytes"]["weights"]


@pytest.mark.parametrize("task", ["sft", "dpo"])
def test_the_schema_is_that_of_the_task(task, capsys):
    command_line(["schema", "--task", task])
    assert json.loads(capsys.readouterr().out)["title"] == f"Settings of {task_named(task).script}"
