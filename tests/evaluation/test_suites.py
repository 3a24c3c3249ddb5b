"""Each suite's figures, on small examples that are counted by hand."""

from __future__ import annotations

import json
import random

import numpy as np
import pandas
import pytest

from llm.core.records.json_stream import no_progress
from llm.evaluation import best_of_n, preference, prmbench, processbench, steps
from llm.evaluation.suite import BadData
from llm.evaluation.threshold import fitted
from llm.scoring.scores import Scores


def scores(*p: float) -> Scores:
    p = np.clip(np.array(p, "float64"), 1e-9, 1 - 1e-9)
    return Scores(np.log(p / (1 - p)))


def rewards(*values: float) -> list[Scores]:
    return [Scores(np.array([value]), of_steps=False) for value in values]


def read(suite, path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return suite.SUITE.read([path], no_progress)


def solution_of(count: int) -> list[str]:
    return [f"step {number}" for number in range(count)]


# ---- ProcessBench


def test_processbench_counts_the_first_wrong_step_of_wrong_and_of_right_solutions(tmp_path):
    rows = [{"problem": "q", "steps": solution_of(3), "label": label} for label in (1, 1, 2, -1, -1)]
    given = [
        scores(0.9, 0.5, 0.9),
        scores(0.9, 0.9, 0.1),
        scores(0.9, 0.9, 0.9),
        scores(0.6, 0.7, 0.8),
        scores(0.1, 1, 1),
    ]
    judged = [(item, [one]) for item, one in zip(read(processbench, tmp_path / "a.jsonl", *rows), given, strict=True)]
    (found,) = processbench.evaluate(judged, 0.5).metrics["subsets"].values()
    f1 = 2 * (1 / 3) * (1 / 2) / (5 / 6)
    assert found == {"error": 1 / 3, "correct": 1 / 2, "f1": pytest.approx(f1), "solutions": 5}
    judged[0] = (judged[0][0], [])  # without a score: not found
    assert processbench.evaluate(judged, 0.5).metrics["average"]["error"] == 0


def test_processbench_averages_subsets_however_large_they_are(tmp_path):
    files = [tmp_path / "gsm8k.json", tmp_path / "math.json"]
    row = {"problem": "q", "steps": solution_of(1)}
    files[0].write_text(json.dumps([row | {"label": label} for label in (0, -1)]))
    files[1].write_text(json.dumps([row | {"label": label} for label in (0, 0, 0, 0, -1)]))
    items = processbench.read(files, no_progress)
    judged = [(item, [scores(0.1 if item.truth == 0 and item.subset == "gsm8k" else 0.9)]) for item in items]
    metrics = processbench.evaluate(judged, 0.5).metrics
    assert list(metrics["subsets"]) == ["gsm8k", "math"]
    assert metrics["average"] == {"error": 0.5, "correct": 1.0, "f1": 0.5}


# ---- PRMBench


@pytest.fixture
def changed(tmp_path):
    """One error in ten steps, an error behind the last step, and a solution that is right."""
    common = {"modified_question": "q"}
    return read(
        prmbench,
        tmp_path / "a.jsonl",
        common | {"modified_process": solution_of(5), "error_steps": [2], "classification": "circular"},
        common | {"modified_process": solution_of(3), "error_steps": [9], "classification": "deception"},
        common | {"modified_process": ["a", " ", "b"], "error_steps": [], "classification": "multi_solutions"},
    )


@pytest.mark.parametrize(
    "judge, circular, multi, overall",
    [
        (lambda is_wrong: 0.0 if is_wrong else 1.0, 1.0, 1.0, 1.0),  # an oracle
        (lambda is_wrong: 1.0, 0.5 * 8 / 9 + 0.5 * 0.0, 1.0, 0.5 * 18 / 19),  # precision -1, recall 0
        (lambda is_wrong: 0.0, 0.5 * 0.0 + 0.5 * 2 / 6, 0.0, 0.5 * 2 / 11),
    ],
)
def test_prmbench_scores(changed, judge, circular, multi, overall):
    judged = [(item, [scores(*map(judge, item.truth))]) for item in changed]
    metrics = prmbench.evaluate(judged, 0.5).metrics
    assert metrics["classes"]["circular"]["prm_score"] == pytest.approx(circular)
    assert metrics["classes"]["multi_solutions"]["prm_score"] == pytest.approx(multi)
    assert metrics["overall"]["prm_score"] == pytest.approx(overall)
    assert metrics["overall"]["steps"] == 10


def test_prmbench_has_minus_one_where_a_class_has_no_wrong_step_and_none_is_predicted(changed):
    judged = [(item, [scores(*[1.0] * len(item.truth))]) for item in changed]
    deception = prmbench.evaluate(judged, 0.5).metrics["classes"]["deception"]
    assert (deception["f1"], deception["negative_f1"]) == (1.0, -1.0)


def test_a_blank_step_has_no_verdict_and_others_keep_their_numbers(tmp_path):
    row = {"modified_question": "q", "modified_process": ["a", "", "b"], "error_steps": [3]}
    (item,) = read(prmbench, tmp_path / "a.jsonl", {**row, "classification": "confidence"})
    assert (item.solutions[0].steps, item.truth) == (("a", "b"), (False, True))


# ---- best-of-N


def candidates(*of_each) -> dict:
    values = [{"steps": ["a"], "answer": answer, "correct": correct} for answer, correct in of_each]
    return {"question": "q", "candidates": values}


def test_every_way_of_choosing(tmp_path):
    rows = [
        candidates(("1", True), ("2", False), ("2", False), ("3", False)),
        {**candidates(("5", True), ("10/2", True), ("6", False), ("7", False)), "question": "r"},
    ]
    p = [[0.9, 0.2, 0.3, 0.1], [0.1, 0.2, 0.8, 0.3]]
    items = read(best_of_n, tmp_path / "a.jsonl", *rows)
    judged = [(item, [scores(one) for one in of_item]) for item, of_item in zip(items, p, strict=True)]
    metrics = best_of_n.evaluate(judged, 0.5).metrics
    assert list(metrics["by_n"]) == [1, 2, 4]
    accuracy = {way: found["accuracy"] for way, found in metrics["by_n"][4].items()}
    at_random = pytest.approx((1 / 4 + 2 / 4) / 2)
    assert all(found["random (pass@1)"]["accuracy"] == at_random for found in metrics["by_n"].values())
    assert all(found["accuracy"] == at_random for found in metrics["by_n"][1].values())  # of one there is no choice
    assert accuracy["majority vote"] == 0.5  # "2" wins the first question, 5 the second
    assert accuracy["best by min"] == accuracy["best by last"] == 0.5  # 0.9 is right, 0.8 is wrong
    assert accuracy["vote by mean"] == 0.5  # 0.9 beats 0.2 + 0.3; 0.8 beats 0.1 + 0.2
    assert accuracy["oracle"] == 1.0
    assert metrics["by_n"][2]["oracle"]["accuracy"] == pytest.approx((3 / 6 + 5 / 6) / 2)


def test_one_candidate_a_row_is_the_same_as_all_in_one(tmp_path):
    random.seed(3)
    rows = [
        {**candidates(*((str(random.randrange(3)), random.random() < 0.5) for _ in range(5))), "question": f"q{n}"}
        for n in range(6)
    ]
    together = read(best_of_n, tmp_path / "a.jsonl", *rows)
    one_each = ({"question": row["question"], **one} for row in rows for one in row["candidates"])
    alone = read(best_of_n, tmp_path / "b.jsonl", *one_each)
    given = [scores(random.random()) for _ in alone]
    of_rows = iter(given)
    one = best_of_n.evaluate([(item, [next(of_rows) for _ in item.solutions]) for item in together], 0.5)
    other = best_of_n.evaluate([(item, [score]) for item, score in zip(alone, given, strict=True)], 0.5)
    assert one == other
    for found in one.metrics["by_n"].values():
        assert all(0 <= of["low"] <= of["accuracy"] <= of["high"] <= 1 for of in found.values())
        assert found["oracle"]["accuracy"] >= max(of["accuracy"] for of in found.values()) - 0.1  # subsets are drawn


def test_without_answers_there_is_no_vote(tmp_path):
    row = {"question": "q", "candidates": [{"steps": ["a"], "correct": True}, {"solution": "b", "correct": False}]}
    (item,) = read(best_of_n, tmp_path / "a.jsonl", row)
    ways = best_of_n.evaluate([(item, [scores(0.1), scores(0.1)])], 0.5).metrics["by_n"][2]
    assert not [way for way in ways if "vote" in way]
    assert ways["best by min"]["accuracy"] == 0.5  # equal scores: either


# ---- preferences


def test_rewardbench_weights_subsets_in_sections_and_not_sections(tmp_path):
    rows = [
        {"prompt": "q", "chosen": "a", "rejected": "b", "subset": subset}
        for subset in ("math-prm", "hep-go", "hep-go", "donotanswer")
    ]
    items = read(preference, tmp_path / "a.jsonl", *rows)
    given = [rewards(1, 0), rewards(1, 1), rewards(0, 1), rewards(2, 1)]
    metrics = preference.evaluate(list(zip(items, given, strict=True)), 0.5).metrics
    assert metrics["sections"] == {"Safety": 1.0, "Reasoning": pytest.approx(984 / (984 + 164))}
    assert metrics["score"] == pytest.approx((1 + 984 / 1148) / 2)
    assert metrics["overall"] == {"accuracy": 0.5, "ties": 0.25, "pairs": 4}


def test_preference_records_of_training(tmp_path):
    row = {"src": "q", "tgt": [], "response": ["worse", "better"], "sort": [0, 1]}
    (item,) = read(preference, tmp_path / "a.jsonl", row)
    assert [one.steps for one in item.solutions] == [("better",), ("worse",)]
    assert preference.evaluate([(item, rewards(1, 0))], 0.5).metrics["score"] == 1.0


# ---- labelled steps


def test_steps_by_position_length_and_problem(tmp_path):
    rows = [
        {"src": "q", "responses": solution_of(3), "labels": ["+", "-", None]},
        {"src": "q", "responses": solution_of(1), "labels": ["+"]},
        {"src": "r", "responses": solution_of(1), "labels": ["-"]},
    ]
    given = [scores(0.9, 0.8, 0.1), scores(0.7), scores(0.6)]
    judged = [(item, [one]) for item, one in zip(read(steps, tmp_path / "a.jsonl", *rows), given, strict=True)]
    outcome = steps.evaluate(judged, 0.5)
    metrics, (*_, table) = outcome.metrics, outcome.tables
    first = table.rows[1]
    assert table.title == "by problem" and (first[0].endswith(":3"), *first[1:]) == (True, 0.0, 1, 1)
    assert (metrics["overall"]["accuracy"], metrics["overall"]["steps"]) == (0.5, 4)
    assert [found["accuracy"] for found in metrics["by_position"].values()] == [pytest.approx(2 / 3), 0.0]
    assert {length: found["steps"] for length, found in metrics["by_length"].items()} == {"1": 2, "3 to 4": 2}
    assert metrics["by_problem"]["accuracy"] == pytest.approx((2 / 3 + 0) / 2)
    assert metrics["by_problem"]["hardest"][0]["first_record"].endswith(":3")
    assert steps.evaluate(judged, 0.65).metrics["overall"]["accuracy"] == 0.75  # 0.6 is wrong now


# ---- what all share


@pytest.mark.parametrize(
    "suite, row, parts",
    [
        (processbench, {"problem": "q", "steps": ["a"]}, ["no label", "problem, steps"]),
        (processbench, {"problem": "q", "steps": ["a"], "label": 1}, ["label 1", "not a step of 1"]),
        (processbench, {"problem": "q", "steps": ["a"], "label": True}, ["label is", "whole number"]),
        (processbench, {"problem": "q", "steps": [""], "label": 0}, ["blank"]),
        (prmbench, {"modified_question": "q", "modified_process": ["a"], "error_steps": [0]}, ["classification is"]),
        (best_of_n, {"question": "q", "candidates": [{"steps": ["a"]}]}, ["candidate 0", "no correct"]),
        (preference, {"prompt": "q", "chosen": "a"}, ["no rejected"]),
        (steps, {"src": "q", "responses": ["a"], "labels": [None]}, ["label"]),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, suite, row, parts):
    with pytest.raises(ValueError) as error:
        read(suite, tmp_path / "a.jsonl", row)
    assert "a.jsonl" in str(error.value) and all(part in str(error.value) for part in parts)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.parquet", "a.csv", "a.tsv.gz"])
def test_other_files_have_the_same_rows(tmp_path, name):
    """Values of csv files are texts, and a column with a gap is floating point in Parquet."""
    rows = [
        {"problem": "q", "steps": ["a, b", "c"], "label": 1, "final_answer_correct": True},
        {"problem": "r", "steps": ["\u00e4\n"], "label": -1, "final_answer_correct": False},
    ]
    expected = [
        (i.solutions[0].src, i.solutions[0].steps, i.truth, i.known) for i in read(processbench, tmp_path / "x", *rows)
    ]
    table = pandas.DataFrame(rows)
    if name.endswith(".parquet"):
        table.astype({"label": "float64"}).to_parquet(tmp_path / name)
    elif ".jsonl" in name:
        table.to_json(tmp_path / name, orient="records", lines=True)
    else:
        table["steps"] = table["steps"].map(json.dumps)
        table.to_csv(tmp_path / name, index=False, sep="\t" if "tsv" in name else ",")
    found = processbench.read([tmp_path / name], no_progress)
    assert [(i.solutions[0].src, i.solutions[0].steps, i.truth, i.known) for i in found] == expected


def test_all_bad_rows_are_named_at_once(tmp_path):
    with pytest.raises(BadData) as error:
        read(processbench, tmp_path / "a.jsonl", *[{"problem": "q"}] * 25)
    assert str(error.value).count("no steps") == 20 and "and 5 more" in str(error.value)


def test_the_fitted_threshold_separates(tmp_path):
    rows = [{"problem": "q", "steps": solution_of(2), "label": label} for label in (1, -1)] * 10
    items = read(processbench, tmp_path / "a.jsonl", *rows)
    judged = [(item, [scores(0.95, 0.8 if item.truth == 1 else 0.9)]) for item in items]
    assert processbench.evaluate(judged, 0.5).metrics["average"]["f1"] == 0
    threshold = fitted(processbench.SUITE, judged)
    assert 0.8 <= threshold < 0.9
    assert processbench.evaluate(judged, threshold).metrics["average"]["f1"] == 1
