"""What reads records, settings and archives of others; readers.py has the other readers."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from llm.alignment.rm.flashmask.reward_run import resolve_run
from llm.core.checkpoint import contents
from llm.core.records.dialogues import iter_dialogues
from llm.core.records.json_stream import no_progress
from llm.core.records.records import ReadCounts, read_records
from llm.core.records.reward_records import LABELLED, PREFERENCES
from llm.core.strict_json import object_of
from llm.data import archive
from tests import factories
from tests.faults import mutants


class Reader(NamedTuple):
    mutants: dict[str, Callable[[Random, bytes], bytes]]  # {file that is changed: how}
    prepare: Callable[[Path, Path], object]  # (base, folder): puts the files there
    read: Callable[[Path, Path, str], object]  # (base, folder, changed file): something to compare, or an error
    is_valid: Callable[[str, bytes], bool] = lambda name, content: True  # a file that may be read as something else
    other_names: tuple[str, ...] = ()  # by which a message may call the file: the setting that asks for it


def is_json(name: str, content: bytes) -> bool:
    """PaddleNLP writes NaN into one of its files."""
    try:
        object_of(b'{"": ' + content.removeprefix(b"\xef\xbb\xbf") + b"}", "", with_nan=name == contents.STATE)
    except ValueError:
        return False
    return True


def prepare_records(base: Path, folder: Path) -> None:
    lines = (base / "tiny/train.jsonl").read_bytes().splitlines()[:4]
    (folder / "records.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (folder / "records.json").write_bytes(b"[" + b",\n".join(lines) + b"]")
    (folder / "records.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines)))
    (folder / "pairs.jsonl").write_bytes(b"\n".join((base / "tiny/pairs.jsonl").read_bytes().splitlines()[:3]))


def prepare_dialogues(base: Path, folder: Path) -> None:
    """One of each form."""
    dialogues: list[dict] = factories.read_lines(base / "tiny/answers.jsonl")[:1]
    dialogues.append({"src": ["Hi", "And now?"], "tgt": ["Hello", "Bye"], "weight": 2})
    chat = [("system", "Be brief."), ("user", "2 + 3?"), ("assistant", "5")]
    dialogues.append({"messages": [{"role": role, "content": content} for role, content in chat]})
    (folder / "dialogues.jsonl").write_text("".join(json.dumps(one) + "\n" for one in dialogues))


def are_records(name: str, content: bytes) -> bool:
    if name.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, ValueError):
            return False
    return is_json(name, content) or all(is_json(name, line) for line in content.splitlines() if line.strip())


RECORDS = Reader(
    {
        "records.jsonl": mutants.of_lines,
        "records.json": mutants.of_json,
        "records.jsonl.gz": partial(mutants.of_zipped, inside=mutants.of_lines),
        "pairs.jsonl": mutants.of_lines,
    },
    prepare_records,
    lambda base, folder, name: read_records(str(folder / name), form=PREFERENCES if "pairs" in name else LABELLED),
    are_records,
)
DIALOGUES = Reader(
    {"dialogues.jsonl": mutants.of_lines},
    prepare_dialogues,
    lambda base, folder, name: list(iter_dialogues([folder / name], ReadCounts(), False, no_progress)),
    are_records,
)
SETTINGS = Reader(
    {"config.json": mutants.of_json},
    lambda base, folder: factories.six_updates(
        base / "tiny", folder, lora=True, lora_target_modules=["q_proj"], report_to=["visualdl"]
    ),
    lambda base, folder, name: sorted(resolve_run([str(folder / name)], "").values.items()),
    is_json,
    other_names=("the settings have",),  # each problem names its setting
)


def prepare_archives(base: Path, folder: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name in ("train.jsonl", "dev.jsonl"):
            data = (base / "tiny" / name).read_bytes()[:3000]
            member = tarfile.TarInfo(f"data/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (folder / "archive.tar").write_bytes(content.getvalue())
    (folder / "archive.tar.gz").write_bytes(gzip.compress(content.getvalue(), 1))


def read_archive(base: Path, folder: Path, name: str) -> object:
    unpacked = folder / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    archive.unpack(folder / name, unpacked, limit=1 << 24)
    inside = {file.name: file.read_bytes() for file in unpacked.iterdir()}
    assert set(inside) == {"train.json", "test.json"}
    return inside


ARCHIVES = Reader(
    {"archive.tar": mutants.of_tar, "archive.tar.gz": partial(mutants.of_zipped, inside=mutants.of_tar)},
    prepare_archives,
    read_archive,
    other_names=("archive",),
)
