"""What each layout of several processes sends and holds in an update: modelled as in docs/scaling.md, and measured."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import paddle

from llm.alignment.dpo import dpo_task
from llm.alignment.rm.flashmask import reward_task
from llm.benchmark.report import ONE, TEXT, WHOLE, progress, show, table
from llm.benchmark.scaling.layouts import LAYOUTS
from llm.core import patches
from llm.core.model.families import FAMILIES
from llm.core.model.sizes import Sizes, sizes_of
from llm.core.paths import REPOSITORY
from llm.core.run.task import Task
from llm.core.settings.parse import parse
from llm.core.settings.settings import Settings
from llm.data.train_tokenizer import train_tokenizer
from llm.estimate import memory as estimate_memory
from llm.estimate import traffic
from llm.estimate.changes import is_accepted
from llm.estimate.plan import Plan, plan_of, planned
from llm.finetune import sft_task

SIZES = {
    "vocab_size": 2048,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}
RUN = {
    "bf16": False,
    "max_seq_len": 512,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 4,
    "max_steps": 2,
    "zero_padding": False,
    "prefix_sharing": False,
    "benchmark": True,
    "report_to": "none",
    "disable_tqdm": True,
    "sharding": "",
}
QUESTION, STEPS = "1 + 1 = ?", ["1 + 1 - 1 + 1 = 2 ки"] * 40
TEXT_OF_STEPS, HALF_OF_STEPS = " ".join(STEPS), " ".join(STEPS[:20])
TASKS: dict[str, tuple[Task, str, dict]] = {  # the module of its script, a record
    "reward": (
        reward_task.TASK,
        "llm.alignment.rm.flashmask.run_reward",
        {"src": [QUESTION], "responses": STEPS, "labels": ["+", "-"] * 20},
    ),
    "sft": (sft_task.TASK, "llm.finetune.run_finetune", {"prompt": f"{QUESTION}\n", "response": TEXT_OF_STEPS}),
    "dpo": (
        dpo_task.TASK,
        "llm.alignment.dpo.run_dpo",
        {"prompt": f"{QUESTION}\n", "chosen": HALF_OF_STEPS, "rejected": f"- {HALF_OF_STEPS}"},
    ),
}
ROWS = 64  # at least as many as the largest layout has in two updates
CHILD = "llm/benchmark/scaling/scaling_run.py"
COLUMNS = {
    "layout": ("layout", TEXT),
    "stage": ("stage", WHOLE),
    "sent_modelled": ("sent, modelled", WHOLE),
    "sent_measured": ("measured", WHOLE),
    "sent_ratio": ("ratio", "{:.3f}"),
    "peak_modelled": ("memory, modelled", ONE),
    "peak_measured": ("measured", ONE),
    "peak_ratio": ("ratio", "{:.3f}"),
}


def main(arguments: argparse.Namespace, set_here: dict[str, str]) -> None:
    patches.apply_to_library()
    common = {
        **RUN,
        "lora": arguments.lora,
        "recompute": bool(arguments.recompute),
        "recompute_granularity": arguments.recompute or "full",
    }
    config = {"model_type": arguments.family, "tie_word_embeddings": arguments.tied, **SIZES}
    sizes = sizes_of(config, "this benchmark")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "model", config, [f"{QUESTION} " + "\n".join(f"{step} ки + -" for step in STEPS)] * 20)
        make_rows(folder / "train.jsonl", arguments.task)
        rows = []
        for layout in arguments.layouts:
            ranks, settings = LAYOUTS[layout]
            if not is_accepted(with_defaults(common | settings, arguments.task).as_dict(), {}, sizes, ranks):
                progress(f"{layout}: left out, training refuses it for this model")
                continue
            progress(f"{layout}: {ranks} processes")
            rows += compare(layout, sizes, folder, common | settings, ranks, arguments.task)
    if not rows:
        raise ValueError("no layout is left to measure")
    show(
        f"{TASKS[arguments.task][0].title}: {arguments.family} of {SIZES['num_hidden_layers']} layers of "
        f"{SIZES['hidden_size']}, float32; an update of "
        f"{RUN['gradient_accumulation_steps']} micro-batches of {RUN['per_device_train_batch_size']} x "
        f"{rows[0]['tokens']} tokens; recompute {arguments.recompute or 'off'}{', adapters' if arguments.lora else ''}",
        table(COLUMNS, rows),
        "sent: thousands of bytes of tensors that a rank hands to its collectives in an update. memory: millions of "
        "bytes of tensors at its peak. Of every stage the rank with most.",
        outcome={"benchmark": "scaling", "task": arguments.task, "config": config, "run": common, "layouts": rows},
    )


def make_model(folder: Path, config: dict, texts: list[str]) -> None:
    """Random weights, and a tokenizer for these texts."""
    train_tokenizer(texts, folder, config["vocab_size"], fewer=True)
    paddle.seed(0)
    causal_lm = FAMILIES[config["model_type"]].causal_lm()
    settings = {name: value for name, value in config.items() if name != "model_type"}
    causal_lm(causal_lm.config_class(**settings)).save_pretrained(str(folder), safe_serialization=True)


def make_rows(file: Path, task: str) -> None:
    """All the same, so that every micro-batch of every layout has the same shape."""
    _, _, record = TASKS[task]
    file.write_text(f"{json.dumps(record)}\n" * ROWS, encoding="utf-8")


def compare(layout: str, sizes: Sizes, folder: Path, settings: dict, ranks: int, task: str) -> Iterator[dict]:
    """A row for each stage."""
    measured = measure(folder, settings, ranks, task)
    [rows, tokens] = measured[0]["shapes"][0]
    plan = modelled_plan(settings, ranks, rows, tokens, task)
    sent, memory = traffic.every_stage(sizes, plan), estimate_memory.every_stage(sizes, plan)
    for stage in range(plan.pipeline):
        of_stage = measured[stage * ranks // plan.pipeline : (stage + 1) * ranks // plan.pipeline]
        # paddle.DataParallel sends in C++, where only what is written is seen: as much, between two ranks
        payload = max(rank["written"] if layout == "data" else sum(rank["payload"].values()) for rank in of_stage)
        peak = max(rank["peak"] for rank in of_stage)
        modelled = sum(traffic.sums(sent[stage]).values()), sum(memory[stage].values())
        yield {
            "layout": layout,
            "stage": stage + 1,
            "tokens": tokens,
            "sent_modelled": modelled[0] / 1e3,
            "sent_measured": payload / 1e3,
            "sent_ratio": modelled[0] / payload,
            "peak_modelled": modelled[1] / 1e6,
            "peak_measured": peak / 1e6,
            "peak_ratio": modelled[1] / peak,
            "kinds_modelled": traffic.sums(sent[stage]),
            "kinds_measured": of_stage[0]["payload"],
            "written": of_stage[0]["written"],
        }


def modelled_plan(settings: dict, ranks: int, rows: int, tokens: int, task: str) -> Plan:
    """Of what runs here: this project's kernel keeps what FlashMask keeps, and gloo sends no parts of a tensor."""
    plan = plan_of(planned(with_defaults(settings, task), TASKS[task][0]), ranks)
    return replace(plan, rows=rows, tokens=tokens, flash_mask=True, partial_sends=False)


def with_defaults(settings: dict, task: str) -> Settings:
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    return parse(TASKS[task][0].classes, [*words, "--model_name_or_path", "-"], "")


def measure(folder: Path, settings: dict, ranks: int, task: str) -> list[dict]:
    """What each rank counted."""
    for result in folder.glob("result.*.json"):
        result.unlink()
    paths = {
        "model_name_or_path": folder / "model",
        "train_dataset_path": folder / "train.jsonl",
        "output_dir": folder / "out",
    }
    config = folder / "config.json"
    config.write_text(json.dumps(settings | {name: str(path) for name, path in paths.items()}), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "paddle.distributed.launch",
        "--nproc_per_node",
        str(ranks),
        "--log_dir",
        str(folder / "logs"),
        str(REPOSITORY / CHILD),
        str(config),
        str(folder / "result"),
        TASKS[task][1],
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    results = [folder / f"result.{rank}.json" for rank in range(ranks)]
    if not all(result.is_file() for result in results):
        raise ValueError(f"{' '.join(command[1:5])} ended with exit code {done.returncode}:\n{done.stdout[-3000:]}")
    return [json.loads(result.read_text(encoding="utf-8")) for result in results]
