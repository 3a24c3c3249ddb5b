"""Keys and values of earlier tokens, so that a model which writes a text computes every token once.

`attention.py` asks here in every layer; nothing changes but within `Cache.used()`. One prompt comes first, then one
token of each text at a time.

Legend of the shapes: B texts, L tokens so far, H query heads, G key/value heads, R = H / G, D features of a head.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import paddle
import paddle.nn.functional as F

_current: ContextVar[Cache | None] = ContextVar("cache", default=None)


def attend(attention: Callable, q_BSHD, k_BSGD, v_BSGD, end_row_BS):
    cache = _current.get()
    if cache is None:
        return attention(q_BSHD, k_BSGD, v_BSGD, end_row_BS)
    return cache.attend(attention, q_BSHD, k_BSGD, v_BSGD, end_row_BS)


class Cache:
    def __init__(self, layers: int):
        self._known: list[tuple[Any, Any]] = []  # of each layer: keys and values [B, L, G, D]
        self._layers, self._next = layers, 0

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def attend(self, attention: Callable, q_BSHD, k_BSGD, v_BSGD, end_row_BS):
        """[B, S, H * D]. Layers are called in their order."""
        if len(self._known) < self._layers:
            self._known.append((k_BSGD, v_BSGD))
            return attention(q_BSHD, k_BSGD, v_BSGD, end_row_BS)
        layer, self._next = self._next, (self._next + 1) % self._layers
        texts = q_BSHD.shape[0]
        k, v = (
            paddle.concat([old if len(old) == texts else old.expand([texts, *old.shape[1:]]), new], axis=1)
            for old, new in zip(self._known[layer], (k_BSGD, v_BSGD), strict=True)
        )
        self._known[layer] = k, v
        return _of_one_token(q_BSHD, k, v)


def _of_one_token(q_B1HD, k_BLGD, v_BLGD):
    """It sees all that is before it. The query heads of a group are consecutive."""
    batch, _, heads, head_dim = q_B1HD.shape
    groups = k_BLGD.shape[2]
    q_BGRD = q_B1HD.reshape([batch, groups, heads // groups, head_dim]) * (1.0 / math.sqrt(head_dim))
    weights_BGRL = F.softmax(paddle.matmul(q_BGRD, k_BLGD.transpose([0, 2, 3, 1])).astype("float32"), axis=-1)
    out_BGRD = paddle.matmul(weights_BGRL.astype(v_BLGD.dtype), v_BLGD.transpose([0, 2, 1, 3]))
    return out_BGRD.reshape([batch, 1, heads * head_dim])
