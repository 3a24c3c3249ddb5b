"""One arithmetic word problem and its solutions, right and wrong. Pure functions of a random generator.

A problem counts things: somebody has a number of them, then gains and loses some, singly ("buys 5 apples at
the market") or by containers ("carries 3 baskets of 4 apples from the cellar"). A solution keeps the total, one
equation a step; containers take two steps, a product and then the change of the total.

A step is judged by itself, given what stands before it: it is right when it continues from the last total
written (a wrong one too), takes the number that the question tells for the place it names, applies the right
operation and writes the right result.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from llm.data.arithmetic_wording import (
    CLOSINGS,
    EVENTS,
    GROUP_EVENTS,
    GROUP_STEPS,
    NAMES,
    OPENINGS,
    STEPS,
    THEMES,
    Place,
    Theme,
)

STEP_COUNTS = {2: 25, 3: 25, 4: 18, 5: 12, 6: 9, 7: 6, 8: 5}  # steps of a problem: how often
GROUP_SHARE = 0.3  # of the events that have room for two steps
BRANCH_ERROR = 0.85  # chance of an error where a solution leaves the one it branches from
LATER_ERROR = 0.35  # and at each step after that
LEAST_TOTAL = 2
AMOUNTS = range(2, 10)
GROUPS = range(2, 5)
GROUP_AMOUNTS = range(2, 6)
APPLY = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}


@dataclass(frozen=True)
class Event:
    """A gain or loss of `amount` things, or of `groups` containers with `amount` things each."""

    place: Place
    gain: bool
    amount: int
    groups: int = 0

    @property
    def change(self) -> int:
        """What a right solution adds to the total."""
        size = self.amount * (self.groups or 1)
        return size if self.gain else -size


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
        return f"{self.start} " + " ".join(f"{e.gain:d},{e.groups},{e.amount}" for e in self.events)

    def lines(self) -> list[tuple[int, bool]]:
        """What each step works out: (index of the event, whether it is the product of containers)."""
        parts = ((i, (True, False) if event.groups else (False,)) for i, event in enumerate(self.events))
        return [(i, product) for i, products in parts for product in products]


@dataclass(frozen=True)
class Step:
    """A step as written: `text` without its number, the result it leaves, whether it is right by itself."""

    text: str
    result: int
    right: bool


def make_problem(rng: random.Random, largest_number: int) -> Problem:
    """Draw a problem of 2 to 8 steps in which no total is below 2 or above `largest_number`."""
    count = rng.choices(list(STEP_COUNTS), weights=list(STEP_COUNTS.values()))[0]
    while True:
        theme = rng.choice(THEMES)
        start = rng.randint(4, largest_number * 2 // 3)
        events = _draw_events(rng, theme, start, largest_number, count)
        if events:
            break
    name, who = rng.choice(NAMES)
    things = rng.choice(theme.things)
    sentences = [rng.choice(OPENINGS).format(name=name, total=start, things=things)]
    for event in events:
        pattern = rng.choice(GROUP_EVENTS if event.groups else EVENTS)
        sentences.append(_sentence(pattern, event, who, things))
    sentences.append(rng.choice(CLOSINGS).format(name=name, things=things))
    return Problem(" ".join(sentences), who, things, start, events, largest_number)


def make_solutions(problem: Problem, rng: random.Random, count: int) -> list[list[Step]]:
    """Draw `count` different solutions. The first is right; each other one shares its first steps with an
    earlier one and leaves it at a step that is wrong, or right in other words."""
    solutions = [_continue(problem, rng, [], error_here=0.0, error_later=0.0)]
    while len(solutions) < count:
        shared = rng.choice(solutions)[: rng.randrange(len(solutions[0]))]
        solution = _continue(problem, rng, shared, BRANCH_ERROR, LATER_ERROR)
        if solution not in solutions:
            solutions.append(solution)
    return solutions


def responses(solution: list[Step]) -> list[str]:
    """The steps as the documented format has them, numbered, the answer behind the last."""
    texts = [f"Step {number}: {step.text}" for number, step in enumerate(solution, start=1)]
    texts[-1] += f" The answer is: {solution[-1].result}"
    return texts


def _draw_events(rng: random.Random, theme: Theme, total: int, largest: int, steps_left: int) -> tuple[Event, ...]:
    """Events that take that many steps, each place at most once; none if the numbers drawn do not fit."""
    pools = {
        (gain, grouped): rng.sample(places, len(places))
        for gain, grouped, places in (
            (True, False, theme.gains),
            (False, False, theme.losses),
            (True, True, theme.group_gains),
            (False, True, theme.group_losses),
        )
    }
    events: list[Event] = []
    while steps_left:
        gain = rng.random() < 0.5
        grouped = steps_left >= 2 and rng.random() < GROUP_SHARE
        groups = rng.choice(GROUPS) if grouped else 0
        amount = rng.choice(GROUP_AMOUNTS if grouped else AMOUNTS)
        pool = pools[gain, grouped]
        if not pool:
            return ()
        event = Event(pool.pop(), gain, amount, groups)
        total += event.change
        if not LEAST_TOTAL <= total <= largest:
            return ()
        events.append(event)
        steps_left -= 2 if grouped else 1
    return tuple(events)


def _continue(
    problem: Problem, rng: random.Random, shared: list[Step], error_here: float, error_later: float
) -> list[Step]:
    """Complete a solution of which the steps `shared` stand, with an error at the next step and at each
    later one by the chances given. An error is one that leaves the other steps room: should the right
    continuation then leave the range of totals, another error is drawn, or none."""
    steps = list(shared)
    lines = problem.lines()
    chance = error_here
    for index in range(len(steps), len(lines)):
        number, product = lines[index]
        event = problem.events[number]
        total = _total_before(problem, steps, lines[:index])
        right = _equation(event, product, total, steps)
        wrong = _wrong_equation(problem, rng, number, product, total, right) if rng.random() < chance else None
        left, sign, operand, result = wrong or right
        equation = f"{left} {sign} {operand} = <<{left}{sign}{operand}={result}>>{result}"
        pattern = rng.choice(GROUP_STEPS if product else STEPS)
        text = _sentence(pattern, event, problem.who, problem.things, equation)
        steps.append(Step(text, result, wrong is None))
        chance = error_later
    return steps


def _total_before(problem: Problem, steps: list[Step], lines: list[tuple[int, bool]]) -> int:
    """The total that the next step continues from: the last one written, or the start."""
    written = [step.result for step, (_, product) in zip(steps, lines, strict=True) if not product]
    return written[-1] if written else problem.start


def _equation(event: Event, product: bool, total: int, steps: list[Step]) -> tuple[int, str, int, int]:
    if product:
        return event.groups, "*", event.amount, event.groups * event.amount
    operand = steps[-1].result if event.groups else event.amount
    sign = "+" if event.gain else "-"
    return total, sign, operand, APPLY[sign](total, operand)


def _wrong_equation(
    problem: Problem, rng: random.Random, number: int, product: bool, total: int, right: tuple[int, str, int, int]
) -> tuple[int, str, int, int] | None:
    """An equation that differs from the right one by its result, by one operand or by its operation."""
    lowest, highest = _room_after(problem, number)
    event = problem.events[number]
    left, sign, operand, result = right
    others = [problem.start, *(e.amount for e in problem.events), *AMOUNTS]
    for kind in rng.sample(("result", "operand", "operation"), 3) * 3:
        if kind == "result":
            wrong = (left, sign, operand, result + rng.choice((-10, -3, -2, -1, 1, 2, 3, 10)))
        else:
            if kind == "operation":
                changed = (left, rng.choice([s for s in APPLY if s != sign]), operand)
            elif rng.random() < 0.5:
                changed = (rng.choice(others), sign, operand)
            else:
                changed = (left, sign, rng.choice(others))
            wrong = (*changed, APPLY[changed[1]](changed[0], changed[2]))
        if wrong[:3] == right[:3] and wrong[3] == result:
            continue  # the other operand drawn happens to be the right one
        total_after = wrong[3] if not product else total + (wrong[3] if event.gain else -wrong[3])
        if LEAST_TOTAL <= wrong[3] <= problem.largest_number and lowest <= total_after <= highest:
            return wrong
    return None


def _room_after(problem: Problem, number: int) -> tuple[int, int]:
    """The least and the greatest total after an event from which the later ones can be carried out."""
    lowest, highest, change = LEAST_TOTAL, problem.largest_number, 0
    for event in problem.events[number + 1 :]:
        change += event.change
        lowest = max(lowest, LEAST_TOTAL - change)
        highest = min(highest, problem.largest_number - change)
    return lowest, highest


def _sentence(pattern: str, event: Event, who: str, things: str, equation: str = "") -> str:
    place = event.place
    text = pattern.format(
        who=who, verb=place.verb, where=place.where, noun=place.noun, containers=place.containers, things=things,
        groups=event.groups, amount=event.amount, equation=equation,
    )  # fmt: skip
    return text[0].upper() + text[1:]
