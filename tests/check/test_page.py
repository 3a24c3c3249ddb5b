"""The page holds what was found, needs nothing from outside, and shows text of the data as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from llm.check.check import main
from tests.data.check.records import line, write

ALONE = {"meta", "rect", "!doctype"}


class Tags(HTMLParser):
    """Fails where a tag is closed that is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.widths: list[float] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in ALONE:
            self.open.append(tag)
        if ("class", "bar") in attributes:
            self.widths.append(float(dict(attributes)["width"]))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page_of(tmp_path, *lines: str) -> str:
    page = tmp_path / "page.html"
    try:
        main([str(write(tmp_path / "data.jsonl", *lines)), "--html", str(page), "--overwrite"])
    except SystemExit as end:
        assert end.code == 1
    return page.read_text(encoding="utf-8")


def test_the_page_is_whole_and_needs_nothing_from_outside(tmp_path):
    text = page_of(tmp_path, line("Q1", ["+", 0.3]), line("Q2", ["-", "+", "+"]))
    tags = Tags(text)
    assert tags.open == [] and "clean" in tags.text
    assert not re.search(r"https?:|src=|href=|url\(|@import|<script", text)
    assert 'name="viewport"' in text and "prefers-color-scheme: dark" in text


def test_bars_are_as_long_as_their_numbers(tmp_path):
    tags = Tags(page_of(tmp_path, line("Q1", ["+", "-"]), line("Q2", ["-", "-"]), line("Q3", ["+"])))
    shares, steps = tags.widths[:2], tags.widths[2:]
    assert shares == [66.67, 0.0] and steps == [50.0, 100.0]


def test_text_of_the_data_is_shown_and_not_obeyed(tmp_path):
    attack = "<script>alert(1)</script>&<img onerror=x>"
    text = page_of(tmp_path, line("Q", ["+", "-"]), line("Q", [attack]))
    assert "<script" not in text and "<img" not in text
    assert attack.split("&")[0] in Tags(text).text


def test_an_existing_page_is_only_replaced_when_asked(tmp_path, capsys):
    page_of(tmp_path, line("Q", ["+", "-"]))
    try:
        main([str(tmp_path / "data.jsonl"), "--html", str(tmp_path / "page.html")])
    except SystemExit as end:
        assert end.code == 2
    assert "exists already" in capsys.readouterr().err
