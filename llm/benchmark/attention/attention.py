"""Time of a forward and a backward pass of attention, by length and number of documents: this project's compiled kernel
against the same attention in Paddle's operations."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import paddle

from llm.benchmark import children
from llm.benchmark.report import ONE, TEXT, TIMES, WHOLE, Columns, describe, megabytes, progress, show, table
from llm.core.cpu.kernels.build import kernels
from llm.core.model import attention

CHILD = [sys.executable, "-m", "llm.benchmark.attention.attention_memory"]
VARIANTS = {
    "kernel": attention.kernel_attention,
    "block": attention.block_attention,
    "dense": attention.dense_attention,
}
BRANCHES, DEPTH = 4, 3  # of the tree: a stem, 4 branches, 16 twigs


def main(arguments: argparse.Namespace, set_here: dict[str, str]) -> None:
    paddle.set_device("cpu")
    library, why_not = kernels()
    variants = [name for name in VARIANTS if library is not None or name != "kernel"]
    rows = [
        measure(case, length, end_row, variants, arguments)
        for length in arguments.lengths
        for case, end_row in masks(length, arguments.documents)
    ]
    show(
        "\n".join(
            [
                f"one row, {arguments.heads} heads of {arguments.head_dim}, float32, forward and backward",
                describe(set_here),
                *([] if library else [f"the compiled kernel is not compared: {why_not}"]),
            ]
        ),
        table(columns(variants, arguments.memory), rows),
        f"pairs: a token and one that it attends to. milliseconds: the best of {arguments.repetitions} "
        "repetitions, the variants taking turns."
        + (" MB: what the pass needs in addition to its inputs, at its peak." if arguments.memory else ""),
        outcome={
            "benchmark": "attention",
            "heads": arguments.heads,
            "head_dim": arguments.head_dim,
            "kernel": library is not None,
            "rows": rows,
        },
    )


def columns(variants: list[str], memory: bool) -> Columns:
    chosen: Columns = {"tokens": ("tokens", WHOLE), "mask": ("mask", TEXT), "pairs": ("pairs", WHOLE)}
    chosen |= {f"{name}_ms": (f"{name} ms", ONE) for name in variants}
    chosen |= {f"{name}_ratio": (f"{name} / {variants[0]}", TIMES) for name in variants[1:]}
    return chosen | ({f"{name}_mb": (f"{name} MB", ONE) for name in variants} if memory else {})


def masks(length: int, documents: list[int]) -> list[tuple[str, np.ndarray]]:
    """(name, end_row [S]) of rows of so many documents of like length, and of one tree."""
    cases = []
    for count in documents:
        ends = np.arange(1, count + 1) * length // count
        cases.append((f"{count} documents" if count > 1 else "1 document", np.repeat(ends, np.diff(ends, prepend=0))))
    return [*cases, ("a tree", tree(length))]


def tree(length: int) -> np.ndarray:
    """end_row of a stem that ends in branches that are such trees themselves, with an equal part of the tokens each."""
    end_row = np.empty(length, "int64")

    def grow(start: int, end: int, depth: int) -> None:
        stem = start + (end - start) // (BRANCHES + 1) if depth > 1 else end
        end_row[start:stem] = end
        edges = np.linspace(stem, end, BRANCHES + 1).astype(int).tolist() if stem < end else []
        for left, right in zip(edges, edges[1:], strict=False):
            grow(left, right, depth - 1)

    grow(0, length, DEPTH)
    return end_row


def measure(case: str, length: int, end_row: np.ndarray, variants: list[str], arguments: argparse.Namespace) -> dict:
    progress(f"{length} tokens, {case}")
    turns = {name: turn(name, end_row, arguments.heads, arguments.head_dim) for name in variants}
    seconds = {name: float("inf") for name in variants}
    for repetition in range(arguments.repetitions + 1):
        for name, run in turns.items():
            begin = time.perf_counter()
            run()
            if repetition:  # the first one is for warming up
                seconds[name] = min(seconds[name], time.perf_counter() - begin)
    row = {"tokens": length, "mask": case, "pairs": int((end_row - np.arange(length)).sum())}
    row |= {f"{name}_ms": seconds[name] * 1e3 for name in variants}
    row |= {f"{name}_ratio": seconds[name] / seconds[variants[0]] for name in variants[1:]}
    for name in variants if arguments.memory else []:
        job = {"variant": name, "end_row": end_row.tolist(), "heads": arguments.heads, "head_dim": arguments.head_dim}
        row[f"{name}_mb"] = megabytes(children.run(CHILD, job)["extra_bytes"])
    return row


def turn(name: str, end_row: np.ndarray, heads: int, head_dim: int) -> Callable[[], None]:
    """One forward and backward pass of a variant over the same random inputs."""
    paddle.seed(0)
    shape = [1, len(end_row), heads, head_dim]
    inputs = [paddle.randn(shape) for _ in range(3)]
    upstream = paddle.randn([1, len(end_row), heads * head_dim])
    end_row_BS = paddle.to_tensor(end_row[None].astype("int32"))
    for tensor in inputs:
        tensor.stop_gradient = False

    def run() -> None:
        VARIANTS[name](*inputs, end_row_BS).backward(upstream)
        for tensor in inputs:
            tensor.clear_gradient()

    return run
