"""This project's side of scoring.py, in a process of its own: the job from stdin as JSON, what was
measured as one JSON line."""

from __future__ import annotations

from llm.core.cpu import environment

if __name__ == "__main__":
    environment.prepare()

import json
import sys
import time

import numpy as np
import paddle
from paddlenlp.transformers import LlamaConfig, LlamaForCausalLM

from llm.benchmark.children import peak_bytes
from llm.core import patches
from llm.core.model import attention
from llm.core.rows.row import Row
from llm.core.text.encoding import Sequence
from llm.scoring import forests


def measure(job: dict) -> dict:
    patches.apply_to_library()
    paddle.set_device("cpu")
    patches.apply_to_models(attention.choose(use_flash_attention=False, flash_mask=False)[0])
    model = LlamaForCausalLM(LlamaConfig(**job["sizes"], tie_word_embeddings=True))
    weights = random_weights(job["sizes"])
    fill(model, weights)
    model.eval()
    head_E2 = paddle.to_tensor(weights["score"].T)
    read = lambda hidden_KE, at_M, next_M: paddle.matmul(hidden_KE, head_E2).gather(at_M)  # noqa: E731
    sequences = [
        Sequence(np.array(ids, "int32"), np.array(scored, "int64"), np.zeros(len(scored), "float32"), prompt_len)
        for ids, scored, prompt_len in job["solutions"]
    ]
    forests.outputs_of(model, read, sequences[:1])
    first = time.time() - job["started"]
    outputs = forests.outputs_of(model, read, sequences)  # a pass in which memory is touched
    passes, begin, seconds = 0, time.perf_counter(), 0.0
    while not passes or seconds < job["seconds"]:
        forests.outputs_of(model, read, sequences)
        passes, seconds = passes + 1, time.perf_counter() - begin
    rows: list[Row] = list(forests.rows_of(sequences))
    return {
        "seconds": seconds / passes,
        "computed": sum(map(len, rows)),
        "first_seconds": first,
        "peak_bytes": peak_bytes(),
        "log_odds": [(z[:, 1] - z[:, 0]).tolist() for z in outputs],
    }


def random_weights(size: dict) -> dict[str, np.ndarray]:
    """By Hugging Face's names, so that the other side can have the same."""
    draw = np.random.default_rng(0)
    hidden, inner = size["hidden_size"], size["intermediate_size"]
    shapes = {"embed_tokens": [size["vocab_size"], hidden], "score": [2, hidden]}
    for layer in range(size["num_hidden_layers"]):
        shapes |= {f"layers.{layer}.self_attn.{name}_proj": [hidden, hidden] for name in "qkvo"}
        shapes |= {f"layers.{layer}.mlp.{name}_proj": [inner, hidden] for name in ("gate", "up")}
        shapes[f"layers.{layer}.mlp.down_proj"] = [hidden, inner]
    return {name: draw.normal(scale=0.05, size=shape).astype("float32") for name, shape in shapes.items()}


def fill(model, weights: dict[str, np.ndarray]) -> None:
    parameters = model.state_dict()
    for name, array in weights.items():
        if name != "score":
            whole = array if name == "embed_tokens" else np.ascontiguousarray(array.T)
            parameters[f"llama.{name}.weight"].set_value(whole)


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
