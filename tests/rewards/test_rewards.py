"""Rewards of recorded rollouts: by the model in this process and by a server the same, as verl and OpenRLHF ask."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from llm.alignment.rm.flashmask.run_reward import main as train
from llm.core.paths import REPOSITORY
from llm.rewards import judges, openrlhf_reward, rewards, verl_reward
from llm.rewards.credit import min_form
from llm.scoring.scorer import Scorer
from tests.factories import data_of, read_lines, write_config
from tests.runs import refusal
from tests.served import served

ROLLOUTS = [
    {
        "prompt": "What is 2 + 3?",
        "response": "2 + 3 = 5\n\nThe answer is: 5",
        "tokens": ["2 + 3", " = 5\n", "\nThe answer is: 5"],
    },
    {"prompt": "What is 2 + 3?", "response": "2 + 3 = 6"},
    {"prompt": "What is 1 + 1?", "response": " \n\n "},
]


@pytest.fixture(scope="module")
def model(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    common = {"max_steps": 1, "save_strategy": "no", "evaluation_strategy": "no", "max_seq_len": 512}
    train(write_config(folder, **data_of(tiny), **common))
    return str(folder / "out")


@pytest.fixture(scope="module")
def server(model):
    with served(model, "secret") as url:
        yield url


@pytest.mark.runs
def test_by_a_model_and_by_its_server(model, server, tmp_path, monkeypatch):
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROLLOUTS))
    monkeypatch.setenv(judges.TOKEN, "secret")
    for name, words in (("model", ["--model", model]), ("server", ["--url", server])):
        rewards.main([str(tmp_path / "in.jsonl"), str(tmp_path / name), *words])
    one, other = (read_lines(tmp_path / name) for name in ("model", "server"))
    for a, b in zip(one, other, strict=True):
        assert a["scores"] == pytest.approx(b["scores"], abs=1e-5)
    expected = Scorer.load(model).score([{"question": "What is 2 + 3?", "steps": ["2 + 3 = 5", "The answer is: 5"]}])
    assert one[0]["scores"] == pytest.approx(expected[0].steps, abs=1e-6)
    first, last = min_form(one[0]["scores"])
    assert one[0]["token_rewards"] == pytest.approx([0.0, first, last])
    assert one[2]["scores"] == [] and one[2]["advantage"] == 0.0
    assert one[0]["advantage"] == pytest.approx(-one[1]["advantage"])


@pytest.mark.runs
def test_as_trainers_call_them(model, server, monkeypatch):
    monkeypatch.delenv(judges.URL, raising=False)
    monkeypatch.delenv(judges.MODEL, raising=False)
    with pytest.raises(ValueError, match=judges.URL):
        verl_reward.compute_score("gsm8k", "a", "5", {"question": "q"})
    monkeypatch.setenv(judges.URL, server)
    monkeypatch.setenv(judges.TOKEN, "secret")
    infos = [{"question": row["prompt"]} for row in ROLLOUTS]
    texts = [row["response"] for row in ROLLOUTS]
    several = verl_reward.compute_score(
        data_sources=["x"] * 3, solution_strs=texts, ground_truths=["5"] * 3, extra_infos=infos
    )
    alone = [verl_reward.compute_score("x", text, "5", info) for text, info in zip(texts, infos, strict=True)]
    assert [one["score"] for one in several] == pytest.approx([one["score"] for one in alone], abs=1e-5)
    steps = json.loads(several[0]["steps"])
    assert several[0]["score"] == min(steps) and several[2]["score"] == 0
    assert json.loads(several[0]["credits"]) == pytest.approx(min_form(steps))
    for name in several[0]:  # as verl collects them
        assert np.array([one[name] for one in several]).shape == (3,)
    prompts = [row["prompt"] for row in ROLLOUTS]
    expected = pytest.approx([one["score"] for one in alone], abs=1e-5)
    for end in ("", "</s>", "<|im_end|>\n"):
        queries = [row["prompt"] + row["response"] + end for row in ROLLOUTS]
        found = openrlhf_reward.reward_func(queries, prompts, labels=None)
        assert [float(one) for one in found["rewards"]] == expected
    with monkeypatch.context() as of_labels:
        of_labels.setenv(openrlhf_reward.QUESTION, "label")
        written = [f"<|user|>{prompt}<|assistant|>" for prompt in prompts]
        queries = [prompt + row["response"] for prompt, row in zip(written, ROLLOUTS, strict=True)]
        found = openrlhf_reward.reward_func(queries, written, prompts)
        assert [float(one) for one in found["rewards"]] == expected
        with pytest.raises(ValueError, match="a label is no question"):
            openrlhf_reward.reward_func(queries, written, None)
    with pytest.raises(ValueError, match="does not begin with its prompt"):
        openrlhf_reward.reward_func(["other"], ["q"], None)
    monkeypatch.setenv(judges.TOKEN, "wrong")
    with pytest.raises(ValueError, match="answers 401"):
        verl_reward.compute_score("x", texts[0], "5", infos[0])


@pytest.mark.runs
def test_from_several_threads_the_model_is_loaded_once_and_asked_by_one_at_a_time(model, monkeypatch):
    monkeypatch.setattr(judges, "_loaded", {})
    loaded, load = [], Scorer.load
    monkeypatch.setattr(Scorer, "load", lambda folder: loaded.append(folder) or load(folder))
    judge, asked = judges.InProcess(model), ["2 + 3 = 5\n\nThe answer is: 5", "2 + 3 = 6"]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda one: judge(["What is 2 + 3?"], [asked[one % 2]]), range(8)))
    assert loaded == [model]
    expected = [scores for one in asked for scores in judge(["What is 2 + 3?"], [one])]
    for number, (scores,) in enumerate(found):
        assert scores == pytest.approx(expected[number % 2], abs=1e-6)


LOAD_BY_PATH = """
import importlib.util, sys
for path in sys.argv[1:]:
    spec = importlib.util.spec_from_file_location("custom", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(*sys.modules)
"""


@pytest.mark.runs
def test_the_clients_are_loaded_by_path_and_need_the_standard_library_alone(tmp_path):
    files = [one.__file__ for one in (verl_reward, openrlhf_reward)]
    environment = {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-S", "-c", LOAD_BY_PATH, *files]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert not {"numpy", "paddle", "paddlenlp", "tqdm"} & set(done.stdout.split())


@pytest.mark.parametrize(
    "row, words, told",
    [
        ({"prompt": "q"}, ["--url", "http://127.0.0.1:9"], "no prompt and response"),
        ({"prompt": "q", "response": "a", "tokens": [1]}, ["--url", "http://127.0.0.1:9"], "tokens are"),
        ({"prompt": "q", "response": "a b", "tokens": ["a", "▁b"]}, ["--url", "http://127.0.0.1:9"], "tokens together"),
        ({"prompt": "q", "response": "a"}, ["--url", "http://127.0.0.1:9"], "gave no scores"),
        ({"prompt": "q", "response": "a"}, [], "give --model"),
        ({"prompt": "q", "response": "a"}, ["--model", "m", "--separator", ""], "--separator is empty"),
        *(
            ({"prompt": "q", "response": "a"}, ["--model", "m", "--temperature", value], "--temperature")
            for value in ("0", "-1", "nan", "inf")
        ),
    ],
)
def test_refusals(tmp_path, capsys, row, words, told):
    (tmp_path / "in.jsonl").write_text(json.dumps(row))
    assert told in refusal(capsys, [str(tmp_path / "in.jsonl"), str(tmp_path / "out"), *words], rewards.main)
    assert not (tmp_path / "out").exists()


def test_the_one_score_of_an_answer_is_at_its_last_token():
    options = argparse.Namespace(form="sum", temperature=0.1, separator="\n\n")
    row = {"prompt": "q", "response": "a\n\nb", "tokens": ["a\n", "\nb", "</s>"]}
    (found,) = rewards.rewarded([row], lambda prompts, responses: [[0.7]], options)
    assert found["ends"] == [4] and found["token_rewards"] == [0.0, 0.7, 0.0]
