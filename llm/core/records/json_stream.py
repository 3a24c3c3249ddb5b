"""The JSON values in a file, one at a time and in constant memory.

A file is a JSON array or JSON Lines, plain, gzip or zstd; all are recognised by the content, never by the name. What
cannot be read is passed on as a `Problem` in place of the value, so that one pass finds every problem.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from llm.core.paths import shown_path
from llm.core.records.json_decoder import decoder_and_flaws
from llm.core.records.problem import Problem
from llm.core.records.unpacked import DAMAGE, unpacked
from llm.core.records.unreadable import broken_file, cut_short, no_utf8, too_long, unreadable

CHUNK = 1 << 15  # json counts the lines before every error, so a large window makes many errors slow
HEAD = 1 << 12
# A bracket or quote that is never closed must not pull a whole file into memory.
LONGEST = 1 << 23
# What a chunk cuts in two (a literal, a number, an escape) shows itself this near to the cut.
CUT = 16
BLANK = re.compile(r"[ \t\r\n]*")
OBJECT = re.compile(r'\{[ \t\r\n]*"')
OBJECT_CUT = re.compile(r"\{[ \t\r\n]*\Z")
STRING_OR_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]+|[\]}]+', re.DOTALL)
TOO_DEEP = "nested too deeply"
DEEPEST = 150_000  # brackets open at once in what is skipped; a file with more of them does not hold records
MOST_LOST = 10_000  # elements of a list whose end is unknown: behind so many, what else it holds is guesswork
UNCLOSED = ("the file ends too early", "list not closed")

Item = tuple[str, object, str]  # place, value, text


def no_progress(count: int) -> None:
    """For who does not want to know how many bytes were read."""


def read_values(
    path: Path, chunk: int = CHUNK, progress: Callable[[int], object] = no_progress
) -> Iterator[tuple[str, object]]:
    """Yields (place, value) for every value of a file; the value is a `Problem` where it cannot be read.

    A place is `file.jsonl:7` or `file.json, element 7 (line 23)`. UTF-8, a byte order mark may lead. In an
    array, reading continues at the next object after one that cannot be read. `chunk` is the number of bytes
    read at once. `progress` is called with the bytes of the file, as it is on the disk, since its last call.
    """
    for place, value, _ in read_written(path, chunk, progress):
        yield place, value


def read_written(path: Path, chunk: int = CHUNK, progress: Callable[[int], object] = no_progress) -> Iterator[Item]:
    """(place, value, its text in the file), as `read_values`; the text of what cannot be read is "" where its end is
    not known."""
    name = shown_path(path)
    count = place = 0
    try:
        head = _head_of(path)
        if b"\0" in head:  # one problem instead of one for each line of a tar or UTF-16 file
            remedy = "write it as JSON Lines or a JSON list, in UTF-8"
            yield name, broken_file(name, "not a text file", f"it begins {head[:8]!r}", remedy), ""
            return
        read = _elements if head[:1] == b"[" else _lines
        with open(path, "rb") as file, unpacked(file) as stream:
            for item in read(stream, name, chunk):
                yield item
                count += 1
                if (here := file.tell()) != place:
                    progress(here - place)
                    place = here
        if not count:
            yield name, broken_file(name, "no record in the file", "it is empty", "remove it from the paths"), ""
    except DAMAGE as error:
        yield name, cut_short(name, count, error), ""


def _head_of(path: Path) -> bytes:
    """The beginning of the text, without what is blank."""
    with open(path, "rb") as file, unpacked(file) as stream:
        head = stream.read(HEAD).removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n")
        while not head and (head := stream.read(HEAD)):
            head = head.lstrip(b" \t\r\n")
        return head


def _lines(stream: BinaryIO, name: str, chunk: int) -> Iterator[Item]:
    decoder, flaws = decoder_and_flaws()
    number, empty = 0, True
    while line := stream.readline(LONGEST):
        number += 1
        place = f"{name}:{number}"
        if len(line) == LONGEST:
            yield place, too_long(place, LONGEST), ""
            while line and not line.endswith(b"\n"):
                line = stream.readline(chunk)
            continue
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        line = line.strip(b" \t\r\n")
        if empty and line == b"{":
            how = "write each object on one line, or a list [...] of objects"
            yield place, broken_file(place, "an object over several lines", "neither JSON Lines nor a list", how), ""
            return
        if line:
            empty = False
            flaws.clear()
            value, text = _line_value(line, place, decoder)
            yield place, Problem(place, *flaws[0]) if flaws else value, text


def _line_value(line: bytes, place: str, decoder: json.JSONDecoder) -> tuple[object, str]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = line.decode("utf-8", "backslashreplace")
        at = len(line[: error.start].decode("utf-8"))
        byte = f"0x{line[error.start]:02x} at byte {error.start + 1} of the line"
        return no_utf8(place, shown, at, byte), shown
    try:
        value, end = decoder.raw_decode(text)
    except json.JSONDecodeError as error:
        return unreadable(place, text, error.pos, f"{error.msg} at column {error.pos + 1}"), text
    except RecursionError:
        return unreadable(place, text, 0, TOO_DEEP), text
    if end < len(text):
        return unreadable(place, text, end, f"a line is one value, but more follows at column {end + 1}"), text
    return value, text


class _Window:
    """The part of a stream's text that is being read: `text[at:]` is still to come, in line `line`."""

    def __init__(self, stream: BinaryIO, chunk: int):
        self.stream, self.chunk = stream, chunk
        # Bytes that are no UTF-8 become lone surrogates, so that they cost their own element only.
        self.to_text = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self.decoder, self.flaws = decoder_and_flaws()
        self.text, self.at, self.line, self.ended, self.lost = "", 0, 1, False, False
        self.written = ""  # the text of the value that was read last, where its end is known

    def more(self) -> bool:
        """Read on; by as much again as is kept, so that a long element is not scanned once per chunk."""
        if self.ended:
            return False
        kept = self.text[self.at :]
        data = self.stream.read(max(self.chunk, len(kept)))
        self.ended = not data
        self.text, self.at = kept + self.to_text.decode(data, final=self.ended), 0
        return True

    def move(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def peek(self) -> str:
        """The next character that is no white space, after moving to it; "" at the end."""
        while True:
            self.move(BLANK.match(self.text, self.at).end())  # type: ignore[union-attr]  # it matches nothing, too
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def value(self, place: str) -> object:
        """Read the value that begins here and move past it; `lost` is set if its end cannot be found."""
        self.written = ""
        while True:
            self.flaws.clear()
            try:
                value, stop = self.decoder.raw_decode(self.text, self.at)
                why = ""
            except json.JSONDecodeError as error:
                why, stop = error.msg, error.pos
            except RecursionError:
                return self._too_deep(place)
            unclosed = why.startswith("Unterminated string")
            if self.ended or (stop <= len(self.text) - CUT and not unclosed):
                break
            if len(self.text) - self.at > LONGEST:
                return self.lose(too_long(place, LONGEST))
            self.more()
        if not why:
            return self._accepted(value, stop, place)
        if unclosed or stop == len(self.text):
            return self.lose(unreadable(place, self.text, stop, *UNCLOSED), stop)
        line = self.line + self.text.count("\n", self.at, stop)
        return self.lose(unreadable(place, self.text, stop, f"{why} at line {line}"), stop)

    def _too_deep(self, place: str) -> Problem:
        """Move past it at once, for its inner objects are as deep, each of them. If it is never closed, whole values
        may follow behind the last bracket that is not."""
        problem = unreadable(place, self.text, self.at, TOO_DEEP)
        while True:
            depth = 0
            for at, before, depth in _depths(self.text, self.at):
                if depth <= 0:
                    self.move(at + before)
                    return problem
                if depth > DEEPEST:
                    return replace(problem, whole_file=True)
            if len(self.text) - self.at > LONGEST or not self.more():
                unclosed = (
                    at + depth - before - 1
                    for at, before, after in _depths(self.text, self.at)
                    if before < depth <= after
                )
                return self.lose(problem, max(unclosed, default=0))

    def lose(self, problem: Problem, stop: int = 0) -> Problem:
        """`problem` is one after which nobody knows where the next value begins; move to `stop`, or ahead."""
        self.lost = True
        self.move(max(stop, self.at + 1))
        return problem

    def _accepted(self, value: object, stop: int, place: str) -> object:
        written = self.text[self.at : stop]
        if self.flaws:
            value = Problem(place, *self.flaws[0])
        elif not written.isascii():
            try:
                written.encode()
            except UnicodeEncodeError as error:
                line = self.line + written.count("\n", 0, error.start)
                byte = f"0x{ord(written[error.start]) - 0xDC00:02x} in line {line}"
                value = no_utf8(place, written, error.start, byte)
        self.written = written
        self.move(stop)
        return value

    def next_object(self) -> bool:
        """Move on to what looks like the beginning of an object; False if there is none."""
        self.lost = False
        while not (found := OBJECT.search(self.text, self.at)):
            cut = OBJECT_CUT.search(self.text, self.at)
            self.move(cut.start() if cut else len(self.text))
            if not self.more():
                return False
        self.move(found.start())
        return True


def _depths(text: str, at: int) -> Iterator[tuple[int, int, int]]:
    """Of every run of opening or of closing brackets outside of texts: its place, how many are open before and behind
    it."""
    depth = 0
    for token in STRING_OR_BRACKETS.finditer(text, at):
        if token[0][0] != '"':
            before, length = depth, token.end() - token.start()
            depth += length if token[0][0] in "[{" else -length
            yield token.start(), before, depth


def _elements(stream: BinaryIO, name: str, chunk: int) -> Iterator[Item]:
    window = _Window(stream, chunk)
    window.peek()
    window.move(window.at + 1)
    number, need_comma, lost = 0, False, 0
    while True:
        char, trouble = window.peek(), ""
        if char == "]":
            window.move(window.at + 1)
            char, trouble = window.peek(), "more text after the end of the list"
            if not char:
                return
        elif char == "," and need_comma:
            window.move(window.at + 1)
            char = window.peek()
        elif need_comma:
            trouble = "expecting ',' or ']'"
        number += 1
        place = f"{name}, element {number} (line {window.line})"
        if not char:
            yield place, unreadable(place, window.text, window.at, *UNCLOSED), ""
            return
        if trouble:
            yield place, window.lose(unreadable(place, window.text, window.at, trouble)), ""
        else:
            value = window.value(place)
            yield place, value, window.written
            if isinstance(value, Problem) and value.whole_file:
                return
        lost += window.lost
        if lost > MOST_LOST:
            how = "write the list again with a JSON library"
            detail = f"more than {MOST_LOST:,} of its elements are unreadable"
            yield name, broken_file(name, "no JSON list", detail, how), ""
            return
        need_comma = not window.lost
        if window.lost and not window.next_object():
            return
