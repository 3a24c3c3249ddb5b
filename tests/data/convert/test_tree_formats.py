"""Formats with several continuations of a step: each judgement counts once, in records that share first steps."""

from __future__ import annotations

import random

import pytest

from llm.data.convert.form import Note, Unfit
from llm.data.convert.paths import Node, records_of
from tests.data.convert.rows import ROWS, made, notes, nothing, records


def paths(name, changes=None, **options) -> list[tuple[list, list]]:
    return [(record["responses"], record["labels"]) for record in records(name, changes, **options)]


def step(*completions, chosen=None, human=None) -> dict:
    human = None if human is None else {"text": human, "rating": None}
    texts = [{"text": text, "rating": rating} for text, rating in completions]
    return {"completions": texts, "chosen_completion": chosen, "human_completion": human}


def rated(*steps) -> dict:
    return {"label": {"steps": list(steps)}}


def test_prm800k_alternatives_share_the_steps_that_were_continued():
    steps = rated(step(("a", 1), ("b", -1), chosen=0), step(("c", -1), ("d", 1), ("e", 1), chosen=1), step(("f", -1)))
    assert paths("prm800k", steps) == [
        (["a", "d", "f"], ["+", "+", "-"]),
        (["a", "c"], [None, "-"]),
        (["a", "e"], [None, "+"]),
        (["b"], ["-"]),
    ]


def test_shared_steps_are_labelled_in_each_record_if_that_is_asked_for():
    """As formats without missing labels need it; what a path ends with is the same."""
    steps = rated(step(("a", 1), chosen=0), step(("c", 1), ("d", -1), chosen=0))
    assert paths("prm800k", steps, repeat_labels=True) == [(["a", "c"], ["+", "+"]), (["a", "d"], ["+", "-"])]
    assert [labels for _, labels in paths("math-aps-tree", repeat_labels=True)] == [[0.75, "+"], [0.75, "-"]]
    assert paths("math-aps", repeat_labels=True) == paths("math-aps")


def test_prm800k_takes_what_a_rater_wrote_as_context():
    steps = rated(step(("a", -1), human="h"), step(("b", 1), chosen=0))
    assert paths("prm800k", steps) == [(["h", "b"], [None, "+"]), (["a"], ["-"])]


@pytest.mark.parametrize("neutral, label", [("good", "+"), ("bad", "-"), ("soft", 0.5), ("skip", None)])
def test_prm800k_neutral_steps_are_what_was_asked_for(neutral, label):
    steps = rated(step(("a", 0), chosen=0), step(("b", 1), ("c", 0), chosen=0))
    expected = [(["a", "b"], [label, "+"])] + ([] if label is None else [(["a", "c"], [None, label])])
    assert paths("prm800k", steps, neutral=neutral) == expected
    assert bool(notes("prm800k", steps, neutral=neutral)) == (neutral == "skip")


def test_prm800k_steps_without_a_rating():
    """They are context before rated ones and left out behind the last."""
    assert paths("prm800k", rated(step(("a", None), chosen=0), step(("b", 1.0), chosen=0.0))) == [
        (["a", "b"], [None, "+"])
    ]
    behind = rated(step(("a", 1), chosen=0), step(("b", None), chosen=0))
    assert paths("prm800k", behind) == [(["a"], ["+"])]
    assert notes("prm800k", behind) == {"steps without a rating at the end of a path left out": 1}
    assert records("prm800k", rated(step(("a", None)))) == []
    assert nothing("prm800k", rated()) == "no step"
    unchosen = rated(step(("a", 1)), step(("b", 1), ("c", 1), chosen=0))
    assert paths("prm800k", unchosen) == [(["a"], ["+"])]
    assert notes("prm800k", unchosen) == {"completions after a step that was not continued left out": 2}


@pytest.mark.parametrize(
    "steps",
    [rated(step(("a", 2), chosen=0)), rated(step(("a", 1), chosen=1)), rated(step(("a", 1), chosen=-1)), rated("a")],
)
def test_prm800k_rows_that_contradict_the_format(steps):
    with pytest.raises(Unfit):
        made("prm800k", steps)


def test_math_aps_beginnings_are_the_first_steps_of_longer_ones():
    assert paths("math-aps") == [(["It is 2.", "So 3."], ["+", 0.25])]
    assert notes("math-aps") == {"values of the question alone left out": 1}
    values = [("It is 2.", 0.5), ("It is 2.5", 0.25), ("It is 2.", 0.75), ("It is 2.\nYes.", 0.0)]
    steps = [{"solution_prefix": f"1 + 1? {text}", "mc_value": value} for text, value in values]
    assert sorted(paths("math-aps", {"reasoning_steps": steps})) == [
        (["It is 2."], [0.5]),  # estimated twice: both count
        (["It is 2.", "Yes."], [0.75, "-"]),
        (["It is 2.5"], [0.25]),  # not a continuation: the cut would be inside a number
    ]
    with pytest.raises(Unfit, match="beginning without the question"):
        made("math-aps", {"reasoning_steps": [{"solution_prefix": "2", "mc_value": 1.0}]})


def test_math_aps_trees_have_a_record_for_each_leaf():
    assert paths("math-aps-tree") == [(["It is 2.", "Yes."], [0.75, "+"]), (["It is 2.", "No."], [None, "-"])]
    assert paths("math-aps-tree", threshold=0.8) == [
        (["It is 2.", "Yes."], ["-", "+"]),
        (["It is 2.", "No."], [None, "-"]),
    ]
    tree = ROWS["math-aps-tree"]["reasoning_steps"] | {"text": "2 + 2?"}
    with pytest.raises(Unfit, match="tree of another question"):
        made("math-aps-tree", {"reasoning_steps": tree})


def random_tree(rng: random.Random, depth: int) -> list[Node]:
    labels = ["+", "-", 0.5, None]
    nodes = [Node(f"{depth}.{number}", rng.choice(labels)) for number in range(rng.randint(1, 3))]
    for node in nodes:
        if depth < 4 and rng.random() < 0.7:
            node.children = random_tree(rng, depth + 1)
    return nodes


def all_nodes(nodes: list[Node]) -> list[Node]:
    return [inner for node in nodes for inner in [node, *all_nodes(node.children)]]


@pytest.mark.parametrize("seed", range(50))
def test_every_label_of_a_random_tree_counts_once(seed):
    """Each in a record that ends where its step does, or later; whole paths, and nothing behind the last label."""
    roots = random_tree(random.Random(seed), 0)
    written = [one for one in records_of("q", roots, "lost") if not isinstance(one, Note)]
    labels = [label for record in written for label in record["labels"] if label is not None]
    assert sorted(map(str, labels)) == sorted(str(n.label) for n in all_nodes(roots) if n.label is not None)
    for record in written:
        level = roots
        for text, label in zip(record["responses"], record["labels"], strict=True):
            node = next(node for node in level if node.step == text)
            assert label in (None, node.label)
            level = node.children
        assert record["labels"][-1] is not None
