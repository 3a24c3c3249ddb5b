"""Ways to search for a solution with a generator and a reward model. No paddle here.

All candidates of a round are scored together, so what they share is computed once. A solution that was scored is not
scored again; of what the model computed for it, nothing but the scores is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from llm.scoring.scores import Scores
from llm.search.generator import Generator

Solution = tuple[str, ...]
Found = list[tuple[Solution, float]]
ScoreAll = Callable[[list[dict]], list[Scores | str]]  # a text says why a solution has no scores
MOST_STEPS = 64  # of a solution that a generator does not end


@dataclass
class Judge:
    """Scores of solutions, whole or begun, by one number: an aggregate of the steps."""

    score: ScoreAll
    aggregate: str = "min"
    known: dict[tuple[str, Solution], Scores | str] = field(default_factory=dict)
    without_scores: list[str] = field(default_factory=list)  # why, of each solution that has none

    def values(self, question: str, solutions: Sequence[Solution]) -> list[float | None]:
        """None for a solution that cannot be scored: it is blank, or too long for the reward model."""
        new = [one for one in dict.fromkeys(solutions) if (question, one) not in self.known]
        found = self.score([{"question": question, "steps": list(one)} for one in new]) if new else []
        self.known |= {(question, one): scores for one, scores in zip(new, found, strict=True)}
        self.without_scores += [scores for scores in found if isinstance(scores, str)]
        of_each = (self.known[question, one] for one in solutions)
        return [None if isinstance(scores, str) else getattr(scores, self.aggregate) for scores in of_each]

    def ranked(self, question: str, solutions: Sequence[Solution]) -> Found:
        return _sorted(zip(solutions, self.values(question, solutions), strict=True))

    def lower_end(self, question: str, solution: Solution) -> float:
        """Of the interval of its value, for a solution that was scored by a model with a quantile head."""
        scores = self.known[question, solution]
        assert isinstance(scores, Scores)
        return getattr(scores.low, self.aggregate)


def best_of_n(questions: Sequence[str], generator: Generator, judge: Judge, n: int) -> Iterator[Found]:
    """Of each question n solutions with their values, the best first; equal ones are listed as often as they came. A
    generator that has `complete_each` is asked for those of several questions at once."""
    at_once = max(getattr(generator, "texts_at_once", 1) // n, 1)
    several = getattr(generator, "complete_each", None)
    for start in range(0, len(questions), at_once):
        some = questions[start : start + at_once]
        written = several(some, n) if several else [generator.complete(question, (), n) for question in some]
        for question, solutions in zip(some, written, strict=True):
            yield judge.ranked(question, [tuple(steps) for steps in solutions])


def until_sure(question: str, generator: Generator, judge: Judge, n: int, enough: float, at_a_time: int) -> Found:
    """As many of n solutions as are needed: `at_a_time` more, until the lower end of the best one's interval is at
    least `enough`."""
    solutions: list[Solution] = []
    ranked: Found = []
    for first in range(0, n, at_a_time):
        more = generator.complete(question, (), min(at_a_time, n - first), first)
        solutions += [tuple(steps) for steps in more]
        ranked = judge.ranked(question, solutions)
        if ranked and judge.lower_end(question, ranked[0][0]) >= enough:
            break
    return ranked


def beam(question: str, generator: Generator, judge: Judge, n: int, width: int, lookahead: int = 0) -> Found:
    """The `width` best beginnings are kept, each continued in n // width ways, until `width` solutions have ended. With
    lookahead a beginning is worth what it is after so many further steps."""
    begun: list[Solution] = [()]
    ended: list[Solution] = []
    for depth in range(MOST_STEPS):
        candidates, finished = _continued(question, generator, begun, n if not depth else max(n // width, 1))
        ended += finished
        if len(ended) >= width or not candidates:
            break
        begun = [one for one, _ in _sorted(_worth(question, generator, judge, candidates, lookahead))[:width]]
    return judge.ranked(question, list(dict.fromkeys(ended)))


def dvts(question: str, generator: Generator, judge: Judge, n: int, width: int, lookahead: int = 0) -> Found:
    """Diverse verifier tree search: `width` subtrees that begin with different steps, where there are so many; each
    goes on with its own best step alone."""
    first, ended = _continued(question, generator, [()], n)
    ranked = [one for one, _ in _sorted(_worth(question, generator, judge, first, lookahead))[:width]]
    for subtree in ranked:
        begun: Solution | None = subtree
        while begun is not None and len(begun) < MOST_STEPS:
            candidates, finished = _continued(question, generator, [begun], max(n // width, 1))
            ended += finished
            values = _sorted(_worth(question, generator, judge, candidates, lookahead))
            begun = values[0][0] if values and not finished else None
    return judge.ranked(question, list(dict.fromkeys(ended)))


def _continued(
    question: str, generator: Generator, begun: Sequence[Solution], count: int
) -> tuple[list[Solution], list[Solution]]:
    """(solutions with a further step, solutions that ended with it), no solution twice."""
    going: dict[Solution, None] = {}
    ended: dict[Solution, None] = {}
    for steps in begun:
        for step, is_last in generator.next_steps(question, steps, count):
            (ended if is_last else going)[(*steps, step)] = None
    return list(going), list(ended)


def _worth(
    question: str, generator: Generator, judge: Judge, candidates: list[Solution], lookahead: int
) -> list[tuple[Solution, float | None]]:
    ahead = candidates
    if lookahead:
        rests = (generator.complete(question, one, 1)[0][:lookahead] for one in candidates)
        ahead = [(*one, *rest) for one, rest in zip(candidates, rests, strict=True)]
    return list(zip(candidates, judge.values(question, ahead), strict=True))


def _sorted(solutions: Iterable[tuple[Solution, float | None]]) -> Found:
    """The best first, without those that have no value."""
    return sorted(((one, value) for one, value in solutions if value is not None), key=lambda pair: -pair[1])


TREES = {"beam": beam, "dvts": dvts}
