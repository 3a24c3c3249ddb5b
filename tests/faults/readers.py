"""What reads files of others, with files that it can read and the ways to change them. The folder `base` has the tiny
model and the runs of forms.py."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

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
from llm.core.records.records import read_records
from llm.core.run.work import needed_of_checkpoint
from llm.core.text.load_tokenizer import load_tokenizer
from llm.scoring import calibration
from llm.scoring.scorer import Scorer
from tests import factories
from tests.faults import forms, mutants
from tests.faults.readers_of_data import ARCHIVES, DIALOGUES, RECORDS, SETTINGS, Reader, is_json

TEMPLATE = (
    "{{ bos_token }}{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{{ '[' ~ m['role'] | upper ~ ']' + m.content.strip() }}{% if not loop.last %}, {% endif %}{% endfor %}"
    "{{ messages | map(attribute='role') | join(',') }}{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(ns.n) }}"
)


OF_TOKENS = "placeholder_token: ", "reward_tokens ("  # settings whose tokens a changed tokenizer has no longer
FITTED = calibration.Calibration("platt", 0.5, -0.25, "crc32 0", "ours")


# ---- models


def digest(*arrays: Any) -> str:
    value = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        value.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())
    return value.hexdigest()


def read_model(base: Path, folder: Path, name: str) -> object:
    model = patches.load_model(str(folder), config_module.load_config(str(folder)), block_attention, "float32")
    row = [3, 1, 4, 1, 5][: config_module.read_sizes(str(folder)).longest_solution]  # as scoring refuses longer ones
    with paddle.no_grad():
        positions, ends = paddle.to_tensor([list(range(len(row)))]), paddle.to_tensor([[len(row)] * len(row)], "int32")
        hidden = forward.hidden_states(model, paddle.to_tensor([row]), positions, ends)
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
    other_names=OF_TOKENS,
)
PIECES = Reader({"tokenizer.model": mutants.of_bytes}, prepare_pieces, read_tokenizer, other_names=OF_TOKENS)
TEMPLATES = Reader(
    {"chat_template.jinja": mutants.of_template},
    prepare_template,
    partial(read_tokenizer, use_chat_template=True),
    other_names=("use_chat_template", "chat template"),
)

# ---- what runs leave


@cache
def needed(base: Path) -> contents.Needed:
    run = resolve_run(forms.flags_of(base, base / "full", "full"), "")
    return needed_of_checkpoint(run, learner_of(run, read_format(run)))


def read_checkpoint(base: Path, folder: Path, name: str) -> object:
    """Its checksums made right, as in one that was written by hand."""
    if name == checkpoints.FILE_LIST:
        found = checkpoints.faults(folder)
    else:
        found = contents.faults(folder, needed(base))
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
    other_names=(*OF_TOKENS, "use_chat_template: ", "(max_seq_len)"),
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

CALIBRATIONS = Reader(
    {calibration.FILE: mutants.of_json},
    lambda base, folder: calibration.save(FITTED, folder, {"fitted on": 40, "before": {"ece": 0.125, "loss": 0.5}}),
    lambda base, folder, name: calibration.load(folder, FITTED.weights, FITTED.convention),
    lambda name, content: False,  # it has a checksum of its own
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
    "calibration.json": CALIBRATIONS,
}
