"""The demo of a policy, with fewer problems and updates: its commands fit together, and it says what it measured."""

from __future__ import annotations

import json
import shutil
from importlib import import_module

import pytest

from llm.command_line import VERBS
from llm.core.paths import REPOSITORY
from llm.demo import run_dpo_demo
from tests.runs import refusal

CONFIGS = (run_dpo_demo.SFT, run_dpo_demo.DPO)


def test_without_the_demo_it_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_dpo_demo, "WORKSPACE", tmp_path)
    shown = refusal(capsys, [], run_dpo_demo.main)
    assert "checkpoints/tiny/base and checkpoints/tiny/prm: not there. Run make demo first" in shown


@pytest.mark.runs
def test_its_commands_fit_together(tiny, tmp_path, monkeypatch, capsys):
    from llm.alignment.rm.flashmask.run_reward import main as train
    from tests.factories import data_of, write_config

    few = {"max_steps": 1, "save_strategy": "no", "evaluation_strategy": "no", "max_seq_len": 512}
    train(write_config(tmp_path / "prm", **data_of(tiny), **few))
    for name, made in (("base", tiny / "model"), ("prm", tmp_path / "prm/out")):
        shutil.copytree(made, tmp_path / "checkpoints/tiny" / name)
    smaller = {"4000": "20", "120": "3", "100": "3", "60": "2", "600": "2", "300": "2", "200": "8"}
    asked = []

    def run(what, verb, *words):
        words = [smaller.get(word, word) for word in words]
        asked.append(verb)
        if verb == "dpo":  # an untrained judge may take all solutions for wrong
            pairs = tmp_path / words[words.index("--train_dataset_path") + 1]
            pairs.write_text(json.dumps({"prompt": "1 + 1 =\n", "chosen": "2", "rejected": "3"}))
        import_module(VERBS[verb][0]).main([str(REPOSITORY / word) if word in CONFIGS else word for word in words])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_dpo_demo, "WORKSPACE", tmp_path)
    monkeypatch.setattr(run_dpo_demo, "run", run)
    run_dpo_demo.main([])
    outcome = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert asked == ["generate", "generate", "sft", "search", "dpo", "search", "search", "search"]
    assert list(outcome) == ["exact_match_base", "exact_match_sft", "exact_match_dpo"]
