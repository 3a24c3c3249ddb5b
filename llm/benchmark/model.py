"""The model that benchmarks train: a Llama of chosen sizes with random weights, and what a step of it multiplies."""

from __future__ import annotations

import argparse
import time

import numpy as np
import paddle
from paddle.profiler import RecordEvent
from paddlenlp.transformers import LlamaConfig, LlamaForCausalLM
from paddlenlp.transformers.llama import modeling

from llm.alignment.rm.flashmask.reward_model import as_reward_model
from llm.core import patches
from llm.core.model import attention
from llm.core.rows.row import Row
from llm.core.text.reward_tokens import RewardTokens

REPETITIONS = 5
# forward, gradient of the input, gradient of the weight
PRODUCTS = 3


def sizes(arguments: argparse.Namespace, tokenizer, max_position_embeddings: int | None = None) -> dict[str, int]:
    """The configuration under the names that PaddleNLP and transformers share."""
    hidden_size, heads = arguments.hidden_size, arguments.num_attention_heads
    if hidden_size % heads or hidden_size // heads % 2:
        raise ValueError(f"--hidden_size {hidden_size}: --num_attention_heads {heads} must divide it into even sizes.")
    if len(tokenizer) > arguments.vocab_size:
        raise ValueError(
            f"--vocab_size {arguments.vocab_size}: the tokenizer has {len(tokenizer)} pieces; give at least as many."
        )
    return {
        "vocab_size": arguments.vocab_size,
        "hidden_size": hidden_size,
        "intermediate_size": arguments.intermediate_size,
        "num_hidden_layers": arguments.num_hidden_layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": max_position_embeddings or arguments.max_seq_len,
    }


def random_reward_model(size: dict[str, int], tokens: RewardTokens):
    """(model, which attention it has). The parts that a profile distinguishes are marked for it."""
    attend, why = attention.choose(use_flash_attention=False, flash_mask=False)
    patches.apply_to_models(_marked("attention", attend))
    for name in ("swiglu", "apply_rotary_pos_emb"):
        setattr(modeling, name, _marked("layers", getattr(modeling, name)))
    paddle.seed(0)
    model = LlamaForCausalLM(LlamaConfig(**size, tie_word_embeddings=True))
    return as_reward_model(model, tokens), why


def _marked(name: str, function):
    def call(*arguments, **options):
        with RecordEvent(name):
            return function(*arguments, **options)

    return call


def multiply_adds(size: dict[str, int], rows: list[Row], computed: int, lora_rank: int | None = None) -> int:
    """Of a forward and a backward pass: of the layers' matrices for every token that is computed, padding included,
    and of attention for every pair that attends, which are as many for a token as it has positions up to its own.
    With adapters the matrices have no gradients of their own, and the first layer's input, which is frozen, has
    none either."""
    layers, hidden_size = size["num_hidden_layers"], size["hidden_size"]
    pairs = sum(int(row.positions.sum(dtype="int64")) + len(row) for row in rows)
    matrices = PRODUCTS * sum(count * inner * outer for inner, outer, count in _matrices(size))
    without_gradient = 0
    if lora_rank:
        matrices = sum(
            count * ((PRODUCTS - 1) * inner * outer + PRODUCTS * lora_rank * (inner + outer))
            for inner, outer, count in _matrices(size)
        )
        without_gradient = 3 * hidden_size * (hidden_size + lora_rank)  # of queries, keys and values
    # scores and mixture of values forward; backward the gradients of queries, keys, weights and values
    attention_products = PRODUCTS * 2 * pairs * hidden_size
    return layers * (computed * matrices + attention_products) - computed * without_gradient


def _matrices(size: dict[str, int]) -> list[tuple[int, int, int]]:
    """(inner, outer, how many) of a layer."""
    hidden_size, intermediate_size = size["hidden_size"], size["intermediate_size"]
    return [(hidden_size, hidden_size, 4), (hidden_size, intermediate_size, 2), (intermediate_size, hidden_size, 1)]


def matrix_rate(size: dict[str, int], tokens: int) -> float:
    """Multiply-adds a second of the layers' own products with so many tokens, each at its best of some repetitions."""
    total, seconds = 0, 0.0
    for inner, outer, count in _matrices(size):
        x, weight, upstream = (paddle.randn(shape) for shape in ([tokens, inner], [inner, outer], [tokens, outer]))
        for left, right, turn in (
            (x, weight, {}),
            (upstream, weight, {"transpose_y": True}),
            (x, upstream, {"transpose_x": True}),
        ):
            times = []
            for _ in range(REPETITIONS):
                begin = time.perf_counter()
                paddle.matmul(left, right, **turn)
                times.append(time.perf_counter() - begin)
            total += count * tokens * inner * outer
            seconds += count * float(np.min(times))
    return total / seconds
