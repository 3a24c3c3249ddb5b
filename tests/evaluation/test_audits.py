"""Each audit finds the shortcut that is planted, and finds none in scores that follow the labels."""

from __future__ import annotations

import contextlib
import json
import random

import numpy as np
import pytest

from llm.alignment.rm.flashmask.run_reward import main as train
from llm.evaluation import audits, processbench, steps
from llm.evaluation.audit import main
from llm.evaluation.suite import Item
from llm.scoring.scorer import Scorer
from llm.scoring.scores import Scores
from llm.scoring.solutions import solutions_of
from tests.factories import data_of, read_lines, write_config

WORDS = ["add", "so", "we get", "then", "9 + 4", "13 apples", "that is 27", "half of it"]


@pytest.fixture(scope="module")
def items() -> list[Item]:
    """400 solutions of 2 to 9 steps with random texts and labels."""
    draw = random.Random(1)
    found = []
    for number in range(400):
        texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) + "." for _ in range(draw.randint(2, 9))]
        (record,) = solutions_of({"question": f"q{number}", "steps": texts}, f"here:{number}")
        found.append(Item(record.place, (record,), tuple(float(draw.random() < 0.7) for _ in texts)))
    return found


def judged_by(items, rule):
    """Log-odds rule(step, number, steps, label) with noise."""
    noise = np.random.default_rng(2)
    judged = []
    for item in items:
        texts = item.solutions[0].steps
        pairs = enumerate(zip(texts, item.truth, strict=True))
        log_odds = [rule(text, n, texts, label) + noise.normal(0, 1) for n, (text, label) in pairs]
        judged.append((item, [Scores(np.array(log_odds))]))
    return judged


def by_label(text, number, texts, label):
    return 4 * label - 2


def test_scores_that_follow_the_labels_have_no_shortcut(items):
    for one in audits.explained(judged_by(items, by_label), steps.labels).values():
        assert one["explained"] < 0.02 and one["auc"] < 0.55


@pytest.mark.parametrize(
    "name, rule",
    [
        ("position of the step", lambda text, number, texts, label: number),
        ("steps of the solution", lambda text, number, texts, label: -len(texts)),
        ("steps that follow", lambda text, number, texts, label: 2 * label + len(texts) - number),
        ("characters of the step", lambda text, number, texts, label: len(text) / 10),
        (
            "share of digits in the step",
            lambda text, number, texts, label: 30 * sum(map(str.isdigit, text)) / len(text),
        ),
    ],
)
def test_a_planted_shortcut_is_the_one_that_explains_most(items, name, rule):
    found = audits.explained(judged_by(items, rule), steps.labels)
    assert found[name]["explained"] == max(one["explained"] for one in found.values()) > 0.5


def test_a_shortcut_in_the_data_shows_in_the_labels_alone(items):
    late = [Item(i.place, i.solutions, tuple(float(n < 3) for n in range(len(i.truth)))) for i in items]
    found = audits.explained(judged_by(late, by_label), steps.labels)
    assert found["position of the step"]["auc"] == 1.0 and found["position of the step"]["explained"] < 0.02


def test_how_often_the_last_step_is_lowest(items):
    at_end = judged_by(items, lambda text, number, texts, label: -9.0 * (number == len(texts) - 1))
    assert audits.lowest_at_end(at_end, steps.labels)["with a right last step"] == 1.0
    honest = audits.lowest_at_end(judged_by(items, by_label), steps.labels)
    expected = np.mean([1 / len(item.truth) for item in items])  # by chance, as labels do not depend on the place
    assert honest["all solutions"] == pytest.approx(expected, abs=0.06)
    assert honest["with a right last step"] < honest["all solutions"]


def test_writings_that_change_verdicts(items):
    def score(rule):
        return lambda records: [Scores(np.array([rule(step) for step in one.steps])) for one in records]

    def by_prefix(step):
        return -2.0 if step.startswith("Step") else 2.0

    for rule, changed in ((by_prefix, 1.0), (lambda step: 2.0, 0.0)):
        judged = [(item, score(rule)(item.solutions)) for item in items]
        found = audits.sensitivity(judged, score(rule), 0.5)
        assert found["numbered steps"]["verdicts"] == found["numbered steps"]["steps"] == changed
        assert found["a full stop more or less"]["verdicts"] == 0
    assert found["line breaks as blanks"]["verdicts"] is None  # there are none


def test_solutions_that_another_writing_makes_too_long_are_counted(items):
    def score(records):
        return [None if len(one.steps) > 8 else Scores(np.array([-1.0] * len(one.steps))) for one in records]

    judged = [(item, [Scores(np.array([1.0] * len(item.truth)))]) for item in items]
    found = audits.sensitivity(judged, score, 0.5)["numbered steps"]
    assert found["too long"] == sum(len(item.truth) > 8 for item in items) > 0
    assert found["verdicts"] == found["steps"] == 1.0


def test_flipped_labels_are_the_suspects(items):
    sure = [(item, [Scores(np.array([8.0 * label - 4 for label in item.truth]))]) for item in items]
    assert audits.suspects(sure, steps.labels) == []
    flipped = {(3, 0), (17, 1), (200, 1)}
    changed = [
        (Item(i.place, i.solutions, tuple(1 - y if (n, k) in flipped else y for k, y in enumerate(i.truth))), s)
        for n, (i, s) in enumerate(sure)
    ]
    found = audits.suspects(changed, steps.labels)
    assert {(int(one["place"].removeprefix("here:")), one["step"]) for one in found} == flipped


def test_right_answer_wrong_process(tmp_path):
    rows = [
        {"problem": "q", "steps": ["a", "b"], "label": label, "final_answer_correct": answer}
        for label, answer in ((0, True), (1, True), (1, False), (-1, True))
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = [Scores(np.array(r)) for r in ([-1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, 1.0])]
    judged = [(i, [s]) for i, s in zip(processbench.read([tmp_path / "a.jsonl"], lambda n: 0), found, strict=True)]
    hidden = audits.right_answer_wrong_process(judged, lambda i: i.truth != -1 and i.known["final_answer_correct"], 0.5)
    assert hidden == {"found": 0.5, "solutions": 2}


@pytest.mark.runs
def test_the_command(tiny, tmp_path, capsys):
    common = {"max_steps": 2, "save_strategy": "no", "evaluation_strategy": "no", "max_seq_len": 512}
    train(write_config(tmp_path / "run", **data_of(tiny), **common))
    rows = [*read_lines(tiny / "dev.jsonl"), _longest(Scorer.load(tmp_path / "run/out"))]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["steps", str(tmp_path / "run/out"), str(tmp_path / "data.jsonl"), "--output", str(tmp_path / "audit")]
    main([*words, "--confident", "0.5"])
    found = json.loads((tmp_path / "audit/audit.json").read_text())
    assert found["suspects"] == len(read_lines(tmp_path / "audit/suspects.jsonl"))
    assert set(found["explained"]) == set(audits.PROPERTIES) and set(found["sensitivity"]) == set(audits.WRITINGS)
    screen = capsys.readouterr().out
    assert "written in another way" in screen
    assert "numbered steps: 1 solution too long when written so, and left out" in screen


def _longest(scorer: Scorer) -> dict:
    """A record that is as long as the model reads."""
    for count in range(512, 0, -1):
        (solution,) = solutions_of({"question": "q", "steps": ["a"] * count}, "here")
        with contextlib.suppress(ValueError):
            scorer.convention.encode(solution)
            return {"src": ["q"], "tgt": [], "responses": ["a"] * count, "labels": ["+"] * count}
    raise AssertionError("no solution fits")
