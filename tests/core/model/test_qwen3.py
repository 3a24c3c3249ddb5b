"""What this project's Qwen3 does otherwise than PaddleNLP's Qwen2: what is recomputed within its attention."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from llm.core import patches
from llm.core.model import forward
from llm.core.model.attention import block_attention
from llm.core.model.families import GRANULARITIES
from tests.core.model_folders import packed_rows
from tests.factories import SIZES, random_model

LAYERS = SIZES["num_hidden_layers"]


def gradients(granularity: str) -> tuple[dict[str, np.ndarray], int]:
    """(by the names of the weights, how often a layer attended)"""
    calls = []

    def attend(*inputs):
        calls.append(granularity)
        return block_attention(*inputs)

    patches.apply_to_models(attend)
    model = random_model("Qwen3", 40, recompute_granularity=granularity or "full")
    for part in model.sublayers(include_self=True):
        if hasattr(part, "enable_recompute"):
            part.enable_recompute = bool(granularity)
    model.train()
    hidden = forward.hidden_states(model, *map(paddle.to_tensor, packed_rows(40)))
    (hidden * hidden.cos()).sum().backward()
    found = {name: weight.grad.numpy() for name, weight in model.named_parameters() if weight.grad is not None}
    return found, len(calls)


@pytest.fixture(scope="module")
def kept():
    found, calls = gradients("")
    assert calls == LAYERS
    return found


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_what_is_recomputed_changes_no_gradient(granularity, kept):
    found, calls = gradients(granularity)
    assert calls == 2 * LAYERS
    assert found.keys() == kept.keys() and "qwen3.layers.0.self_attn.k_norm.weight" in found
    for name, wanted in kept.items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max(), err_msg=name)
