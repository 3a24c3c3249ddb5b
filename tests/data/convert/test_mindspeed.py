"""Token ids of MindSpeed-LLM, in files as Megatron has them: the text and the signs come back."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from llm.data.convert.convert import main
from llm.data.convert.registry import FORMATS

SOLUTIONS = [
    ("Tom has 3 pens. He buys 4.", ["Step 1: 3 + 4 = 7.", "Step 2: So - 7."], ["+", "-"]),
    ("шаг два?", ["Step 1: 两 + 1"], ["-"]),
]
TYPES = {np.uint16: 8, np.int32: 4, np.int64: 5}


def write_field(folder: Path, field: str, rows: list[list[int]], kind: type = np.int32) -> Path:
    """By the layout that is documented: header, lengths, where each begins in bytes, documents."""
    prefix = folder / f"ms_packed_{field}_document"
    lengths = np.array([len(row) for row in rows], np.int32)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) * np.dtype(kind).itemsize
    documents = np.arange(len(rows) + 1, dtype=np.int64)
    header = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, TYPES[kind], len(rows), len(documents))
    index = prefix.with_name(f"{prefix.name}.idx")
    index.write_bytes(header + lengths.tobytes() + starts.tobytes() + documents.tobytes())
    prefix.with_name(f"{prefix.name}.bin").write_bytes(np.array(sum(rows, []), kind).tobytes())
    return index


@pytest.fixture
def rows(tokenizer, tokens) -> list[dict]:
    """As its handler makes them: the text at once, labels at the placeholders."""
    made = []
    for question, steps, signs in SOLUTIONS:
        ids, labels = [], []
        for number, (step, sign) in enumerate(zip(steps, signs, strict=True)):
            text = f"{question} {step}" if number == 0 else f"\n{step}"
            piece = tokenizer(text, add_special_tokens=False)["input_ids"]
            ids += [*piece, tokens.placeholder]
            labels += [-100] * len(piece) + [{"+": tokens.positive, "-": tokens.negative}[sign]]
        made.append({"input_ids": ids, "labels": labels, "attention_mask": [1] * len(ids)})
    return made


def files_of(folder: Path, rows: list[dict], kind: type = np.int32) -> Path:
    for field in ("labels", "attention_mask"):
        write_field(folder, field, [row[field] for row in rows])
    return write_field(folder, "input_ids", [row["input_ids"] for row in rows], kind)


def expected() -> list[dict]:
    return [{"src": [q], "tgt": [], "responses": steps, "labels": signs} for q, steps, signs in SOLUTIONS]


@pytest.mark.parametrize("kind", TYPES)
def test_text_and_signs_come_back_from_the_files(tmp_path, tiny, capsys, rows, kind):
    index = files_of(tmp_path, rows, kind)
    for number, source in enumerate((index, index.with_suffix(".bin"), tmp_path)):
        output = tmp_path / f"out/{number}.jsonl"
        main([str(source), "--tokenizer", str(tiny / "model"), "--output", str(output)])
        assert list(map(json.loads, output.read_text(encoding="utf-8").splitlines())) == expected()
    assert ": mindspeed, found by the fields\n" in capsys.readouterr().out


def test_rows_of_ids_in_other_files(tmp_path, tiny, rows):
    assert [form.name for form in FORMATS.values() if form.fits(rows[0])] == ["mindspeed"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    main([str(tmp_path / "a.jsonl"), "--tokenizer", str(tiny / "model"), "--output", str(tmp_path / "out.jsonl")])
    assert list(map(json.loads, (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines())) == expected()


def refusal(capsys, *words) -> str:
    with pytest.raises(SystemExit):
        main([*map(str, words)])
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"input_ids": [9_999_999]}, "token id beyond the vocabulary"),
        ({"input_ids": [-1]}, "token id beyond the vocabulary"),
        ({"input_ids": [1, 2]}, "differ in number"),
        ({"labels": [5]}, "no sign"),
        ({"labels": ["+"]}, "wrong type"),
        ({"labels": [-100]}, "no label"),
    ],
)
def test_ids_that_are_not_of_this_form(tmp_path, tiny, capsys, tokens, changes, told):
    row = {"input_ids": [tokens.placeholder], "labels": [tokens.positive]} | changes
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    words = [tmp_path / "a.jsonl", "--tokenizer", tiny / "model", "--output", tmp_path / "out.jsonl"]
    assert told in refusal(capsys, *words)


def test_the_tokenizer_has_to_be_named(tmp_path, capsys, rows):
    index = files_of(tmp_path, rows)
    assert "--tokenizer FOLDER" in refusal(capsys, index, "--output", tmp_path / "out.jsonl")
    words = (index, "--tokenizer", tmp_path, "--output", tmp_path / "out.jsonl")
    assert "no tokenizer could be read" in refusal(capsys, *words)


def test_damaged_index_files_are_told(tmp_path, tiny, capsys, rows):
    words = ["--tokenizer", tiny / "model", "--output", tmp_path / "out.jsonl"]

    def said() -> str:
        return refusal(capsys, index, *words)

    index = files_of(tmp_path, rows)
    whole = index.read_bytes()
    for content in (b"", whole[:20], whole[:40], b"X" + whole[1:]):
        index.write_bytes(content)
        assert "file cannot be read (after 0 records: " in said()
    index.write_bytes(whole)
    index.with_suffix(".bin").write_bytes(b"1234")
    assert "ms_packed_input_ids_document.bin is shorter than" in said()
    index = files_of(tmp_path, rows)
    write_field(tmp_path, "labels", [[1]])
    assert "different numbers of sequences" in said()
    index.with_name("ms_packed_labels_document.idx").unlink()
    assert "No such file" in said()
    (tmp_path / "other.idx").write_bytes(whole)
    assert "unknown name" in refusal(capsys, tmp_path / "other.idx", *words)
