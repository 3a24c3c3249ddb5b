"""transformers' side of `python -m llm benchmark scoring`: a batched forward on the token ids of a job.

Started by its path in an environment of its own, so it imports nothing of this project. The job comes from stdin as
JSON; what was measured is one JSON line.
"""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaModel


def measure(job: dict) -> dict:
    torch.set_num_threads(job["threads"])
    dtype = getattr(torch, job["dtype"])
    model = LlamaModel(LlamaConfig(**job["sizes"], use_cache=False))
    weights = random_weights(job["sizes"])
    head_2E = torch.tensor(weights.pop("score")).to(dtype)
    model.load_state_dict({f"{name}.weight": torch.tensor(array) for name, array in weights.items()}, strict=False)
    model = model.to(dtype).eval()
    solutions = job["solutions"]
    order = list(range(len(solutions)))
    if job["by_length"]:
        order.sort(key=lambda number: len(solutions[number][0]))
    batches = [order[start : start + job["batch"]] for start in range(0, len(order), job["batch"])]
    score(model, head_2E, solutions, [[0]])
    first = time.time() - job["started"]
    log_odds, computed = score(model, head_2E, solutions, batches)  # a pass in which memory is touched
    passes, begin, seconds = 0, time.perf_counter(), 0.0
    while not passes or seconds < job["seconds"]:
        score(model, head_2E, solutions, batches)
        passes, seconds = passes + 1, time.perf_counter() - begin
    return {
        "seconds": seconds / passes,
        "computed": computed,
        "first_seconds": first,
        "peak_bytes": peak_bytes(),
        "log_odds": [log_odds[number] for number in range(len(solutions))],
    }


@torch.inference_mode()
def score(model, head_2E, solutions: list, batches: list[list[int]]) -> tuple[dict[int, list[float]], int]:
    """({number of a solution: its log-odds}, tokens that were computed)"""
    found, computed = {}, 0
    for batch in batches:
        longest = max(len(solutions[number][0]) for number in batch)
        ids = torch.zeros([len(batch), longest], dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, number in enumerate(batch):
            length = len(solutions[number][0])
            ids[row, :length] = torch.tensor(solutions[number][0])
            mask[row, :length] = 1
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        computed += ids.numel()
        for row, number in enumerate(batch):
            z = (hidden[row, solutions[number][1]] @ head_2E.T).float()
            found[number] = (z[:, 1] - z[:, 0]).tolist()
    return found, computed


def random_weights(size: dict) -> dict[str, np.ndarray]:
    """As llm/benchmark/scoring/scoring_run.py draws them."""
    draw = np.random.default_rng(0)
    hidden, inner = size["hidden_size"], size["intermediate_size"]
    shapes = {"embed_tokens": [size["vocab_size"], hidden], "score": [2, hidden]}
    for layer in range(size["num_hidden_layers"]):
        shapes |= {f"layers.{layer}.self_attn.{name}_proj": [hidden, hidden] for name in "qkvo"}
        shapes |= {f"layers.{layer}.mlp.{name}_proj": [inner, hidden] for name in ("gate", "up")}
        shapes[f"layers.{layer}.mlp.down_proj"] = [hidden, inner]
    return {name: draw.normal(scale=0.05, size=shape).astype("float32") for name, shape in shapes.items()}


def peak_bytes() -> int | None:
    """As llm/benchmark/children.py has it."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found[1]) * 1024 if found else None


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
