"""The words of the synthetic arithmetic problems: names, themes and sentence patterns. No numbers, no logic.

An event is described in the question and again, without its place, in the step that works it out; a verb always means
the same operation.
"""

from __future__ import annotations

from dataclasses import dataclass

NAMES = (
    ("Mia", "she"),
    ("Ben", "he"),
    ("Lena", "she"),
    ("Omar", "he"),
    ("Ruth", "she"),
    ("Ivan", "he"),
    ("Nora", "she"),
    ("Hugo", "he"),
    ("Yuki", "she"),
    ("Karl", "he"),
    ("Sofia", "she"),
    ("Ali", "he"),
    ("Priya", "she"),
    ("Tom", "he"),
    ("Elsa", "she"),
    ("Wei", "he"),
    ("Grace", "she"),
    ("Leo", "he"),
    ("Anna", "she"),
    ("Samir", "he"),
    ("Ines", "she"),
    ("Jack", "he"),
    ("Zoe", "she"),
    ("Dmitri", "he"),
)


@dataclass(frozen=True)
class Place:
    """An event: the verb that describes it and the words for where it happens."""

    verb: str
    where: str


@dataclass(frozen=True)
class Theme:
    """What is counted, and the places where some of it is gained or lost."""

    things: tuple[str, ...]
    gains: tuple[Place, ...]
    losses: tuple[Place, ...]


THEMES = (
    Theme(
        things=("apples", "pears", "plums"),
        gains=(
            Place("buys", "at the market"),
            Place("picks", "in the garden"),
            Place("gets", "from an aunt"),
            Place("finds", "under a tree"),
            Place("wins", "at the fair"),
        ),
        losses=(
            Place("drops", "on the stairs"),
            Place("eats", "at lunch"),
            Place("uses", "for a pie"),
            Place("feeds", "to a pony"),
            Place("leaves", "on the bus"),
        ),
    ),
    Theme(
        things=("pencils", "stickers", "cards"),
        gains=(
            Place("buys", "at the shop"),
            Place("gets", "from a teacher"),
            Place("finds", "in a drawer"),
            Place("wins", "in a quiz"),
            Place("borrows", "from a cousin"),
        ),
        losses=(
            Place("loses", "in the library"),
            Place("gives", "to a brother"),
            Place("breaks", "in class"),
            Place("lends", "to a friend"),
            Place("swaps", "for a ruler"),
        ),
    ),
    Theme(
        things=("eggs", "rolls", "cakes"),
        gains=(
            Place("bakes", "in the kitchen"),
            Place("buys", "at the farm"),
            Place("gets", "from a neighbour"),
            Place("brings", "from the van"),
            Place("finds", "in the fridge"),
        ),
        losses=(
            Place("sells", "at the window"),
            Place("burns", "in the oven"),
            Place("serves", "at breakfast"),
            Place("gives", "to a driver"),
            Place("drops", "in the yard"),
        ),
    ),
    Theme(
        things=("coins", "shells", "marbles"),
        gains=(
            Place("finds", "on the beach"),
            Place("wins", "in a game"),
            Place("gets", "from an uncle"),
            Place("earns", "in the stable"),
            Place("digs", "out of the sand"),
        ),
        losses=(
            Place("loses", "in the river"),
            Place("gives", "to a sister"),
            Place("pays", "at the door"),
            Place("throws", "into a well"),
            Place("trades", "for a kite"),
        ),
    ),
)

OPENINGS = (
    "{name} has {total} {things}.",
    "{name} starts with {total} {things}.",
    "In the morning {name} has {total} {things}.",
)
EVENTS = (
    "{where} {who} {verb} {amount}.",
    "Then {where} {who} {verb} {amount}.",
    "Later {where} {who} {verb} {amount}.",
)
CLOSINGS = (
    "How many {things} does {name} have now?",
    "How many {things} are there in the end?",
)
STEPS = (
    "{who} {verb} {amount}, so {equation}.",
    "{who} {verb} {amount}, which makes {equation}.",
    "{who} {verb} {amount}: {equation} {things}.",
)
