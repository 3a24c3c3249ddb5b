"""check --config: every stage of a training up to its model is looked at, and all problems are reported at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from llm.alignment.rm.flashmask.reward_task import TASK
from llm.check.check import main
from llm.core.text.encoding import StepEncoder
from tests.data.check.records import line, write
from tests.factories import data_of, pairs_of, write_config


def checked(capsys, *argv: object) -> tuple[int, dict]:
    code = 0
    try:
        main([*map(str, argv), "--json"])
    except SystemExit as end:
        code = end.code
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def texts(outcome: dict, section: str) -> str:
    return "\n".join(one["text"] for one in outcome["findings"] if one["in"] == section)


def config_of(tmp_path: Path, tiny: Path, **settings) -> list[str]:
    return ["--config", *write_config(tmp_path, **data_of(tiny) | {"max_steps": 6, "device": "cpu", **settings})]


def test_a_training_that_would_run_is_clean_and_nothing_is_made(tiny, tmp_path, capsys):
    code, outcome = checked(capsys, *config_of(tmp_path, tiny))
    assert (code, outcome["clean"], outcome["findings"]) == (0, True, [])
    assert outcome["train_dataset_path"]["records"] == 120 and outcome["dev_dataset_path"]["records"] == 24
    assert outcome["train_dataset_path"]["tokens"]["max_seq_len"] == 384
    assert outcome["rows"]["updates"] == 6 and outcome["model"]["parameters"] > 10_000
    assert not (tmp_path / "out").exists()


def test_rows_and_lengths_are_those_of_training(tiny, tmp_path, capsys):
    argv = config_of(tmp_path, tiny, max_seq_len=160, max_prompt_len=80, bf16=False, sharding="")
    _, outcome = checked(capsys, *argv)
    run = TASK.resolve_run([argv[1], "--overwrite_output_dir"], "")
    train = TASK.rows_of(run, TASK.read_format(run), run.data.train_dataset_path, False)
    assert outcome["rows"] == {"rows": train.counted.rows, "tokens": train.counted.tokens, "updates": 6}
    tokens = outcome["train_dataset_path"]["tokens"]
    assert 0 < tokens["records cut"] == train.encoded.solutions_cut
    assert tokens["steps cut"] == train.encoded.steps_cut
    assert "cut by max_seq_len" in [one["kind"] for one in outcome["findings"]]


def test_every_record_is_encoded_once(tiny, tmp_path, capsys, monkeypatch):
    places, encode = [], StepEncoder.encode

    def counted(encoder, record):
        places.append(record.place)
        return encode(encoder, record)

    monkeypatch.setattr(StepEncoder, "encode", counted)
    assert checked(capsys, *config_of(tmp_path, tiny))[0] == 0
    assert len(places) == len(set(places)) == 120 + 24


def test_problems_of_every_stage_are_told_at_once(tiny, tmp_path, capsys):
    data = write(tmp_path / "train.jsonl", line("Q", ["+"]), "{broken", line("Q", ["-"]))
    out = tmp_path / "out"
    out.mkdir()
    (out / "foreign").touch()
    argv = config_of(tmp_path, tiny, max_step=5, learning_rate="fast", placeholder_token="three words here")
    code, outcome = checked(capsys, *argv, "--train_dataset_path", data, "--dev_dataset_path", tmp_path / "nothere")
    assert code == 1
    settings = texts(outcome, "settings")
    for told in ("write max_steps", "learning_rate", "nothere", "holds files that are not from a run"):
        assert told in settings
    assert "one token must carry the score" in texts(outcome, "tokenizer")
    kinds = [one["kind"] for one in outcome["findings"] if one["in"] == "train_dataset_path"]
    assert kinds == ["bad record", "contradiction"]


def test_a_model_that_cannot_be_trained_is_told_with_the_data(tiny, tmp_path, capsys):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (tiny / "model").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    code, outcome = checked(capsys, *config_of(tmp_path, tiny, model_name_or_path=folder))
    assert code == 1 and "hidden_act" in texts(outcome, "model")
    assert outcome["train_dataset_path"]["usable"] == 120
    (folder / "model.safetensors").unlink()
    _, outcome = checked(capsys, *config_of(tmp_path, tiny, model_name_or_path=folder))
    assert "is incomplete" in texts(outcome, "settings")


def test_memory_is_judged_for_the_gpus_that_are_named(tiny, tmp_path, capsys):
    argv = config_of(tmp_path, tiny, device="gpu")
    code, outcome = checked(capsys, *argv, "--memory", 40, "--gpus", 2)
    assert code == 0 and outcome["memory"]["gpus"] == 2 and outcome["memory"]["fits"]
    code, outcome = checked(capsys, *argv, "--memory", 1)
    assert code == 1 and "does NOT fit into 1 GiB" in texts(outcome, "memory")


def test_questions_of_the_held_out_data_are_looked_for_by_themselves(tiny, tmp_path, capsys):
    code, outcome = checked(capsys, *config_of(tmp_path, tiny), "--dev_dataset_path", tiny / "train.jsonl")
    assert code == 1 and outcome["train_dataset_path"]["held-out data"]["questions in both"] == 30


def test_the_clean_part_is_that_of_the_training_data(tiny, tmp_path, capsys):
    train = [line(f"Q{number}", ["+", "-"]) for number in range(4)]
    data, dev = write(tmp_path / "train.jsonl", *train, "{broken"), write(tmp_path / "dev.jsonl", line("Q1", ["+"]))
    argv = [*config_of(tmp_path, tiny), "--train_dataset_path", data, "--dev_dataset_path", dev]
    fixed = tmp_path / "fixed.jsonl"
    assert checked(capsys, *argv, "--fix", fixed)[0] == 1
    assert fixed.read_text().splitlines() == [train[0], *train[2:]]
    for path in (data, dev):
        before = path.read_text()
        assert checked(capsys, *argv, "--fix", path, "--overwrite")[0] == 2 and path.read_text() == before


def test_data_of_the_wrong_form_is_told(tiny, tmp_path, capsys):
    argv = config_of(tmp_path, tiny, **pairs_of(tiny))
    assert checked(capsys, *argv)[0] == 0
    code, outcome = checked(capsys, *argv, "--process_reward", "true")
    assert code == 1 and "process_reward true asks for a score per step" in texts(outcome, "settings")
    assert outcome["train_dataset_path"]["form"] == "preference record"


def test_without_a_configuration_a_tokenizer_gives_the_lengths(tiny, capsys):
    argv = [tiny / "train.jsonl", "--tokenizer", tiny / "model"]
    code, outcome = checked(capsys, *argv)
    assert code == 0 and outcome["data"]["tokens"]["share cut by max_seq_len"] == 0.0
    code, outcome = checked(capsys, *argv, "--max_seq_len", 100)
    assert code == 1 and outcome["data"]["tokens"]["records cut"] > 0
    assert checked(capsys, *argv, "--learning_rate", 1)[0] == 2
    assert checked(capsys, tiny / "train.jsonl", "--tokenizer", tiny / "nothere")[0] == 2
    outcomes = [checked(capsys, *argv, f"--process_reward={value}")[1]["data"] for value in ("true", "false")]
    assert outcomes[0]["labels"]["+"] + outcomes[0]["labels"]["-"] == 528
    assert outcomes[1]["labels"]["+"] + outcomes[1]["labels"]["-"] == 120


WITHOUT_PADDLE = """
import sys
from llm.check.check import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code
assert "paddle" not in sys.modules
"""


@pytest.mark.runs
def test_paddle_is_not_imported(tiny, tmp_path):
    for argv in ([str(tiny / "train.jsonl")], config_of(tmp_path, tiny)):
        subprocess.run([sys.executable, "-c", WITHOUT_PADDLE, *argv], check=True, stdout=subprocess.DEVNULL)
