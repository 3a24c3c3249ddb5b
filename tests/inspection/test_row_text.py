"""What is shown of a row is what the row is: its runs, its mask, its text, and any fault in it."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.core.rows.prefix_tree import grow_trees, lone_tree
from llm.core.rows.row import Row, make_row
from llm.core.text.encoding import Pair, Sequence
from llm.core.text.pieces import bytes_of
from llm.inspection.row_rules import broken_rules
from llm.inspection.row_runs import (
    FULL,
    NONE,
    SOME,
    block_edges,
    draw_mask,
    lengths_alone,
    runs_of,
    solutions_through,
    tree_bounds,
)
from llm.inspection.row_text import head_lines, mask_lines, token_lines, tree_lines, visible

PLACEHOLDER = 9
quick = settings(max_examples=40)


def solution(prompt: list[int], *steps: tuple[list[int], float]) -> Sequence:
    """Ids of a prompt and of steps, each with its label."""
    ids, scored = list(prompt), []
    for step, _ in steps:
        ids += [*step, PLACEHOLDER]
        scored.append(len(ids) - 1)
    targets = np.array([label for _, label in steps], "float32")
    return Sequence(np.array(ids, "int32"), np.array(scored, "int64"), targets, len(prompt))


# Few different ids, so that solutions share beginnings of every length.
STEP = st.tuples(st.lists(st.integers(1, 2), max_size=3), st.sampled_from([0.0, 1.0]))
STEPS = st.lists(STEP, min_size=1, max_size=4)
SOLUTION = st.builds(lambda prompt, steps: solution([prompt], *steps), st.integers(1, 2), STEPS)
TREES = st.lists(SOLUTION, min_size=1, max_size=12).map(lambda some: list(grow_trees(some, 9999, True)))

# the forest of forest.py's docstring: A B C ки / A B D ки / A E ки
SMALL = make_row(
    list(grow_trees([solution([1], ([2, 3], 1.0)), solution([1], ([2, 4], 0.0)), solution([1], ([5], 1.0))], 99, True))
)
PIECES = {1: "A", 2: "B", 3: "C", 4: "D", 5: "E", PLACEHOLDER: "▁ки"}


def may_attend(row) -> np.ndarray:
    i, j = np.arange(len(row))[:, None], np.arange(len(row))
    return (j <= i) & (i < row.end_row)


# ---- the parts of a row


@quick
@given(TREES)
def test_runs_are_the_pieces_of_a_tree_that_nothing_interrupts(trees):
    """Against the definitions, read off the mask: what a token follows is the last token that it sees before itself,
    a branching is a token that several follow, and a run ends at a branching and at a scored token."""
    row = make_row(trees)
    sees = may_attend(row)
    parent = [int(np.flatnonzero(sees[i, :i]).max(initial=-1)) for i in range(len(row))]
    branchings = {p for p in parent if p >= 0 and parent.count(p) > 1}
    bounds = tree_bounds(row)
    assert [end - start for start, end in bounds] == [len(tree) for tree in trees]
    runs = [run for start, end in bounds for run in runs_of(row, start, end)]
    assert [i for run in runs for i in range(run.start, run.end)] == list(range(len(row)))
    leaves = set(range(len(row))) - set(parent)
    assert {run.end - 1 for run in runs} == branchings | set(row.payload.scored.tolist()) | leaves
    for run in runs:
        assert run.follows == (parent[run.start] if parent[run.start] >= 0 else None)
        assert run.level == len(branchings & set(np.flatnonzero(sees[run.start, : run.start]).tolist()))
        assert len(set(row.end_row[run.start : run.end].tolist())) == 1


@quick
@given(TREES)
def test_solutions_through_a_token_are_those_whose_last_token_sees_it(trees):
    row = make_row(trees)
    sees = may_attend(row)
    last = [
        row.payload.scored[row.payload.at][row.payload.solutions == number].max()
        for number in range(row.solution_count)
    ]
    for i in range(len(row)):
        assert solutions_through(row, i).tolist() == [n for n, end in enumerate(last) if end >= i and sees[end, i]]
    assert lengths_alone(row).tolist() == [len(one) for tree in trees for one in tree.solutions]


@quick
@given(TREES, st.integers(1, 60))
def test_the_picture_of_the_mask_is_the_mask(trees, most):
    """Every cell against its pairs one by one; exact where a cell is one token."""
    row = make_row(trees)
    sees, edges = may_attend(row), block_edges(len(row), most)
    picture = draw_mask(row.end_row, most)
    assert len(picture) == len(edges) - 1 <= most and set(map(len, picture)) == {len(picture)}
    assert len(set(np.diff(edges[:-1]))) <= 1 and (len(row) > most or len(picture) == len(row))
    for y, line in enumerate(picture):
        for x, cell in enumerate(line):
            pairs = sees[edges[y] : edges[y + 1], edges[x] : edges[x + 1]]
            assert cell == (FULL if pairs.all() else SOME if pairs.any() else NONE)


def test_a_row_of_4096_tokens_fits():
    row = make_row(list(grow_trees([solution(list(range(1, 4000)), ([1] * 96, 1.0))], 4096, True)))
    assert len(row) == 4096
    picture = draw_mask(row.end_row, 48)
    assert len(picture) == 48 and picture[-1] == FULL * 47 + SOME and picture[0] == SOME + NONE * 47


# ---- rules


@quick
@given(TREES)
def test_rows_that_are_made_here_break_no_rule(trees):
    assert broken_rules(make_row(trees), PLACEHOLDER) == []


def changed(array: np.ndarray, place: int, value) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"end_row": changed(SMALL.end_row, 2, 2)}, "end_row is not between index + 1 and 8 at 2"),
        ({"end_row": changed(SMALL.end_row, 2, 9)}, "end_row is not between index + 1 and 8 at 2"),
        ({"end_row": changed(SMALL.end_row, 3, 5)}, "position is not the number of tokens seen before it at 4"),
        ({"positions": changed(SMALL.positions, 5, 0)}, "position is not the number of tokens seen before it at 5"),
        ({"end_row": changed(changed(SMALL.end_row, 1, 5), 2, 6)}, "end_row reaches beyond the end_row of a token"),
        ({"scored": changed(SMALL.payload.scored, 0, 2)}, "a token other than the placeholder (9) is scored at 2"),
        ({"scored": changed(SMALL.payload.scored, 0, 8)}, "scored positions outside the row: 8"),
        ({"labels": changed(SMALL.payload.labels, 1, 1.5)}, "label outside 0 to 1 or weight below 0 at 5"),
        ({"weights": changed(SMALL.payload.weights, 2, -1)}, "label outside 0 to 1 or weight below 0 at 7"),
        ({"at": np.array([0, 1, 1])}, "scored without a label at 7"),
        ({"solutions": changed(SMALL.payload.solutions, 0, 1)}, "no label of the solutions 0"),
        ({"solution_count": 4}, "no label of the solutions 3"),
    ],
)
def test_a_fault_is_found(changes, told):
    assert any(told in line for line in broken_rules(with_changes(SMALL, **changes), PLACEHOLDER))


def with_changes(row: Row, **changes) -> Row:
    """Of the row or of its payload."""
    inside = {field.name for field in fields(row.payload)}
    payload = replace(row.payload, **{name: value for name, value in changes.items() if name in inside})
    return replace(row, payload=payload, **{name: value for name, value in changes.items() if name not in inside})


def test_an_answer_that_is_compared_with_itself_is_found():
    answers = [solution([1], ([tail], 0.0)) for tail in (3, 4)]
    row = make_row([lone_tree(Pair(*answers, 0.0, 1.0))])
    assert broken_rules(row, PLACEHOLDER) == []
    broken = broken_rules(with_changes(row, chosen=row.payload.rejected), PLACEHOLDER)
    assert broken == [f"an answer is compared with itself at {row.payload.scored[row.payload.rejected[0]]}"]


def test_a_label_of_a_solution_on_another_branch_is_found():
    row = with_changes(
        SMALL,
        at=np.array([0, 1, 2, 0]),
        labels=np.append(SMALL.payload.labels, np.float32(1)),
        solutions=np.array([0, 1, 2, 2]),
        weights=np.ones(4, "float32"),
    )
    assert broken_rules(row, PLACEHOLDER) == ["a later step of the same solution does not see the scored position at 3"]
    two = make_row([lone_tree(solution([1], ([], 1.0))), lone_tree(solution([], ([], 1.0)))])
    one = with_changes(two, solutions=np.array([0, 0]), solution_count=1)
    assert broken_rules(one, PLACEHOLDER) == ["a later step of the same solution does not see the scored position at 1"]


# ---- text


def test_a_small_forest_in_full():
    pieces = [bytes_of(PIECES[number], None) for number in SMALL.ids.tolist()]
    lines = [*head_lines(SMALL, 0, "1", 10), *tree_lines(SMALL, pieces, 60), *mask_lines(SMALL.end_row, 60)]
    assert (
        "\n".join(lines)
        == """\
row 0 of 1: 8 tokens and 2 of padding make max_seq_len 10
3 solutions in 1 tree; 3 labels at 3 scored positions
each solution alone: 11 tokens, 1.4 times as many

── tree 1: 8 tokens, solutions 1-3, 11 tokens alone ────────
tokens  positions  end_row  target  weight  labels  solutions  follows
     0          0        8                                1-3
  A
     1          1        6                                1-2
    B
   2-3        2-3        4       1       1       1          1
      C ки
   4-5        2-3        6       0       1       1          2        1
      D ки
   6-7        1-2        8       1       1       1          3        0
    E ки

mask, a line's tokens to a column's: █ attend, · do not
0 █·······
1 ██······
2 ███·····
3 ████····
4 ██··█···
5 ██··██··
6 █·····█·
7 █·····██"""
    )
    assert (
        "\n".join(token_lines(SMALL, pieces))
        == """
 token      id  piece  position  end_row  target  weight
     0       1  A             0        8
     1       2  B             1        6
     2       3  C             2        4
     3       9  ␣ки           3        4       1       1
     4       4  D             2        6
     5       9  ␣ки           3        6       0       1
     6       5  E             1        8
     7       9  ␣ки           2        8       1       1"""
    )


def test_what_several_solutions_label_shows_mean_weight_and_number():
    steps = ([2], 1.0), ([2], 0.0), ([2], 1.0), ([2], 1.0)
    row = make_row(list(grow_trees([solution([1], step) for step in steps], 99, True)))
    lines = list(tree_lines(row, [b"x"] * 3, 60))
    assert lines[2].split() == ["0-2", "0-2", "3", "0.75", "4", "4", "1-4"]


def test_a_deep_tree_stays_within_the_terminal():
    """Each step has a candidate that nothing follows, forty times over."""
    some = [solution([1], *[([2], 1.0)] * depth, ([3], 0.0)) for depth in range(40)]
    row = make_row(list(grow_trees(some, 9999, True)))
    for width in (30, 80):
        texts = list(tree_lines(row, [b"word "] * len(row), width))[3::2]
        assert texts and all("word" in text for text in texts)
        picture = list(mask_lines(row.end_row, width))[1:]
        assert max(len(line) for text in [*texts, *picture] for line in text.split("\n")) <= width


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a b", "a b"),
        ("a\nb\n", "a↵b↵"),
        (" a  b ", "␣a ␣b␣"),
        (" ", "␣"),
        ("a\tb\x07", "a<0x09>b<0x07>"),
        ("a\u200bb\u00a0\u202e", "a<U+200B>b<U+00A0><U+202E>"),
        ("日本 ки 🙂", "日本 ки 🙂"),
        (r"\neq", r"\neq"),
    ],
)
def test_what_a_terminal_does_not_show_becomes_visible(text, shown):
    assert visible(text.encode()) == shown


def test_half_a_character_shows_its_bytes():
    assert visible("日".encode()[:2] + b"a") == "<0xE6><0x97>a"


def test_pieces_of_every_kind_of_vocabulary_become_the_same_bytes():
    letters = {"Ġ": 32, "a": 97, "Ċ": 10, "å": 0xE5}
    assert [bytes_of(piece, None) for piece in ("▁a", "<0x0A>", "<0xE5>", "<s>")] == [b" a", b"\n", b"\xe5", b"<s>"]
    assert [bytes_of(piece, letters) for piece in ("Ġa", "Ċ", "å", "<s>")] == [b" a", b"\n", b"\xe5", b"<s>"]
    assert bytes_of(b"\xe5", None) == b"\xe5"
