"""Keys and values of earlier tokens, so that a model which writes a text computes every token once.

`attention.py` asks here in every layer; nothing changes but within `Cache.used()`. Each prompt comes first, by itself,
then one token of each text at a time. Texts of prompts of different lengths are computed together: before a shorter
prompt there are columns that its texts do not see.

Legend of the shapes: B texts, P columns of the prompts, L columns so far, H query heads, G key/value heads, R = H / G,
D features of a head.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
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
    """Of a prompt, at first with nothing, or of texts."""

    def __init__(self, layers: int):
        self._known: list[tuple[Any, Any]] = []  # of each layer: keys and values [B, L, G, D]
        self._unseen_BL: Any = None  # 0, or minus infinity in the columns before a prompt; None where there are none
        self._layers, self._next = layers, 0

    @classmethod
    def of_texts(cls, prompts: Sequence[Cache], which: list[int]) -> Cache:
        """For texts, each behind the one of `prompts` that `which` says."""
        cache = cls(prompts[0]._layers)
        lengths = [prompt._known[0][0].shape[1] for prompt in prompts]
        before = [max(lengths) - length for length in lengths]
        for layer in range(cache._layers):
            both = (
                [_behind(blank, one._known[layer][kind]) for blank, one in zip(before, prompts, strict=True)]
                for kind in (0, 1)
            )
            k, v = (paddle.concat(each)[paddle.to_tensor(which)] for each in both)
            cache._known.append((k, v))
        if any(before):
            is_unseen = [[column < before[prompt] for column in range(max(lengths))] for prompt in which]
            cache._unseen_BL = paddle.to_tensor(is_unseen).astype("float32") * -1e30
        return cache

    def keep(self, texts: list[int]) -> None:
        """No others, in this order."""
        chosen = paddle.to_tensor(texts)
        self._known = [(k[chosen], v[chosen]) for k, v in self._known]
        if self._unseen_BL is not None:
            self._unseen_BL = self._unseen_BL[chosen]

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
        k, v = (paddle.concat(both, axis=1) for both in zip(self._known[layer], (k_BSGD, v_BSGD), strict=True))
        self._known[layer] = k, v
        if self._unseen_BL is not None and layer == 0:  # the new column is seen
            self._unseen_BL = F.pad(self._unseen_BL, [0, 0, 0, 1])
        return _of_one_token(q_BSHD, k, v, self._unseen_BL)


def _behind(blank: int, keys_1PGD):
    """Behind so many blank columns."""
    if not blank:
        return keys_1PGD
    _, _, groups, head_dim = keys_1PGD.shape
    return paddle.concat([paddle.zeros([1, blank, groups, head_dim], keys_1PGD.dtype), keys_1PGD], axis=1)


def _of_one_token(q_B1HD, k_BLGD, v_BLGD, unseen_BL):
    """It sees all that is before it, but for columns before its prompt. The query heads of a group are consecutive."""
    batch, _, heads, head_dim = q_B1HD.shape
    groups = k_BLGD.shape[2]
    q_BGRD = q_B1HD.reshape([batch, groups, heads // groups, head_dim]) * (1.0 / math.sqrt(head_dim))
    logits_BGRL = paddle.matmul(q_BGRD, k_BLGD.transpose([0, 2, 3, 1])).astype("float32")
    if unseen_BL is not None:
        logits_BGRL += unseen_BL.unsqueeze([1, 2])
    out_BGRD = paddle.matmul(F.softmax(logits_BGRL, axis=-1).astype(v_BLGD.dtype), v_BLGD.transpose([0, 2, 1, 3]))
    return out_BGRD.reshape([batch, 1, heads * head_dim])
