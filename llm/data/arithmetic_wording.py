"""The words of the synthetic arithmetic problems: names, themes and sentence patterns. No numbers, no logic.

An event is told once in the question and recalled in the solution by its place ("at the market"), so every
place stands for one event of a problem and names its kind: within a theme a place is always one of gaining
or always one of losing.
"""

from __future__ import annotations

from dataclasses import dataclass

NAMES = (
    ("Mia", "she"), ("Ben", "he"), ("Lena", "she"), ("Omar", "he"), ("Ruth", "she"), ("Ivan", "he"),
    ("Nora", "she"), ("Hugo", "he"), ("Yuki", "she"), ("Karl", "he"), ("Sofia", "she"), ("Ali", "he"),
    ("Priya", "she"), ("Tom", "he"), ("Elsa", "she"), ("Wei", "he"), ("Grace", "she"), ("Leo", "he"),
    ("Anna", "she"), ("Samir", "he"), ("Ines", "she"), ("Jack", "he"), ("Zoe", "she"), ("Dmitri", "he"),
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where an event happens: the verb that tells it, the words for the place, and the noun that recalls it."""

    verb: str
    where: str
    noun: str
    containers: str = ""


@dataclass(frozen=True)
class Theme:
    """What is counted, and the places where some of it is gained or lost, singly or by containers."""

    things: tuple[str, ...]
    gains: tuple[Place, ...]
    losses: tuple[Place, ...]
    group_gains: tuple[Place, ...]
    group_losses: tuple[Place, ...]


THEMES = (
    Theme(
        things=("apples", "pears", "plums"),
        gains=(
            Place("buys", "at the market", "the market"),
            Place("picks", "in the garden", "the garden"),
            Place("gets", "from an aunt", "the aunt"),
            Place("finds", "under a tree", "the tree"),
            Place("wins", "at the fair", "the fair"),
        ),
        losses=(
            Place("drops", "on the stairs", "the stairs"),
            Place("eats", "at lunch", "lunch"),
            Place("uses", "for a pie", "the pie"),
            Place("feeds", "to a pony", "the pony"),
            Place("leaves", "on the bus", "the bus"),
        ),
        group_gains=(
            Place("carries", "from the cellar", "the cellar", "baskets"),
            Place("collects", "from the orchard", "the orchard", "crates"),
        ),
        group_losses=(
            Place("sends", "to the hospital", "the hospital", "bags"),
            Place("sells", "to a baker", "the baker", "boxes"),
        ),
    ),
    Theme(
        things=("pencils", "stickers", "cards"),
        gains=(
            Place("buys", "at the shop", "the shop"),
            Place("gets", "from a teacher", "the teacher"),
            Place("finds", "in a drawer", "the drawer"),
            Place("wins", "in a quiz", "the quiz"),
            Place("borrows", "from a cousin", "the cousin"),
        ),
        losses=(
            Place("loses", "in the library", "the library"),
            Place("gives", "to a brother", "the brother"),
            Place("breaks", "in class", "class"),
            Place("lends", "to a friend", "the friend"),
            Place("swaps", "for a ruler", "the ruler"),
        ),
        group_gains=(
            Place("orders", "by post", "the post", "packs"),
            Place("unpacks", "at home", "home", "boxes"),
        ),
        group_losses=(
            Place("donates", "to a club", "the club", "packs"),
            Place("hands", "to the juniors", "the juniors", "bundles"),
        ),
    ),
    Theme(
        things=("eggs", "rolls", "cakes"),
        gains=(
            Place("bakes", "in the kitchen", "the kitchen"),
            Place("buys", "at the farm", "the farm"),
            Place("gets", "from a neighbour", "the neighbour"),
            Place("brings", "from the van", "the van"),
            Place("finds", "in the fridge", "the fridge"),
        ),
        losses=(
            Place("sells", "at the window", "the window"),
            Place("burns", "in the oven", "the oven"),
            Place("serves", "at breakfast", "breakfast"),
            Place("gives", "to a driver", "the driver"),
            Place("drops", "in the yard", "the yard"),
        ),
        group_gains=(
            Place("takes", "from the shelf", "the shelf", "trays"),
            Place("receives", "from the mill", "the mill", "boxes"),
        ),
        group_losses=(
            Place("delivers", "to the school", "the school", "trays"),
            Place("ships", "to a hotel", "the hotel", "crates"),
        ),
    ),
    Theme(
        things=("coins", "shells", "marbles"),
        gains=(
            Place("finds", "on the beach", "the beach"),
            Place("wins", "in a game", "the game"),
            Place("gets", "from an uncle", "the uncle"),
            Place("earns", "in the stable", "the stable"),
            Place("digs", "out of the sand", "the sand"),
        ),
        losses=(
            Place("loses", "in the river", "the river"),
            Place("gives", "to a sister", "the sister"),
            Place("pays", "at the door", "the door"),
            Place("throws", "into a well", "the well"),
            Place("trades", "for a kite", "the kite"),
        ),
        group_gains=(
            Place("pulls", "out of the attic", "the attic", "jars"),
            Place("inherits", "from a captain", "the captain", "bags"),
        ),
        group_losses=(
            Place("hides", "in the cave", "the cave", "jars"),
            Place("sells", "to a museum", "the museum", "boxes"),
        ),
    ),
)

OPENINGS = (
    "{name} has {total} {things}.",
    "{name} starts with {total} {things}.",
    "In the morning {name} has {total} {things}.",
)
EVENTS = (
    "{who} {verb} {amount} {things} {where}.",
    "Then {who} {verb} {amount} {things} {where}.",
    "Later {who} {verb} {amount} {things} {where}.",
)
GROUP_EVENTS = (
    "{who} {verb} {groups} {containers} of {amount} {things} {where}.",
    "Then {who} {verb} {groups} {containers} with {amount} {things} each {where}.",
)
CLOSINGS = (
    "How many {things} does {name} have now?",
    "How many {things} are there in the end?",
    "What number of {things} does {name} end up with?",
)
STEPS = (
    "After {noun} {who} has {equation} {things}.",
    "Counting {noun}, there are {equation} {things}.",
    "{who} {verb} some {where}, which makes {equation} {things}.",
    "With {noun} the number becomes {equation}.",
)
GROUP_STEPS = (
    "The {containers} {where} hold {equation} {things}.",
    "For {noun} that is {equation} {things}.",
    "In the {containers} {where} there are {equation} {things}.",
)
