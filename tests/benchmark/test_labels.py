"""The quality of labels: counted by hand, and what completions can and cannot find."""

import json

import pytest

from llm.alignment.rm.flashmask.run_reward import main as train
from llm.benchmark import run_benchmark
from llm.benchmark.labels import labels
from llm.data.generate_arithmetic import problems
from llm.search.arithmetic import ArithmeticGenerator, true_labels
from tests.factories import data_of, write_config


def rows(capsys, *words: str) -> dict:
    run_benchmark.main(["labels", "--problems", "15", "--solutions", "3", *words])
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    return {(row["method"], row["n"]): row for row in shown["rows"]}


def test_quality_is_what_a_count_by_hand_gives():
    problem = next(problem for problem in problems(20, split="dev") if len(problem.events) == 4)
    generator = ArithmeticGenerator({problem.question: problem}, error=1.0)
    (steps,) = generator.complete(problem.question, (), 1)
    truth = true_labels(problem, steps)
    assert truth == [0.0] * len(steps) and len(steps) == 4
    solutions = [labels.Solution(problem, tuple(steps), None)] * 2
    found = [[0.0, 1.0, *[None] * (len(steps) - 2)], [0.5, 0.2, *[0.6] * (len(steps) - 2)]]
    assert labels.quality(solutions, found) == {
        "precision": 1.0,
        "recall": 3 / (2 + len(steps)),
        "labelled": (2 + len(steps)) / (2 * len(steps)),
    }


def test_completions_without_errors_find_every_error_and_nothing_else(capsys):
    """From a wrong total no right step leads back to the answer. Halving says nothing behind the first error, and
    takes a solution with a right answer to be right."""
    found = rows(capsys, "--n", "1", "--error", "0")
    for (method, _), row in found.items():
        assert row["precision"] == 1.0 and (row["recall"] == 1.0) == (method != "first-error"), method
    assert found["estimate, hard", 1]["labelled"] == 1.0 > found["first-error", 1]["labelled"]
    assert found["first-error", 1]["completions"] < found["estimate, hard", 1]["completions"]


def test_more_completions_mark_fewer_right_steps_as_wrong(capsys):
    found = rows(capsys, "--n", "1,16")
    assert found["estimate, any", 16]["precision"] > found["estimate, any", 1]["precision"]
    assert found["estimate, any", 16]["recall"] <= found["estimate, any", 1]["recall"]  # what recovers by chance


@pytest.mark.runs
def test_a_judge_keeps_the_labels_that_it_agrees_with(tmp_path, tiny, capsys):
    common = {"max_steps": 1, "save_strategy": "no", "evaluation_strategy": "no", "max_seq_len": 512}
    train(write_config(tmp_path, **data_of(tiny), **common))
    found = rows(capsys, "--n", "2", "--judge", str(tmp_path / "out"))
    for method in ("estimate, hard", "first-error"):
        assert found[f"{method}, judge agrees", 2]["labelled"] < found[method, 2]["labelled"]
