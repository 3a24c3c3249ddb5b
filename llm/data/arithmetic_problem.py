"""One arithmetic word problem and its solutions, right and wrong. Pure functions of a random generator.

A problem counts things: somebody has a number of them, and events add some or take some away. A step of a solution
repeats an event and works out the new total.

A step is judged by itself, given what comes before it: it is right when it continues from the last total written (a
wrong one too), applies the operation and the number of the event that it repeats, and writes the right result.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from llm.data.arithmetic_wording import CLOSINGS, EVENTS, NAMES, OPENINGS, STEPS, THEMES, Place, Theme

STEP_COUNTS = {2: 25, 3: 25, 4: 18, 5: 12, 6: 9, 7: 6, 8: 5}  # steps of a problem: how often
BRANCH_ERROR = 0.85  # chance of an error where a solution leaves the one it branches from
LATER_ERROR = 0.35  # and at each step after that
LEAST_TOTAL = 1
LARGEST_NUMBER = 9  # the largest total, if nobody says otherwise
EXERCISES = {"equation": 3, "written out": 3, "event": 2, "half a step": 3, "step": 6}  # kinds: how often
AMOUNTS = range(1, 6)
APPLY = {"+": lambda a, b: a + b, "-": lambda a, b: a - b}


@dataclass(frozen=True)
class Event:
    place: Place
    sign: str
    amount: int


@dataclass(frozen=True)
class Problem:
    question: str
    who: str
    things: str
    start: int
    events: tuple[Event, ...]
    largest_number: int

    @property
    def plan(self) -> str:
        """The numbers and operations without the words: what a reworded question still has in common."""
        return f"{self.start} " + " ".join(f"{event.sign}{event.amount}" for event in self.events)


@dataclass(frozen=True)
class Step:
    """A step as written: `text` without its number, the result it leaves, whether it is right by itself."""

    text: str
    result: int
    right: bool


def make_problem(rng: random.Random, largest_number: int) -> Problem:
    """Draw a problem of 2 to 8 steps in which no total is below 1 or above `largest_number`."""
    count = rng.choices(list(STEP_COUNTS), weights=list(STEP_COUNTS.values()))[0]
    while True:
        theme = rng.choice(THEMES)
        start = rng.randint(LEAST_TOTAL, largest_number)
        events = _draw_events(rng, theme, count)
        if fits(start, events, largest_number):
            break
    name, who = rng.choice(NAMES)
    things = rng.choice(theme.things)
    sentences = [rng.choice(OPENINGS).format(name=name, total=start, things=things)]
    sentences += [_sentence(rng.choice(EVENTS), event, who, things) for event in events]
    sentences.append(rng.choice(CLOSINGS).format(name=name, things=things))
    return Problem(" ".join(sentences), who, things, start, events, largest_number)


def make_solutions(problem: Problem, rng: random.Random, count: int) -> list[list[Step]]:
    """Draw `count` different solutions. The first is right; each other one shares its first steps with an earlier one
    and leaves it at a step that is wrong, or right in other words."""
    solutions = [continue_solution(problem, rng, [], error_here=0.0, error_later=0.0)]
    while len(solutions) < count:
        shared = rng.choice(solutions)[: rng.randrange(len(solutions[0]))]
        solution = continue_solution(problem, rng, shared, BRANCH_ERROR, LATER_ERROR)
        if solution not in solutions:
            solutions.append(solution)
    return solutions


def make_exercise(rng: random.Random, largest_number: int) -> tuple[str, bool]:
    """Draw a short exercise and whether it is right: an equation, an event with its operation, or a whole step."""
    while True:
        theme = rng.choice(THEMES)
        (event,) = _draw_events(rng, theme, 1)
        total = rng.randint(LEAST_TOTAL, largest_number)
        if fits(total, (event,), largest_number):
            break
    problem = Problem("", rng.choice(("she", "he")), rng.choice(theme.things), total, (event,), largest_number)
    right = _equation(total, event.sign, event.amount)
    kind = rng.choices(list(EXERCISES), weights=list(EXERCISES.values()))[0]
    wrong_by = {
        "equation": ("result",),
        "written out": ("result",),
        "event": ("operand", "operation"),
        "half a step": ("operand", "operation"),
    }
    wrong = _wrong_equation(problem, rng, 0, right, wrong_by.get(kind, KINDS)) if rng.random() < 0.5 else None
    left, sign, operand, result = wrong or right
    step = _sentence(rng.choice(STEPS), event, problem.who, problem.things, _written(wrong or right))
    text = {
        "equation": f"{left}{sign}{operand}={result}",
        "written out": _written(wrong or right),
        "event": f"{event.place.verb} {event.amount}, {sign} {operand}",
        "half a step": step.partition(" =")[0],
        "step": step,
    }[kind]
    return text, wrong is None


def responses(solution: list[Step]) -> list[str]:
    """The steps as the documented format has them, numbered, the answer behind the last."""
    texts = [f"Step {number}: {step.text}" for number, step in enumerate(solution, start=1)]
    texts[-1] += f" The answer is: {solution[-1].result}"
    return texts


def _draw_events(rng: random.Random, theme: Theme, count: int) -> tuple[Event, ...]:
    """Events at different places; what they do to a total is the caller's to check."""
    places = [(place, "+") for place in theme.gains] + [(place, "-") for place in theme.losses]
    return tuple(Event(place, sign, rng.choice(AMOUNTS)) for place, sign in rng.sample(places, count))


def fits(total: int, events: tuple[Event, ...], largest_number: int) -> bool:
    """Whether every total stays within the range when these events follow."""
    for event in events:
        total = APPLY[event.sign](total, event.amount)
        if not LEAST_TOTAL <= total <= largest_number:
            return False
    return True


def continue_solution(
    problem: Problem, rng: random.Random, shared: list[Step], error_here: float, error_later: float
) -> list[Step]:
    """Complete a solution of which the steps `shared` are given, with an error at the next step and at each later one
    by the chances given. An error is one that leaves the other steps room: if there is none, the step is right."""
    steps = list(shared)
    chance = error_here
    for number in range(len(steps), len(problem.events)):
        event = problem.events[number]
        total = steps[-1].result if steps else problem.start
        right = _equation(total, event.sign, event.amount)
        wrong = _wrong_equation(problem, rng, number, right, KINDS) if rng.random() < chance else None
        equation = _written(wrong or right)
        text = _sentence(rng.choice(STEPS), event, problem.who, problem.things, equation)
        steps.append(Step(text, (wrong or right)[3], wrong is None))
        chance = error_later
    return steps


KINDS = ("result", "operand", "operation")


def _equation(total: int, sign: str, operand: int) -> tuple[int, str, int, int]:
    return total, sign, operand, APPLY[sign](total, operand)


def _written(equation: tuple[int, str, int, int]) -> str:
    left, sign, operand, result = equation
    return f"{left} {sign} {operand} = <<{left}{sign}{operand}={result}>>{result}"


def _wrong_equation(
    problem: Problem, rng: random.Random, number: int, right: tuple[int, str, int, int], kinds: tuple[str, ...]
) -> tuple[int, str, int, int] | None:
    """An equation that differs from the right one by its result, its number or its operation, and after which the
    later events still fit; None if there is none."""
    total, sign, operand, result = right
    totals = range(LEAST_TOTAL, problem.largest_number + 1)
    candidates = {
        "result": [(total, sign, operand, other) for other in totals if other != result],
        "operand": [_equation(total, sign, other) for other in AMOUNTS if other != operand],
        "operation": [_equation(total, other, operand) for other in APPLY if other != sign],
    }
    for kind in rng.sample(kinds, len(kinds)):
        later = problem.events[number + 1 :]
        fitting = [
            wrong for wrong in candidates[kind] if wrong[3] in totals and fits(wrong[3], later, problem.largest_number)
        ]
        if fitting:
            return rng.choice(fitting)
    return None


def _sentence(pattern: str, event: Event, who: str, things: str, equation: str = "") -> str:
    place = event.place
    text = pattern.format(
        who=who, verb=place.verb, where=place.where, things=things, amount=event.amount, equation=equation
    )
    return text[0].upper() + text[1:]
