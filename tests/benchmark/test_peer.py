"""The comparison with TRL: what TRL is given, how the two are set against each other, and its tokenizer. The child that
runs TRL is run for real where LLM_PEER_PYTHON names a Python that has it (`make peer`)."""

import json
import os
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from llm.benchmark import children, run_benchmark
from llm.benchmark.arguments import TRL_OF_ANSWERS, TRL_OF_PRM, parse
from llm.benchmark.peer import peer
from llm.benchmark.peer.fast_tokenizer import special_tokens, tokenizer_json
from llm.benchmark.training import training
from llm.core.records.records import read_records

PEER_PYTHON = os.environ.get("LLM_PEER_PYTHON")
OPTIONS = (
    "--solutions 24 --update 16 --rounds 2 --seconds 0.01 --max_seq_len 384 --vocab_size 640 --hidden_size 32 "
    "--intermediate_size 48 --num_hidden_layers 2 --num_attention_heads 2 --threads 1"
).split()
SECONDS = {
    "TRL, bfloat16": 40.0,
    "TRL, bfloat16, by length": 30.0,
    "TRL, float32": 80.0,
    "TRL, float32, by length": 60.0,
}


@pytest.fixture
def faked(monkeypatch):
    """TRL's side and this project's speed are given; the calls that were made."""
    calls = []

    def run(command, job, environment):
        calls.append((command, job, environment))
        result = {"updates": 2, "computed": 900, "parameters": 5000, "peak_bytes": 3_000_000}
        if command == training.CHILD:
            floor = {"multiply_adds": 3e9, "matrix_rate": 1e9}
            return {**result, **floor, "seconds": 4.0, "attention": "some attention"}
        trainer = next(
            name
            for name, settings in peer.VARIANTS.items()
            if settings.items() <= job["settings"].items() and len(job["settings"]) == len(SETTINGS | settings)
        )
        slower = 1.0 if len(calls) > 5 else 1.5  # the first round is slower: the best counts
        return {**result, "seconds": SECONDS[trainer] * slower, "tokens": 800, "labels": 77}

    monkeypatch.setattr(children, "run", run)
    return calls


SETTINGS = {
    "use_cpu": True,
    "num_train_epochs": 1,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 2,
    "max_length": 384,
    "max_prompt_length": 192,
    **peer.SILENT,
}


def compare(tiny, python: str, *flags: str) -> None:
    where = ["--tokenizer", str(tiny / "model"), "--peer_python", python]
    run_benchmark.main(["peer", str(tiny / "train.jsonl"), *where, *OPTIONS, *flags])


def test_each_ratio_is_that_of_the_best_rounds_and_every_one_is_held_against_the_goal(tiny, faked, capsys):
    compare(tiny, sys.executable, "--goal", "10")
    out = capsys.readouterr().out
    result = json.loads(out.splitlines()[-1])
    ratios = {name: row["ratio"] for name, row in result["trainers"].items() if row["ratio"]}
    assert ratios == {name: seconds / 4 for name, seconds in SECONDS.items()}
    verdicts = {name: result["trainers"][name]["verdict"] for name in SECONDS}
    assert verdicts == {name: "reached" if seconds / 4 >= 10 else "not reached" for name, seconds in SECONDS.items()}
    assert result["ratio_to_default"] == 10.0
    assert result["trainers"][peer.OURS]["floor_share"] == 0.75
    assert result["ratio_to_fastest_float32"] == 15.0
    assert result["ratio_to_fastest"] == 7.5
    assert out.count("not reached") == 1 + 1  # in the table and in the JSON
    trainers = [command == training.CHILD for command, *_ in faked]
    assert trainers == [True, False, False, False, False] * 2, "they do not take turns"


def test_trl_gets_the_same_solutions_in_its_own_form_and_the_same_updates(tiny, faked, capsys):
    compare(tiny, sys.executable)
    ours, job = faked[0][1], faked[1][1]
    records = read_records(str(tiny / "train.jsonl"))[:24]
    assert job["solutions"] == [
        {"prompt": r.src[0], "completions": list(r.steps), "labels": [label == 1.0 for label in r.labels]}
        for r in records
    ]
    assert [len(update) for update in ours["updates"]] == [16, 8]
    assert job["settings"] == SETTINGS
    assert job["sizes"] == ours["sizes"] and job["threads"] == 1
    assert "goal:" not in capsys.readouterr().out


def test_trl_runs_without_what_this_project_sets_for_itself_and_both_have_the_same_threads(faked, tiny, monkeypatch):
    monkeypatch.setenv("KMP_BLOCKTIME", "0")
    monkeypatch.setenv("USERS_OWN", "1")
    arguments = parse("peer", [str(tiny / "train.jsonl"), "--peer_python", sys.executable, *OPTIONS])
    peer.run_rounds({}, {"settings": SETTINGS}, arguments, {"KMP_BLOCKTIME": "0"})
    (_, _, ours), (command, _, theirs) = faked[:2]
    assert ours["KMP_BLOCKTIME"] == "0" and ours["MKL_NUM_THREADS"] == "1"
    assert "KMP_BLOCKTIME" not in theirs and theirs["OMP_NUM_THREADS"] == "1" and theirs["USERS_OWN"] == "1"
    assert command[-1].endswith("peer_trl.py") and Path(command[-1]).is_file()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--update", "12"], "--update 12: TRL accumulates batches of 8"),
        (["--peer_python", "no/python"], "no/python is not a file; run `make peer`"),
    ],
)
def test_what_cannot_be_compared_is_refused_at_once(tiny, faked, capsys, flags, reason):
    with pytest.raises(SystemExit) as ended:
        compare(tiny, sys.executable, *flags)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err
    assert not faked


def test_transformers_is_given_a_tokenizer_that_makes_the_same_ids(tiny, tokenizer):
    fast = Tokenizer.from_str(tokenizer_json(tokenizer, str(tiny / "model")))
    records = read_records(str(tiny / "train.jsonl"))
    texts = [text for record in records for text in (*record.src, *record.steps)]
    for text in (*texts, "never seen: naïve 數\n  two blanks", "ки"):
        assert fast.encode(text, add_special_tokens=False).ids == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert special_tokens(tokenizer) == {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "</s>",
    }


def test_a_folders_own_tokenizer_json_is_taken_as_it_is(tiny, tokenizer, tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    assert tokenizer_json(tokenizer, str(tmp_path)) == "{}"
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(ValueError, match="neither a tokenizer.json nor a SentencePiece model"):
        tokenizer_json(object(), str(tmp_path))


@pytest.mark.parametrize(("trl", "transformers"), [(TRL_OF_PRM, "4.55.4"), (TRL_OF_ANSWERS, "5.24.0")])
def test_the_requirements_of_trl_are_complete_and_pinned(trl, transformers):
    """The same `make peer` gives the same rival next year."""
    lines = peer.PEER_SCRIPT.with_name(f"trl-{trl}.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(pin.count("==") == 1 for pin in pins)
    assert {f"trl=={trl}", f"transformers=={transformers}", "torch==2.13.0"} <= set(pins)


@pytest.mark.skipif(not PEER_PYTHON, reason="LLM_PEER_PYTHON names no Python with TRL (make peer)")
def test_both_trainers_run_on_the_same_labels(tiny, capsys):
    compare(tiny, PEER_PYTHON, "--rounds", "1")
    out = capsys.readouterr().out
    result = json.loads(out.splitlines()[-1])
    labels = sum(len(record.steps) for record in read_records(str(tiny / "train.jsonl"))[:24])
    assert f"labels: {labels:,}, of TRL {labels:,};" in out
    assert "updates: 2, of TRL 2;" in out
    assert all(row["seconds"] > 0 and row["computed"] > 0 for row in result["trainers"].values())
