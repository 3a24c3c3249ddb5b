"""Texts that a causal LM writes: sampled, several to a prompt at a time, each from a seed of its own.

Legend of the shapes: B texts, P tokens of the prompt, E hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import paddle
from paddle import nn

from llm.core.model.forward import hidden_states
from llm.core.model.head import heads
from llm.core.model.head.chunked_logsumexp import logits_of
from llm.core.model.kv_cache import Cache


class WholeTables(nn.Layer):
    """The cosines and sines of all positions, whatever length a row has: a row of one token may be anywhere."""

    def __init__(self, tables: nn.Layer, positions: int):
        super().__init__()
        self.tables, self.positions = tables, positions

    def forward(self, x, seq_len=None):
        return self.tables(x, seq_len=self.positions)


def prepare(model, positions: int) -> None:
    """A model that is to write texts of up to so many tokens."""
    layers = [layer for layer in model.sublayers() if hasattr(layer, "rotary_emb")]
    tables = WholeTables(layers[0].rotary_emb, positions)
    for layer in layers:
        layer.rotary_emb = tables
    model.eval()


@paddle.no_grad()
def sample(
    model,
    prompts: Sequence[Sequence[int]],
    draws: Sequence[np.random.Generator],
    most: Sequence[int],
    vocabulary: int,
    temperature: float,
    top_p: float,
    has_ended: Callable[[list[int]], bool],
) -> list[list[int]]:
    """The tokens of a text behind each of `prompts`, at most as many as `most` has for it, until `has_ended` says so of
    them. Temperature 0 takes the likeliest token; of the tokens below `vocabulary`, the likeliest that have `top_p`
    together can be drawn."""
    texts: list[list[int]] = [[] for _ in prompts]
    going = list(range(len(texts)))  # whose keys and values the cache has
    cache, logits_BV = _begun(model, prompts)
    while True:
        for logits_V, number in zip(logits_BV[:, :vocabulary], going, strict=True):
            texts[number].append(drawn(logits_V, draws[number], temperature, top_p))
        kept = [
            place
            for place, number in enumerate(going)
            if len(texts[number]) < most[number] and not has_ended(texts[number])
        ]
        if not kept:
            return texts
        if len(kept) < len(going):
            cache.keep(kept)
            going = [going[place] for place in kept]
        starts = [len(prompts[number]) + len(texts[number]) - 1 for number in going]
        with cache.used():
            logits_BV = _next_logits(model, [[texts[number][-1]] for number in going], starts)


def _begun(model, prompts: Sequence[Sequence[int]]) -> tuple[Cache, np.ndarray]:
    """What is kept of the prompts, each computed once, and [B, V] behind them."""
    number_of = {prompt: number for number, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
    caches, logits = [], []
    for prompt in number_of:
        cache = Cache(model.config.num_hidden_layers)
        with cache.used():
            logits.append(_next_logits(model, [list(prompt)], [0]))
        caches.append(cache)
    which = [number_of[tuple(prompt)] for prompt in prompts]
    return Cache.of_texts(caches, which), np.concatenate(logits)[which]


def _next_logits(model, rows: list[list[int]], starts: list[int]) -> np.ndarray:
    """[B, V] behind the last token of each row, whose first one is at its start."""
    ids_BS = paddle.to_tensor(rows, dtype="int64")
    positions_BS = paddle.to_tensor(starts, dtype="int64").unsqueeze(1) + paddle.arange(ids_BS.shape[1])
    end_row_BS = paddle.full(ids_BS.shape, ids_BS.shape[1], dtype="int32")
    hidden_BE = hidden_states(model, ids_BS, positions_BS, end_row_BS)[:, -1]
    return logits_of(hidden_BE, model.lm_head.weight, heads.is_tied(model)).numpy()


def drawn(logits_V: np.ndarray, draw: np.random.Generator, temperature: float, top_p: float) -> int:
    if not temperature:
        return int(logits_V.argmax())
    scaled_V = logits_V.astype("float64") / temperature
    p_V = np.exp(scaled_V - scaled_V.max())
    order_V = np.argsort(-p_V, kind="stable")
    sums_V = np.cumsum(p_V[order_V])
    kept = int(np.searchsorted(sums_V, top_p * sums_V[-1])) + 1
    place = np.searchsorted(sums_V[:kept], draw.random() * sums_V[:kept][-1], side="right")
    return int(order_V[min(int(place), kept - 1)])
