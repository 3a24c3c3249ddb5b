"""Counts and lists as a person reads them."""

from llm.core.console import WIDTH, count_of, folded, listed


def test_one_is_singular():
    assert [count_of(number, "row") for number in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]
    assert [count_of(number, "process", "processes") for number in (1, 2)] == ["1 process", "2 processes"]


def test_what_is_not_shown_is_counted():
    assert listed([]) == "" and listed([3, 4]) == "3, 4"
    assert listed("abc", most=3) == "a, b, c" and listed("abcd", most=2) == "a, b and 2 more"


def test_long_lines_are_continued_and_paths_stay_whole():
    path = "/data/" + "x" * WIDTH
    text = "short\n  left  right\n  " + "word " * 40 + path
    lines = folded(text).splitlines()
    assert lines[:2] == ["short", "  left  right"] and lines[-1].strip() == path
    assert all(len(line) <= WIDTH for line in lines[:-1]) and all(line.startswith("      ") for line in lines[3:])
    assert " ".join(folded(text).split()) == " ".join(text.split())
