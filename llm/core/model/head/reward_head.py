"""A head of the model's own that takes the place of the LM head.

Its layers become the model's, under the names that published models have, so that they train, are saved and are
resumed as all other layers are. Every rank of tensor parallelism has all of it; in a pipeline the last stage has it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from llm.core.model import pipeline
from llm.core.model.head.head_kinds import KINDS, HeadKind

PLACE = "reward_head"  # in the model's attributes


class RewardHead(nn.Layer):
    """[K, E] -> [K, C]"""

    def __init__(self, kind: HeadKind, hidden_size: int):
        super().__init__()
        self.kind = kind
        for name in kind.layers:
            self.add_sublayer(name, nn.Linear(*kind.shapes(hidden_size)[f"{name}.weight"]))

    def forward(self, hidden_KE):
        first, *others = self.children()
        outputs = first(hidden_KE)
        for layer in others:
            outputs = layer(F.relu(outputs))
        return outputs


def of(model) -> RewardHead | None:
    """None where the LM head is read, and in a stage of a pipeline that has no head."""
    return getattr(model, PLACE, None)


def put_in(model, dtype: str) -> None:
    """In the place of the LM head, of the kind that the configuration names. The weights are still to come."""
    in_stages = model.config.pipeline_parallel_degree > 1
    if in_stages and pipeline.head_of(model) is None:
        return
    head = RewardHead(KINDS[model.config.reward_head], model.config.hidden_size)
    head.to(dtype=dtype)
    if in_stages:
        pipeline.replace_head(model, head)
    else:
        del model.lm_head
        for name, layer in head.named_children():
            model.add_sublayer(name, layer)
    model.__dict__[PLACE] = head  # not as a further layer, whose weights would have two names


def start(model, names: Iterable[str], seed: int) -> None:
    """What no file holds: normal numbers as wide as the family's other matrices start, biases 0. The same on every
    rank."""
    parameters = model.state_dict()
    for name in names:
        parameter = parameters[name]
        numbers = np.zeros(parameter.shape)
        if name.endswith(".weight"):
            random = np.random.default_rng([seed, zlib.crc32(name.encode())])
            numbers = random.normal(scale=model.config.initializer_range, size=parameter.shape)
        parameter.set_value(paddle.to_tensor(numbers, dtype="float32").astype(parameter.dtype))


def two_logits(outputs_KC):
    """[K, 2]: "+" and "-". Of two classes, class 1 is "+"; one value is the log-odds, its own logit against 0."""
    if outputs_KC.shape[-1] == 1:
        return paddle.concat([outputs_KC, paddle.zeros_like(outputs_KC)], axis=-1)
    return outputs_KC.flip(-1)


def quantiles(outputs_K3):
    """[K, 3] log-odds of the quantiles, rising: the median, and how far the others lie below and above it."""
    below_K, median_K, above_K = outputs_K3.astype("float32").unbind(-1)
    return paddle.stack([median_K - F.softplus(below_K), median_K, median_K + F.softplus(above_K)], axis=-1)


def keep_last_bias(head: RewardHead) -> None:
    """Where only differences of rewards are learnt the last bias cancels out: what its gradient holds is rounding,
    which Adam would blow up to steps of full size."""
    *_, last = head.children()
    last.bias.register_hook(paddle.zeros_like)
