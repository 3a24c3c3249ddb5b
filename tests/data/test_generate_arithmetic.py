"""The generator: labels that are true of the text, splits that share nothing, the same bytes for the same arguments."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llm.core.records.records import read_records
from llm.data.generate_arithmetic import exercises, preferences, problems, records, right_solutions

SCRIPT = Path(__file__).resolve().parents[2] / "llm/data/generate_arithmetic.py"
EQUATION = re.compile(r"(\d+) ([+-]) (\d+) = <<(\d+)([+-])(\d+)=(\d+)>>(\d+)")
GAIN = "buys picks gets finds wins borrows bakes brings earns digs".split()
APPLY = {"+": lambda a, b: a + b, "-": lambda a, b: a - b}


def judged_from_the_text(question: str, steps: list[str]) -> list[str]:
    """The labels by a second reading that knows nothing of how the records are made."""
    total = int(re.search(r"\d+", question).group())
    labels = []
    for step in steps:
        verb, told = re.search(r"(?:She|He) (\w+) (\d+)", step).groups()
        left, sign, operand, *again, result = EQUATION.search(step).groups()
        assert again == [left, sign, operand, result]
        right_sign = "+" if verb in GAIN else "-"
        right = (int(left), sign, operand) == (total, right_sign, told)
        labels.append("+" if right and APPLY[sign](int(left), int(operand)) == int(result) else "-")
        total = int(result)
    return labels


def test_every_label_is_true_of_its_step():
    kinds = set()
    for record in records(300, seed=5):
        assert record["labels"] == judged_from_the_text(record["src"][0], record["responses"])
        kinds |= {*record["labels"]}
    assert kinds == {"+", "-"}


def test_errors_are_of_three_kinds():
    seen = set()
    for record in records(100, seed=1):
        for step, label in zip(record["responses"], record["labels"], strict=True):
            told = re.search(r"(?:She|He) \w+ (\d+)", step).group(1)
            left, sign, operand, *_, result = EQUATION.search(step).groups()
            if label == "-" and APPLY[sign](int(left), int(operand)) != int(result):
                seen.add("result")
            elif label == "-":
                seen.add("operand" if operand != told else "operation")
    assert seen == {"result", "operand", "operation"}


def test_first_error_labels_stay_negative_from_the_first_error_on():
    by_step = list(records(50, labels="step"))
    by_first_error = list(records(50, labels="first-error"))
    for one, other in zip(by_step, by_first_error, strict=True):
        assert one["responses"] == other["responses"]
        first = one["labels"].index("-") if "-" in one["labels"] else len(one["labels"])
        assert other["labels"] == ["+"] * first + ["-"] * (len(one["labels"]) - first)


def test_always_answering_plus_is_right_for_at_most_three_quarters():
    labels = [label for record in records(500) for label in record["labels"]]
    assert labels.count("+") / len(labels) <= 0.75


def test_train_and_dev_share_no_question_whatever_the_seeds():
    train = {problem.plan for seed in (0, 1) for problem in problems(400, seed, "train")}
    dev = {problem.plan for seed in (0, 1) for problem in problems(100, seed, "dev")}
    assert not train & dev
    questions = [problem.question for problem in problems(400)]
    assert len(set(questions)) == 400


def test_solutions_of_a_question_stand_together_differ_and_share_first_steps():
    groups: dict[str, list] = {}
    for record in records(60, solutions_per_problem=4):
        groups.setdefault(record["src"][0], []).append(record["responses"])
    assert all(len(group) == 4 and len({tuple(steps) for steps in group}) == 4 for group in groups.values())
    shared = sum(any(one[0] == other[0] for other in group[1:]) for group in groups.values() for one in group[:1])
    assert shared > len(groups) // 4
    lengths = {len(steps) for group in groups.values() for steps in group}
    assert lengths <= set(range(2, 9)) and len(lengths) > 4


def test_text_for_the_warm_up_holds_no_reward_and_right_solutions_are_right():
    for question, steps in right_solutions(50):
        assert set(judged_from_the_text(question, steps)) == {"+"}
    lines = [line for line, _ in zip(exercises(), range(400), strict=False)]
    verdicts = [line.rpartition(" ")[2] for line in lines]
    assert set(verdicts) == {"right", "wrong"} and 100 < verdicts.count("right") < 300


@pytest.mark.runs
@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz"])
def test_the_command_writes_the_same_readable_bytes_again(tmp_path, name):
    written = []
    for hash_seed in ("1", "2"):
        out, dev = tmp_path / hash_seed / name, tmp_path / hash_seed / f"dev-{name}"
        command = [
            sys.executable,
            str(SCRIPT),
            "--problems",
            "20",
            "--output",
            str(out),
            "--dev_output",
            str(dev),
            "--dev_problems",
            "5",
        ]
        subprocess.run(command, check=True, env={"PYTHONHASHSEED": hash_seed}, cwd=tmp_path)
        written.append((out.read_bytes(), dev.read_bytes()))
        assert len(read_records([str(out)])) == 80 and len(read_records([str(dev)])) == 20
    assert written[0] == written[1]
    raw = written[0][0]
    first = json.loads((gzip.decompress(raw) if name.endswith("gz") else raw).splitlines()[0])
    assert list(first) == ["src", "tgt", "responses", "labels"]


def test_the_first_problems_do_not_depend_on_how_many_are_asked_for():
    few, many = list(problems(10)), problems(1000)
    assert few == [next(many) for _ in range(10)]


def test_preferences_put_a_right_answer_beside_each_wrong_one():
    """In either order; the answers are those of the records with labels."""
    by_question: dict[str, list] = {}
    for record in records(20, seed=3):
        by_question.setdefault(record["src"][0], []).append(("\n".join(record["responses"]), record["labels"]))
    pairs, orders = list(preferences(20, seed=3)), set()
    wrong = sum("-" in labels for answers in by_question.values() for _, labels in answers)
    assert len(pairs) == wrong > 40
    for pair in pairs:
        labels = dict(by_question[pair["src"][0]])
        orders.add(tuple(pair["sort"]))
        better = pair["response"][pair["sort"].index(1)]
        worse = pair["response"][pair["sort"].index(0)]
        assert "-" not in labels[better] and "-" in labels[worse]
    assert orders == {(0, 1), (1, 0)}
