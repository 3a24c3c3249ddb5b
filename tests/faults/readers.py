"""What reads files of others, with files that it can read and the ways to change them. The folder `base` has the tiny
model and the runs of forms.py."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import paddle

from llm.alignment.rm.flashmask.reward_format import load_format, make_format
from llm.alignment.rm.flashmask.reward_run import resolve_run
from llm.alignment.rm.flashmask.reward_start import learner_of
from llm.alignment.rm.flashmask.reward_task import read_format
from llm.core import patches, pickles
from llm.core.checkpoint import checkpoints, contents, loop_state
from llm.core.console import listed
from llm.core.model import config as config_module
from llm.core.model import forward
from llm.core.model.attention import block_attention
from llm.core.model.whole import LIST
from llm.core.records.dialogues import iter_dialogues
from llm.core.records.json_stream import no_progress
from llm.core.records.records import ReadCounts, read_records
from llm.core.records.reward_records import LABELLED, PREFERENCES
from llm.core.run.work import needed_of_checkpoint
from llm.core.strict_json import object_of
from llm.core.text.load_tokenizer import load_tokenizer
from llm.data import archive
from llm.scoring.scorer import Scorer
from tests import factories
from tests.faults import forms, mutants

TEMPLATE = (
    "{{ bos_token }}{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{{ '[' ~ m['role'] | upper ~ ']' + m.content.strip() }}{% if not loop.last %}, {% endif %}{% endfor %}"
    "{{ messages | map(attribute='role') | join(',') }}{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(ns.n) }}"
)


class Reader(NamedTuple):
    mutants: dict[str, Callable[[Random, bytes], bytes]]  # {file that is changed: how}
    prepare: Callable[[Path, Path], object]  # (base, folder): puts the files there
    read: Callable[[Path, Path, str], object]  # (base, folder, changed file): something to compare, or an error
    is_valid: Callable[[str, bytes], bool] = lambda name, content: True  # a file that may be read as something else
    other_names: tuple[str, ...] = ()  # by which a message may call the file: the setting that asks for it


def digest(*arrays: Any) -> str:
    value = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        value.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())
    return value.hexdigest()


def is_json(name: str, content: bytes) -> bool:
    """PaddleNLP writes NaN into one of its files."""
    try:
        object_of(b'{"": ' + content.removeprefix(b"\xef\xbb\xbf") + b"}", "", with_nan=name == contents.STATE)
    except ValueError:
        return False
    return True


# ---- records, settings, archives


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

# ---- models


def read_model(base: Path, folder: Path, name: str) -> object:
    model = patches.load_model(str(folder), config_module.load_config(str(folder)), block_attention, "float32")
    row = [[3, 1, 4, 1, 5]]
    with paddle.no_grad():
        positions, ends = paddle.to_tensor([list(range(5))]), paddle.to_tensor([[5] * 5], "int32")
        hidden = forward.hidden_states(model, paddle.to_tensor(row), positions, ends)
    return digest(hidden.numpy(), model.lm_head.weight.numpy())


def prepare_model(base: Path, folder: Path) -> None:
    shutil.copytree(base / "tiny/model", folder, dirs_exist_ok=True)


def prepare_indexed(base: Path, folder: Path) -> None:
    """Of a run, whose weights have an index."""
    for file in (base / "full/out").glob("*.*"):
        if file.is_file() and file.name.partition(".")[0] in ("config", "model", "model-00001-of-00001"):
            shutil.copy(file, folder)


def prepare_pickled(base: Path, folder: Path) -> None:
    for name in ("config.json", "model_state.pdparams"):
        shutil.copy(base / ".pdparams/out" / name, folder)


CONFIGS = Reader({"config.json": mutants.of_json}, prepare_model, read_model, is_json)
SAFETENSORS = Reader(
    {"model.safetensors": mutants.of_header}, prepare_model, read_model, other_names=("the weights in",)
)
INDEXES = Reader({"model.safetensors.index.json": mutants.of_json}, prepare_indexed, read_model, is_json)
PICKLES = Reader(
    {"model_state.pdparams": mutants.of_bytes},
    prepare_pickled,
    lambda base, folder, name: digest(*pickles.load_state(folder / name).values()),
)

# ---- tokenizers and templates


def prepare_tokenizer(base: Path, folder: Path) -> None:
    for file in factories.TOKENIZER_FILES:
        shutil.copy(base / "tiny/model" / file, folder)


def prepare_pieces(base: Path, folder: Path) -> None:
    prepare_tokenizer(base, folder)
    (folder / "tokenizer.json").unlink()


def prepare_template(base: Path, folder: Path) -> None:
    prepare_tokenizer(base, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def read_tokenizer(base: Path, folder: Path, name: str, use_chat_template: bool = False) -> object:
    values = replace(load_format(base / "full/out").values, use_chat_template=use_chat_template)
    encoder = make_format(values, load_tokenizer(str(folder))).encoder()
    encoded = [encoder.encode(record) for record in read_records(str(base / "tiny/dev.jsonl"))[:2]]
    return [one and one.ids.tolist() for one in encoded]


TOKENIZERS = Reader(
    {"tokenizer.json": mutants.of_json, "tokenizer_config.json": mutants.of_json},
    prepare_tokenizer,
    read_tokenizer,
    is_json,
)
PIECES = Reader(
    {"tokenizer.model": mutants.of_bytes}, prepare_pieces, read_tokenizer, other_names=("placeholder_token: ",)
)
TEMPLATES = Reader(
    {"chat_template.jinja": mutants.of_template},
    prepare_template,
    partial(read_tokenizer, use_chat_template=True),
    other_names=("use_chat_template", "chat template"),
)

# ---- what runs leave


def read_checkpoint(base: Path, folder: Path, name: str) -> object:
    """Its checksums made right, as in one that was written by hand."""
    if name == checkpoints.FILE_LIST:
        found = checkpoints.faults(folder)
    else:
        run = resolve_run(forms.flags_of(base, base / "full", "full"), "")
        found = contents.faults(folder, needed_of_checkpoint(run, learner_of(run, read_format(run))))
    if found:
        raise ValueError(listed(found))
    loop_state.restore_random(folder, 0, 1)
    return [(folder / name).read_bytes(), loop_state.schedule_of(folder)]


def prepare_checkpoint(base: Path, folder: Path) -> None:
    shutil.copytree(base / "full/out/checkpoint-2", folder, dirs_exist_ok=True)


def prepare_finished(form: str, base: Path, folder: Path, with_list: bool = False) -> None:
    """Without its list, which would name every file that was changed."""
    for file in (base / form / "out").iterdir():
        if file.is_file() and not file.name.startswith(".") and (with_list or file.name != LIST):
            shutil.copy(file, folder)


def read_finished(base: Path, folder: Path, name: str) -> object:
    solutions = [{"question": "2 + 3?", "steps": ["2 + 3 = 5"]}]
    return [scores.steps for scores in Scorer.load(folder).score(solutions)]


STATES = Reader(
    dict.fromkeys(
        (contents.STATE, contents.TALLY, loop_state.RANDOM, loop_state.SCHEDULE, checkpoints.FILE_LIST),
        mutants.of_json,
    ),
    prepare_checkpoint,
    read_checkpoint,
    is_json,
    other_names=("is missing", "has changed since", "instead of"),  # what its list says of files by their names
)
FORMATS = Reader(
    {"reward_format.json": mutants.of_json},
    partial(prepare_finished, "full"),
    read_finished,
    is_json,
    other_names=("placeholder_token: ", "reward_tokens (", "use_chat_template: ", "(max_seq_len)"),
)
ADAPTERS = Reader(
    {"lora_config.json": mutants.of_json, "lora_base.json": mutants.of_json},
    partial(prepare_finished, "LoRA"),
    read_finished,
    is_json,
    other_names=("for weights other than those now in",),
)
LISTS = Reader(
    {LIST: mutants.of_json},
    partial(prepare_finished, "full", with_list=True),
    read_finished,
    is_json,
)

READERS = {
    "records": RECORDS,
    "dialogues": DIALOGUES,
    "settings": SETTINGS,
    "config.json": CONFIGS,
    "tokenizer.json, tokenizer_config.json": TOKENIZERS,
    "tokenizer.model": PIECES,
    "chat templates": TEMPLATES,
    "safetensors": SAFETENSORS,
    "indexes of weights": INDEXES,
    "pickles": PICKLES,
    "archives": ARCHIVES,
    "states of a checkpoint": STATES,
    "reward_format.json": FORMATS,
    "lora_config.json, lora_base.json": ADAPTERS,
    "finished-model.json": LISTS,
}
