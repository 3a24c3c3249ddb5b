"""Training speed and memory of each packing and of LoRA, and where the time of an update goes."""

from __future__ import annotations

import argparse
import sys

from llm.benchmark import children, examples, model
from llm.benchmark.report import ONE, SHARE, TEXT, TIMES, TWO, WHOLE, describe, megabytes, progress, show, table
from llm.benchmark.training.training_run import job_of

VARIANTS = {packing: {"packing": packing} for packing in examples.PACKINGS}
LORA = "forest, LoRA"
CHILD = [sys.executable, "-m", "llm.benchmark.training.training_run"]
SPEED = {
    "packing": ("packing", TEXT),
    "solutions_per_second": ("solutions/s", ONE),
    "tokens_per_second": ("computed tokens/s", WHOLE),
    "computed": ("computed tokens", WHOLE),
    "faster": ("as fast as padded", TIMES),
    "peak_megabytes": ("peak MB", WHOLE),
    "seconds": ("seconds", TWO),
    "floor_seconds": ("floor", TWO),
    "floor_share": ("floor/seconds", SHARE),
    "trained": ("trained weights", WHOLE),
    "first_loss": ("first loss", "{:.5f}"),
}
PARTS = {
    "packing": ("of an update's time", TEXT),
    "matrices": ("matrices", SHARE),
    "attention": ("attention", SHARE),
    "layers": ("norm, rotary, activation", SHARE),
    "optimizer": ("optimiser", SHARE),
    "rest": ("rest", SHARE),
}


def main(arguments: argparse.Namespace, set_here: dict[str, str]) -> None:
    solutions = examples.read(arguments)
    size = model.sizes(arguments, solutions.tokenizer)
    job = job_of(solutions, size, arguments.update, arguments.max_seq_len, arguments.seconds)
    variants = VARIANTS | {LORA: {"packing": "forest", "lora_rank": arguments.lora_rank}}
    results = run_rounds(job, variants, arguments.rounds)
    rate = max(result["matrix_rate"] for runs in results.values() for result in runs if "matrix_rate" in result)
    rows = [figures(variant, runs, len(solutions.sequences), rate) for variant, runs in results.items()]
    for row in rows:
        row["faster"] = rows[0]["seconds"] / row["seconds"]
    any_run = results["forest"][0]
    show(
        "\n".join([*solutions.about, describe(set_here), *describe_model(any_run, size)]),
        table(SPEED, rows),
        table(PARTS, rows),
        f"{LORA}: adapters of rank {arguments.lora_rank} on frozen weights, as with lora true.",
        f"seconds: a pass over the solutions in {any_run['updates']} updates, the best of {arguments.rounds} rounds in "
        "which the packings take turns, each in a process of its own. floor: the multiply-adds of the pass at "
        f"{rate / 1e9:,.0f} billion a second, which is how fast this machine multiplies the model's own shapes.",
        outcome={
            "benchmark": "training",
            "solutions": len(solutions.sequences),
            "updates": any_run["updates"],
            "parameters": any_run["parameters"],
            "sizes": size,
            "attention": any_run["attention"],
            "lora_rank": arguments.lora_rank,
            "multiply_adds_per_second": rate,
            "packings": {row.pop("packing"): row for row in rows},
        },
    )


def run_rounds(job: dict, variants: dict[str, dict], rounds: int) -> dict[str, list[dict]]:
    results: dict[str, list[dict]] = {variant: [] for variant in variants}
    for number in range(1, rounds + 1):
        for variant, runs in results.items():
            progress(f"round {number} of {rounds}: {variant}")
            runs.append(children.run(CHILD, {**job, **variants[variant], "profile": number == rounds}))
    return results


def figures(variant: str, runs: list[dict], solutions: int, rate: float) -> dict:
    best = min(runs, key=lambda run: run["seconds"])
    floor = best["multiply_adds"] / rate
    return {
        "packing": variant,
        "solutions_per_second": solutions / best["seconds"],
        "tokens_per_second": best["computed"] / best["seconds"],
        "computed": best["computed"],
        "seconds": best["seconds"],
        "seconds_of_rounds": [run["seconds"] for run in runs],
        "floor_seconds": floor,
        "floor_share": floor / best["seconds"],
        "peak_megabytes": megabytes(max(run["peak_bytes"] or 0 for run in runs) or None),
        "trained": best["trained"],
        "first_loss": best["first_loss"],
        **runs[-1]["parts"],
    }


def describe_model(run: dict, size: dict[str, int]) -> list[str]:
    return [
        f"model: Llama of {run['parameters']:,} parameters, random: {size['num_hidden_layers']} layers of "
        f"{size['hidden_size']} ({size['intermediate_size']}), {size['num_attention_heads']} heads, vocabulary "
        f"{size['vocab_size']:,}, embedding and head one matrix; float32, AdamW, gradients clipped",
        f"attention: {run['attention']}",
    ]
