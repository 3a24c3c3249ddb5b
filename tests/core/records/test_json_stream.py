"""The JSON values of a file are read one at a time; what cannot be read is reported, and costs little else."""

from __future__ import annotations

import gzip
import json
import tempfile
import tracemalloc
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.core.records.json_stream import LONGEST, MOST_LOST, read_values, read_written
from llm.core.records.problem import Problem

G = '{"q": ["How many?", "x {\\"y\\"} ], ["], "n": [1, -2.5e-3, true, null]}'
GOOD = json.loads(G)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
DAMAGE = ["", '"', "{", "}", "]", ",", "\\", "NaN", "9" * 20, "\ud800"]

DEEP = '{"a":' * 2000 + '"[\\"[{"' + "}" * 2000  # with brackets inside a text


def zstd(data: bytes) -> bytes:
    return pyarrow.compress(data, "zstd", asbytes=True)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogateescape"))
    return path


def reported(path: Path, chunk: int) -> list:
    return [(place, v.reason if isinstance(v, Problem) else v) for place, v in read_values(path, chunk)]


def peak_memory(path: Path) -> tuple[int, int]:
    """How many values a file has, and the most memory that was held while reading them."""
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_values(path))
        return count, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# ---- what is read


@given(st.lists(VALUES, min_size=1, max_size=5), st.sampled_from([None, 0, 2]), st.booleans(), st.integers(1, 50))
def test_any_list_reads_as_json_does(values, indent, ascii_only, chunk):
    """Of all values, not of records alone: a number cut by a chunk is not taken for a shorter one."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a", json.dumps(values, indent=indent, ensure_ascii=ascii_only))
        assert [value for _, value in read_values(path, chunk)] == values
        assert [json.loads(text) for _, _, text in read_written(path, chunk)] == values


@settings(max_examples=80)
@given(
    st.lists(st.dictionaries(st.text(max_size=5), VALUES, min_size=1, max_size=2), min_size=1, max_size=3),
    st.data(),
)
def test_a_damaged_list_is_told_alike_whatever_the_chunks(values, data):
    """Where a chunk ends decides neither what is a problem nor where reading goes on."""
    text = json.dumps(values, indent=data.draw(st.sampled_from([None, 1])))
    at = data.draw(st.integers(1, len(text) - 1))
    end = data.draw(st.sampled_from([at, at + 1, at + 5, len(text)]))
    text = text[:at] + data.draw(st.sampled_from(DAMAGE)) + text[end:]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.json", text.encode(errors="surrogatepass"))
        assert reported(path, data.draw(st.integers(1, 60))) == reported(path, 1 << 18)


def test_places(tmp_path, monkeypatch):
    """A place is what an editor can jump to, and relative if the file lies in the working directory."""
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    outside = write(tmp_path / "a.jsonl", f"\n\r\n{G}\r\n\n{G}")
    inside = write(tmp_path / "in" / "a.json", f"[\n{G},\r\n\n{G}\n]\n")
    assert [place for place, _ in read_values(outside)] == [f"{outside}:3", f"{outside}:5"]
    assert [place for place, _ in read_values(inside)] == [
        "a.json, element 1 (line 2)",
        "a.json, element 2 (line 4)",
    ]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.gz", "a.txt"])
@pytest.mark.parametrize("text", [f"[{G}]", f"{G}\n", f"\ufeff[{G}]", f"\ufeff{G}", f"\ufeff\r\n {G}"])
@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode()), lambda x: zstd(x.encode())])
def test_the_content_says_what_a_file_is(tmp_path, name, text, pack):
    """Published files are often misnamed; a byte order mark may lead."""
    assert [value for _, value in read_values(write(tmp_path / name, pack(text)))] == [GOOD]


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_several_packed_members(tmp_path, pack):
    """Packed files written one behind the other are one packed file."""
    path = write(tmp_path / "a", pack(f"{G}\n".encode()) + pack(G.encode()))
    assert [value for _, value in read_values(path)] == [GOOD, GOOD]


@pytest.mark.parametrize("form", ["lines", "list", "indented list", "zipped lines", "zipped list", "bad list"])
def test_memory_does_not_grow_with_the_file(tmp_path, form):
    """3 MB of values, good or bad, need what a chunk needs."""
    value = {"q": "x" * 580}
    text = json.dumps([value] * 5_000, indent=1 if "indented" in form else None)
    if "lines" in form:
        text = (json.dumps(value) + "\n") * 5_000
    if "bad" in form:
        text = text.replace('"}', '" "}')
    path = write(tmp_path / "a", gzip.compress(text.encode()) if "zipped" in form else text)
    count, peak = peak_memory(path)
    assert count == 5_000
    assert peak < 2e6


# ---- what cannot be read


@pytest.mark.parametrize(
    "line, message",
    [
        (
            '{"q": ["a"',
            '"{\\"q\\": [\\"a\\"" - unreadable JSON (Expecting \',\' delimiter at column 11); repair it',
        ),
        ("{'q': 1}", "\"{'q': 1}\" - unreadable JSON (Expecting property name enclosed in double quotes"),
        (f"{G}{G}", f"unreadable JSON (a line is one value, but more follows at column {len(G) + 1})"),
        (f"{G},", "unreadable JSON (a line is one value, but more follows"),
        ("[" * 100_000, "unreadable JSON (nested too deeply)"),
        ('{"n": 1' + "0" * 5000 + "}", f"1{'0' * 19}… - number too long (5,001 digits); write it in fewer"),
        ('{"q": NaN}', "NaN - NaN or Infinity (JSON has no such value); write a number or null"),
        ('{"q": [-Infinity]}', "-Infinity - NaN or Infinity"),
        (
            '{"q": "caf\udce9"}',
            'caf\\\\xe9\\"}" - invalid UTF-8 (0xe9 at byte 11 of the line); save the file as',
        ),
        (f"\ufeff{G}", "unreadable JSON"),
        ("\x1b[31m", '"\\u001b[31m" - unreadable JSON'),
    ],
)
def test_bad_lines(tmp_path, monkeypatch, line, message):
    """A line that cannot be read costs itself only."""
    monkeypatch.chdir(tmp_path)
    (_, first), (place, problem), (_, last) = read_values(write(tmp_path / "a.jsonl", f"{G}\n{line}\n{G}"))
    assert first == last == GOOD
    assert place == problem.place == "a.jsonl:2"
    assert str(problem).startswith("a.jsonl:2: ") and message in str(problem)
    assert str(problem).isprintable() and len(str(problem)) < 250


@pytest.mark.parametrize(
    "text, kept, message",
    [
        (
            f"[{G},\n{G[:30]}",
            1,
            "element 2 (line 2): <> - list not closed (the file ends too early); repair it",
        ),
        (f"[{G},{G}", 2, "element 3 (line 1): <> - list not closed"),
        (f"[{G},", 1, "element 2 (line 1): <> - list not closed"),
        ("[", 0, "element 1 (line 1): <> - list not closed"),
        (f"[{G},{G},]", 2, "element 3 (line 1): <> - unreadable JSON (Expecting value at line 1)"),
        (f"[{G},\n{G[:-1]},\n{G}]", 2, "element 2 (line 2): <> - unreadable JSON (<> at line 3)"),
        (
            f"[{G},\n{G[:-1]}]\n,{G}]",
            2,
            "element 2 (line 2): <> - unreadable JSON (Expecting ',' delimiter at",
        ),
        (f'[{G},{{"q": "q" "t": []}},{G}]', 2, "element 2 (line 1): <> - unreadable JSON (Expecting ','"),
        (f'[{G},{{"q": "q, "t": []}},{G}]', 2, "element 2 (line 1): <> - unreadable JSON (Expecting "),
        (
            f'[{G},{{"q": "q\n", "t": []}},{G}]',
            2,
            "element 2 (line 1): <> - unreadable JSON (Invalid control",
        ),
        (f"[{G}\n{G},{G}]", 2, "element 2 (line 2): <> - unreadable JSON (expecting ',' or ']')"),
        (f"[{G}] x", 1, "element 2 (line 1): <> - unreadable JSON (more text after the end of the list)"),
        (f"[{G}]\n[{G},{G}]", 3, "element 2 (line 2): <> - unreadable JSON (more text after the end of the"),
        (f"[{G},\n\nNaN,{G}]", 2, "element 2 (line 3): NaN - NaN or Infinity"),
        (f'[{{"a": {{"b": 1}}, "x": Infinity}},{G}]', 1, "element 1 (line 1): Infinity - NaN or Infinity"),
        (f'[{{"n": {"9" * 5000}}},{G}]', 1, "element 1 (line 1): <>… - number too long (5,000 digits)"),
        (f"[{G}, {'[' * 100_000}, {G}]", 2, "element 2 (line 1): <> - unreadable JSON (nested too deeply)"),
        (f"[{G}, {'[' * 100_000}{']' * 100_000}, {G}]", 2, "element 2 (line 1): <> - unreadable JSON (nested too"),
        (f"[{G}, {DEEP}, {G}]", 2, "element 2 (line 1): <> - unreadable JSON (nested too"),
        (
            f'[{G},{{"a": {{"b": 1}}, "x" 2}},{G}]',
            2,
            "element 2 (line 1): <> - unreadable JSON (Expecting ':'",
        ),
        (f"[{G},\n[1,\n'\udce9'],{G}]", 2, "element 2 (line 2): <> - unreadable JSON"),
        (f'[{G},\n{{"q":\n"caf\udce9"}},{G}]', 2, "element 2 (line 2): <> - invalid UTF-8 (0xe9 in line 3)"),
    ],
)
def test_bad_elements(tmp_path, monkeypatch, text, kept, message):
    """What is wrong with a list is one problem; reading goes on at the next object."""
    monkeypatch.chdir(tmp_path)
    values = [value for _, value in read_values(write(tmp_path / "a.json", text))]
    (problem,) = (value for value in values if isinstance(value, Problem))
    assert [value for value in values if value is not problem] == [GOOD] * kept
    parts = message.split("<>")
    assert str(problem).startswith(f"a.json, {parts[0]}")
    assert all(part in str(problem) for part in parts)
    assert str(problem).isprintable() and not problem.whole_file


def test_a_value_without_end_is_not_gathered_in_memory(tmp_path):
    """A quote that is not closed, in a file of one line, must not draw in all that follows."""
    start = '{"q": "'
    path = write(tmp_path / "lines", f"{start}{'x' * LONGEST}\n{G}\n")
    (_, problem), (_, value) = read_values(path)
    assert (problem.reason, value) == ("record too long", GOOD)
    count, peak = peak_memory(write(tmp_path / "list", f"[{start}{'x' * 8 * LONGEST}"))
    assert count == 1
    assert peak < 6 * LONGEST


ZIPPED = gzip.compress(f"{G}\n".encode() * 3, mtime=0)


@pytest.mark.parametrize(
    "raw, message",
    [
        (b"", "no record in the file (it is empty); remove it from the paths"),
        (b" \n\n", "no record in the file"),
        (b"[ ]", "no record in the file"),
        (gzip.compress(b"", mtime=0), "no record in the file"),
        (ZIPPED[:-9], "file cannot be read (after 0 records: Compressed file ended before the end-of-stream"),
        (zstd(b""), "no record in the file"),
        (zstd(f"{G}\n".encode() * 3)[:-9], "file cannot be read (after 0 records: Truncated compressed stream"),
        (b"\x28\xb5\x2f\xfd nonsense", "file cannot be read (after 0 records: ZSTD decompress failed"),
        (ZIPPED[:-8] + b"????????", "file cannot be read (after 0 records: CRC check failed"),
        (
            b"\x1f\x8b nonsense",
            "file cannot be read (after 0 records: Unknown compression method); fetch or write",
        ),
        (
            b"PAR1\x15\x04\x00",
            "not a text file (it begins b'PAR1\\x15\\x04\\x00'); write it as JSON Lines or a JSON",
        ),
        (G.encode("utf-16"), "not a text file"),
        (json.dumps(GOOD, indent=2).encode(), "an object over several lines (neither JSON Lines nor a list)"),
        (b"[" * 1_500_000, "unreadable JSON (nested too deeply)"),
        (b"[" + b'{"a":' * 300_000, "unreadable JSON (nested too deeply)"),
    ],
)
def test_a_file_that_is_broken_as_a_whole(tmp_path, monkeypatch, raw, message):
    """It is reported once, not for each line, and as a fault of the file rather than of a record."""
    monkeypatch.chdir(tmp_path)
    *_, (_, problem) = read_values(write(tmp_path / "a", raw))
    assert problem.whole_file
    assert problem.place.startswith("a") and message in str(problem)


def test_a_list_of_broken_elements_alone_is_given_up(tmp_path):
    """Where the end of thousands of elements is unknown, the number of the others is, too; the file is refused."""
    text = f"[{G}," + '{"q": x},' * (MOST_LOST + 5) + f"{G}]"
    (_, first), *lost, (_, last) = read_values(write(tmp_path / "a.json", text))
    assert first == GOOD and len(lost) == MOST_LOST + 1 and not any(problem.whole_file for _, problem in lost)
    assert last.whole_file and f"more than {MOST_LOST:,} of its elements" in str(last)
    *lost, (_, last) = read_values(write(tmp_path / "b.json", "[" + '{"q": x},' * MOST_LOST + f"{G}]"))
    assert len(lost) == MOST_LOST and last == GOOD


def test_what_a_truncated_gzip_still_holds_is_read(tmp_path):
    """The records before the break are judged too, and the message says how many there were."""
    raw = gzip.compress(b"".join(b'{"n": %d}\n' % n for n in range(20_000)))
    *values, (_, problem) = read_values(write(tmp_path / "a", raw[: len(raw) // 2]))
    assert [value for _, value in values] == [{"n": n} for n in range(len(values))]
    assert len(values) > 5_000 and f"(after {len(values)} records: " in str(problem)


def test_a_file_without_permission_or_gone(tmp_path):
    """An error of the system is reported like any other."""
    ((_, problem),) = read_values(tmp_path / "gone")
    assert problem.whole_file and "No such file or directory" in str(problem)


@pytest.mark.parametrize("line", [b'{"a":', b'{"a": NaN}', b'{"a": 1, "a": 2}', b'{"a": "\xff"}', b'{"a": 1} x'])
def test_a_line_that_is_no_value_is_kept_as_it_was(tmp_path, line):
    ((_, problem, text),) = read_written(write(tmp_path / "a", line + b"\r\n"))
    assert isinstance(problem, Problem) and text == line.decode("utf-8", "backslashreplace")
