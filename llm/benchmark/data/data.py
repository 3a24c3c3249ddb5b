"""How long it takes to check, convert and tokenize many records, and until a training on them begins."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import islice
from pathlib import Path

from llm.benchmark.data.watch import Watched, watch
from llm.benchmark.report import ONE, TEXT, TWO, WHOLE, megabytes, progress, show, table
from llm.benchmark.scaling.scaling import make_model
from llm.core import patches
from llm.data.generate_arithmetic import records, right_solutions, write

VERBS = [sys.executable, "-m", "llm"]
SIZES = {
    "vocab_size": 896,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
SOLUTIONS = 4  # of a problem
TOKENIZER_PROBLEMS = 2000
RUN = {
    "bf16": False,
    "max_seq_len": 4096,
    "max_prompt_len": 2048,
    "max_steps": 1,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
}
DESCRIBED, BEGINS = "training data:", "train:"  # on the screen when the data is read, and when the first update begins
COLUMNS = {
    "job": ("job", TEXT),
    "records_per_second": ("records/s", WHOLE),
    "records_per_cpu_second": ("records/CPU s", WHOLE),
    "seconds": ("seconds", ONE),
    "cpu_seconds": ("CPU seconds", ONE),
    "peak_mb": ("peak MB", WHOLE),
    "first_output": ("first output", TWO),
}


def main(arguments: argparse.Namespace, set_here: dict[str, str]) -> None:
    patches.apply_to_library()
    count = arguments.records
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        progress(f"writing {count:,} records")
        size = write(
            folder / "records.jsonl", islice(records(-(-count // SOLUTIONS), solutions_per_problem=SOLUTIONS), count)
        )
        make_model(folder / "model", {"model_type": "llama", "tie_word_embeddings": False, **SIZES}, texts())
        rows = measure(folder, count)
        megabytes_read = (folder / "records.jsonl").stat().st_size / 1e6
    show(
        f"{size:,} generated records, {megabytes_read:,.0f} MB",
        table(COLUMNS, rows),
        "CPU seconds: of all processes of the command. peak MB: of all processes together, shared pages once. first "
        "output: seconds until a terminal shows anything. reading: of a training, until its data is read, encoded and "
        "packed. second start: of a training with cache_dir, until its first update begins.",
        outcome={"benchmark": "data", "records": count, "megabytes": megabytes_read, "jobs": rows},
    )


def texts() -> list[str]:
    """For a tokenizer that has the marks as pieces."""
    solved = right_solutions(TOKENIZER_PROBLEMS)
    return [f"{question} " + "\n".join(f"{step} ки + -" for step in steps) for question, steps in solved]


def measure(folder: Path, count: int) -> list[dict]:
    data, other, cache = folder / "records.jsonl", folder / "other.jsonl", folder / "cache"
    paths = {"model_name_or_path": folder / "model", "train_dataset_path": data, "output_dir": folder / "out"}
    config = folder / "config.json"
    config.write_text(json.dumps(RUN | {name: str(path) for name, path in paths.items()}), encoding="utf-8")
    commands = {
        "check": ["check", data],
        "check with a tokenizer": ["check", data, "--tokenizer", folder / "model"],
        "convert to math-shepherd": ["convert", data, "--to", "math-shepherd", "--output", other],
        "convert from math-shepherd": ["convert", other, "--output", folder / "again.jsonl"],
        "tokenize": ["tokenize", config, "--cache_dir", cache],
    }
    rows = []
    for job, words in commands.items():
        found = run(job, words)
        rows.append(row(job, count, found, found.seconds, found.cpu_seconds))
    for job, text, words in (
        ("training, reading", DESCRIBED, ["train", config]),
        ("training, second start", BEGINS, ["train", config, "--cache_dir", cache, "--overwrite_output_dir", "true"]),
    ):
        found = run(job, words, (text,))
        rows.append(row(job, count, found, *found.at[text]))
    return rows


def run(job: str, words: list, texts: tuple[str, ...] = ()) -> Watched:
    progress(job)
    return watch([*VERBS, *map(str, words)], texts)


def row(job: str, count: int, found: Watched, seconds: float, cpu_seconds: float | None) -> dict:
    return {
        "job": job,
        "records_per_second": count / seconds,
        "records_per_cpu_second": cpu_seconds and count / cpu_seconds,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mb": megabytes(found.peak_bytes),
        "first_output": found.first_output,
    }
