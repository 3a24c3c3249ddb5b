"""Every comparison with TRL and transformers, one after the other, and their results on one page with a picture."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from llm.benchmark.all.page import PRECISIONS, write_page
from llm.benchmark.answers.workloads import WORKLOADS
from llm.benchmark.arguments import MODEL_SIZES
from llm.benchmark.report import ONE, SHARE, TEXT, TIMES, WHOLE, progress, show, table
from llm.core.cpu.processor import describe_processor
from llm.core.files import read_json, write_json

CANDIDATES = 64
COLUMNS = {
    "workload": ("workload", TEXT),
    "solutions_per_second": ("solutions/s", ONE),
    "peak_megabytes": ("MB", WHOLE),
    "floor_share": ("floor/seconds", SHARE),
    "float32_ratio": ("as fast as its float32", TIMES),
    "float32_megabytes": ("MB", WHOLE),
    "bfloat16_ratio": ("as fast as its bfloat16", TIMES),
    "bfloat16_megabytes": ("MB", WHOLE),
}


def main(arguments: argparse.Namespace, set_here: dict[str, str]) -> None:
    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    common = ["--rounds", str(arguments.rounds), "--seconds", f"{arguments.seconds:g}"]
    common += [flag for name in MODEL_SIZES for flag in (f"--{name}", str(getattr(arguments, name)))]
    if arguments.float32_only:
        common.append("--float32_only")
    machine, rows = describe_processor(), []
    for name, argv in workloads(arguments).items():
        rows.append(row_of(name, outcome_of(folder, name, [*argv, *common])))
        write_page(folder, machine, table(COLUMNS, rows), rows)
    show(
        machine,
        table(COLUMNS, rows),
        "solutions/s and MB are this project's, which computes in float32. as fast as: its solutions/s / those of the "
        "fastest way of TRL (of transformers, where solutions are scored) in that precision, followed by the peak "
        f"memory of that way. Also written: {folder}/results.html, results.svg, and one .json for each workload.",
        outcome={"benchmark": "all", "machine": machine, "workloads": rows},
    )


def workloads(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """{name: arguments of python -m llm benchmark}"""
    solutions = str(arguments.solutions)
    found = {}
    for data in arguments.DATA:
        found[f"train {Path(data).stem}"] = ["peer", data, "--solutions", solutions]
        found[f"score {Path(data).stem}"] = ["scoring", data, "--solutions", solutions]
    found[f"score {CANDIDATES} candidates"] = ["scoring", "--candidates", str(CANDIDATES)]
    for name, workload in WORKLOADS.items():
        title = f"DPO {name}" if workload.task == "dpo" else name.replace("sft", "SFT").replace("-", " ")
        prompts = str(workload.of_update * arguments.updates)
        found[title] = ["answers", "--workload", name, "--prompts", prompts]
    return found


def outcome_of(folder: Path, name: str, argv: list[str]) -> dict[str, Any]:
    """Measured once: what is there already, of the same arguments, is read."""
    file = folder / f"{name.replace(' ', '-')}.json"
    if file.is_file() and (kept := read_json(file))["arguments"] == argv:
        progress(f"{name}: {file} has it")
        return kept["outcome"]
    progress(f"{name}: python -m llm benchmark {' '.join(argv)}")
    done = subprocess.run([sys.executable, "-m", "llm", "benchmark", *argv], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ValueError(f"python -m llm benchmark {' '.join(argv)} ended with {done.returncode}; its output is above")
    outcome = json.loads(done.stdout.splitlines()[-1])
    write_json(file, {"arguments": argv, "outcome": outcome})
    return outcome


def row_of(name: str, outcome: dict[str, Any]) -> dict[str, Any]:
    (ours, *others) = (outcome.get("trainers") or outcome["scorers"]).items()
    row = {"workload": name, "floor_share": None, **ours[1]}
    for precision in PRECISIONS:
        ways = [way for title, way in others if precision in title]
        fastest = min(ways, key=lambda way: way["seconds"], default={"ratio": None, "peak_megabytes": None})
        row |= {f"{precision}_ratio": fastest["ratio"], f"{precision}_megabytes": fastest["peak_megabytes"]}
    return {key: row[key] for key in COLUMNS}
