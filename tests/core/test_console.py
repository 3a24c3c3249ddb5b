"""Counts and lists as a person reads them."""

import argparse
import ast

import pytest

from llm.core.console import WIDTH, bounded, count_of, folded, in_short, listed, visible


def test_one_is_singular():
    assert [count_of(number, "row") for number in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]
    assert [count_of(number, "process", "processes") for number in (1, 2)] == ["1 process", "2 processes"]


def test_what_is_not_shown_is_counted():
    assert listed([]) == "" and listed([3, 4]) == "3, 4"
    assert listed("abc", most=3) == "a, b, c" and listed("abcd", most=2) == "a, b and 2 more"


@pytest.mark.parametrize(
    "character", "\u200b\u200d\u2060\ufeff\u00ad\u034f\u3164\ufe0f\u202e\u2066\n\r\t\x1b\x00\x7f\ud800\U000e0041"
)
def test_what_is_not_seen_is_escaped(character):
    """Zero-width and bidirectional characters, line breaks, codes of the terminal, halves of characters."""
    shown = visible(f"a{character}b")
    assert shown.isascii() and shown.isprintable() and shown.startswith("a\\") and shown.endswith("b")
    assert ast.literal_eval(f"'{shown}'") == f"a{character}b"
    assert listed([f"a{character}b"]) == shown and (
        character in "\n\r" or shown in in_short(ValueError(f"a{character}b"))
    )


def test_what_is_seen_stays():
    for text in ("", "plain", "é ñ 日本 🙂", "e\u0301", "a\\b", "Шаг"):
        assert visible(text) == text


def test_long_lines_are_continued_and_paths_stay_whole():
    path = "/data/" + "x" * WIDTH
    text = "short\n  left  right\n  " + "word " * 40 + path
    lines = folded(text).splitlines()
    assert lines[:2] == ["short", "  left  right"] and lines[-1].strip() == path
    assert all(len(line) <= WIDTH for line in lines[:-1]) and all(line.startswith("      ") for line in lines[3:])
    assert " ".join(folded(text).split()) == " ".join(text.split())


@pytest.mark.parametrize(
    ("kind", "least", "most", "good", "bad"),
    [
        (int, 1, 64, ["1", "64"], ["0", "65", "-1", "1.5", "x", "", "9" * 5000]),
        (int, 0, float("inf"), ["0", "9" * 400], ["-1", "nan"]),
        (float, 0, 1, ["0", "1", "1e-300"], ["nan", "inf", "-inf", "1e400", "1.1", ""]),
    ],
)
def test_the_number_of_a_flag_is_within_its_bounds(kind, least, most, good, bad):
    read = bounded(kind, least, most)
    assert [read(text) for text in good] == [kind(text) for text in good]
    for text in bad:
        with pytest.raises((ValueError, argparse.ArgumentTypeError)):  # argparse makes a message of both
            read(text)
