"""Search finds what the reward model prefers; with the truth as the judge it finds right solutions."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

from llm.data.generate_arithmetic import problems
from llm.scoring.final_answers import answer_of, same_answer
from llm.scoring.scores import Scores
from llm.search import arithmetic, strategies
from llm.search.generator import Proposal
from llm.search.strategies import Judge, beam, dvts, until_sure

PROBLEMS = list(problems(40, split="dev"))


def best_of_n(question, generator, judge, n):
    (found,) = strategies.best_of_n([question], generator, judge, n)
    return found


class Digits:
    """Every step is a digit, and a solution has three."""

    def next_steps(self, question, steps, count):
        return [Proposal(str(digit), len(steps) == 2) for digit in range(min(count, 10))]

    def complete(self, question, steps, count):
        return [[str((n + k) % 10) for k in range(3 - len(steps))] for n in range(count)]


def scores_of(rule):
    def score(solutions):
        return [
            Scores(np.array([rule(tuple(one["steps"][: n + 1])) for n in range(len(one["steps"]))]))
            for one in solutions
        ]

    return score


def test_beam_and_dvts_go_where_the_scores_lead():
    wanted = ("3", "1", "2")
    judge = Judge(scores_of(lambda steps: 4.0 if steps == wanted[: len(steps)] else -4.0))
    assert beam("q", Digits(), judge, n=16, width=2)[0][0] == wanted
    assert dvts("q", Digits(), judge, n=16, width=2)[0][0] == wanted


def test_lookahead_sees_what_a_step_leads_to():
    """5 is a good first step only because 5, 6, 7 follows it; without lookahead it looks worse than the others."""
    judge = lambda: Judge(scores_of(lambda steps: {("5",): -1.0, ("5", "6"): 9.0}.get(steps, 0.0)), "last")  # noqa: E731

    class Follows(Digits):
        def complete(self, question, steps, count):
            return [[str(int(steps[-1]) + 1 + k) for k in range(3 - len(steps))]] * count

    without = beam("q", Follows(), judge(), n=10, width=1)
    assert without[0][0][0] != "5"
    assert beam("q", Follows(), judge(), n=10, width=1, lookahead=1)[0][0][0] == "5"


def test_a_width_of_one_dvts_is_a_beam_of_one_and_wide_ones_begin_differently():
    judge = Judge(scores_of(lambda steps: float(steps[-1])))
    assert dvts("q", Digits(), judge, 8, 1)[0] == beam("q", Digits(), judge, 8, 1)[0]
    assert len({solution[0] for solution, _ in dvts("q", Digits(), judge, 8, 4)}) == 4


def test_best_of_n_is_sorted_and_no_solution_is_scored_twice():
    asked = []
    judge = Judge(lambda some: asked.extend(some) or scores_of(lambda steps: float(steps[0]))(some))
    found = best_of_n("q", Digits(), judge, 20)
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
    assert len(found) == 20 and len(asked) == 10
    best_of_n("q", Digits(), judge, 20)
    assert len(asked) == 10


@pytest.mark.parametrize("search", [best_of_n, lambda *a: beam(*a, width=3), lambda *a: dvts(*a, width=3)])
def test_what_cannot_be_scored_is_left_out(search):
    """Beginnings and solutions with a 3 are too long for the reward model."""
    score = scores_of(lambda steps: float(steps[-1]))
    judge = Judge(lambda some: ["too long" if "3" in one["steps"] else score([one])[0] for one in some])
    found = search("q", Digits(), judge, 12)
    assert found and all("3" not in solution for solution, _ in found)
    assert set(judge.without_scores) == {"too long"}
    assert search("q", Digits(), Judge(lambda some: ["too long"] * len(some)), 12) == []


def with_intervals(width):
    """The last digit is the score, and how unsure the judge is depends on it."""

    def score(solutions):
        last = [np.array([float(one["steps"][-1])]) for one in solutions]
        return [Scores(r, interval=np.stack([r - width(r[0]), r + width(r[0])])) for r in last]

    return score


@pytest.mark.parametrize(
    "width, enough, n, at_a_time, solutions",
    [
        (lambda r: 0.0, 0.99, 20, 1, 4),  # solutions end with 2, 3, 4, ...; sigmoid(5) is the first above 0.99
        (lambda r: 0.0, 0.99, 20, 3, 6),  # two rounds
        (lambda r: 2.0, 0.99, 20, 1, 6),
        (lambda r: 2.0, 0.99, 3, 1, 3),  # never sure
        (lambda r: 9.0 if r < 9 else 0.0, 0.99, 20, 1, 8),  # sure of 9 alone
        (lambda r: 9.0, 0.99, 20, 3, 20),
    ],
)
def test_sampling_ends_when_the_lower_end_of_the_best_is_high_enough(width, enough, n, at_a_time, solutions):
    found = until_sure("q", Numbered(), Judge(with_intervals(width), "last"), n, enough, at_a_time)
    assert len(found) == solutions
    assert found[0][0] == max((solution for solution, _ in found), key=lambda solution: solution[-1])
    if solutions == n:
        assert sorted(found) == sorted(best_of_n("q", Numbered(), Judge(with_intervals(width), "last"), n))


class Numbered(Digits):
    def complete(self, question, steps, count, first=0):
        return super().complete(question, steps, first + count)[first:]


def test_arithmetic_goes_on_with_other_solutions():
    generator = arithmetic.ArithmeticGenerator({problem.question: problem for problem in PROBLEMS}, error=0.5)
    question = PROBLEMS[0].question
    whole = generator.complete(question, (), 7)
    parts = [generator.complete(question, (), count, first) for first, count in ((0, 2), (2, 1), (3, 4))]
    assert [one for part in parts for one in part] == whole


def truth(solutions):
    known = {problem.question: problem for problem in PROBLEMS}
    return [
        Scores(np.array([8 * y - 4 for y in arithmetic.true_labels(known[one["question"]], one["steps"])]))
        for one in solutions
    ]


@pytest.mark.parametrize("search", [best_of_n, lambda *a: beam(*a, width=2), lambda *a: dvts(*a, width=2)])
def test_with_the_truth_as_judge_answers_are_right_where_a_random_one_is_often_wrong(search):
    generator = arithmetic.ArithmeticGenerator({problem.question: problem for problem in PROBLEMS}, error=0.3)
    right = at_random = 0
    for problem in PROBLEMS:
        found = search(problem.question, generator, Judge(truth), 16)
        right += same_answer(answer_of("\n".join(found[0][0])), arithmetic.answer(problem))
        first = generator.complete(problem.question, (), 1)[0]
        at_random += same_answer(answer_of("\n".join(first)), arithmetic.answer(problem))
    assert right >= 36 > 30 > at_random


def test_the_generator_is_the_same_again_errs_as_often_as_it_should_and_ends_what_is_begun():
    problem = max(PROBLEMS, key=lambda one: len(one.events))
    generator = arithmetic.ArithmeticGenerator({problem.question: problem}, error=0.2)
    whole = generator.complete(problem.question, (), 500)
    assert whole == generator.complete(problem.question, (), 500)
    labels = [arithmetic.true_labels(problem, steps)[0] for steps in whole]
    assert np.mean(labels) == pytest.approx(0.8, abs=0.06)
    begun = whole[0][:2]
    rest = generator.complete(problem.question, begun, 3)[0]
    assert rest[0].startswith("Step 3: ") and "The answer is" in rest[-1] and len(begun + rest) == len(problem.events)
    ends = [generator.next_steps(problem.question, whole[0][:n], 1)[0].is_last for n in range(len(problem.events))]
    assert ends == [*[False] * (len(problem.events) - 1), True]
    assert next(number for number in count() if number == len(set(map(tuple, whole)))) > 100
