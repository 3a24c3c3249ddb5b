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
    prompt: Sequence[int],
    draws: Sequence[np.random.Generator],
    most: int,
    vocabulary: int,
    temperature: float,
    top_p: float,
    has_ended: Callable[[list[int]], bool],
) -> list[list[int]]:
    """The tokens of a text for each of `draws`, at most so many, until `has_ended` says so of them. Temperature 0 takes
    the likeliest token; of the tokens below `vocabulary`, the likeliest that have `top_p` together can be drawn."""
    texts: list[list[int]] = [[] for _ in draws]
    going = set(range(len(texts)))
    cache = Cache(model.config.num_hidden_layers)
    with cache.used():
        logits_BV = np.repeat(_next_logits(model, [list(prompt)], 0)[:, :vocabulary], len(texts), axis=0)
        for position in range(len(prompt), len(prompt) + most):
            for number in going:
                texts[number].append(drawn(logits_BV[number], draws[number], temperature, top_p))
            going -= {number for number in going if has_ended(texts[number])}
            if not going or position == len(prompt) + most - 1:
                break
            logits_BV = _next_logits(model, [[text[-1]] for text in texts], position)[:, :vocabulary]
    return texts


def _next_logits(model, rows: list[list[int]], start: int) -> np.ndarray:
    """[B, V] behind the last token of each row, whose first one is at the position `start`."""
    ids_BS = paddle.to_tensor(rows, dtype="int64")
    positions_BS = paddle.arange(start, start + ids_BS.shape[1]).unsqueeze(0).expand(ids_BS.shape)
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
