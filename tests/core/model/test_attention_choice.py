"""FlashMask's own kernel, and which attention a run takes."""

from __future__ import annotations

import inspect

import numpy as np
import paddle
import pytest
from paddle.nn.functional import flashmask_attention as flashmask_kernel

from llm.core.cpu.kernels.build import kernels
from llm.core.model import attention
from llm.core.model.attention import block_attention, dense_attention, kernel_attention
from tests.core.model.forests import HEAD_DIM, batch_of, forests, inputs_of, run


def test_the_kernel_is_called_as_its_signature_wants(monkeypatch):
    """Without a GPU the call alone can be checked: arguments that exist, row indices [B, 1, S, 1] of int32 (another
    type would be refused or dropped), causal, and the heads joined in what comes back."""
    calls = []

    def recorded(*args, **kwargs):
        call = inspect.signature(flashmask_kernel).bind(*args, **kwargs)
        call.apply_defaults()
        calls.append(call.arguments)
        return call.arguments["query"]

    monkeypatch.setattr(attention.F, "flashmask_attention", recorded)
    q, k, v, _ = inputs_of(2, 6, 4, 2)
    end_row = np.array([[4, 2, 4, 4, 6, 6], [6] * 6])
    out = attention.flashmask_attention(*map(paddle.to_tensor, (q, k, v)), paddle.to_tensor(end_row, dtype="int64"))
    (call,) = calls
    assert out.shape == [2, 6, 4 * HEAD_DIM]
    indices = call["startend_row_indices"]
    assert indices.shape == [2, 1, 6, 1] and indices.dtype == paddle.int32
    assert (indices.numpy()[:, 0, :, 0] == end_row).all()
    assert call["causal"] is True
    assert (call["dropout"], call["window_size"], call["return_softmax_lse"]) == (0.0, None, False)
    for name, array in (("query", q), ("key", k), ("value", v)):
        assert (call[name].numpy() == array).all()


@pytest.mark.gpu
@pytest.mark.skipif(not paddle.is_compiled_with_cuda(), reason="FlashMask needs a CUDA device")
def test_the_kernel_equals_dense_attention():
    end_row, _ = batch_of(forests([300, 200], 6, 0.02, 0.05))
    random = np.random.default_rng(0)
    q, k, v = (random.normal(size=(2, 300, heads, 64)).astype("float32") for heads in (4, 2, 2))
    upstream = random.normal(size=(2, 300, 4 * 64)).astype("float32")

    def in_bfloat16(attend):
        def call(*tensors):
            *half, end_row = tensors
            return attend(*(tensor.astype("bfloat16") for tensor in half), end_row).astype("float32")

        return call

    dense, flash = (
        run(in_bfloat16(attend), q, k, v, end_row, upstream)
        for attend in (dense_attention, attention.flashmask_attention)
    )
    for mine, theirs in zip(flash, dense, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=5e-2, atol=5e-2)


# ---- which attention


def test_flashmask_is_used_where_it_is_asked_for_and_there(monkeypatch):
    on_cpu = block_attention if kernels()[0] is None else kernel_attention
    for cuda, asked, wanted in (
        (False, (True, True), on_cpu),
        (False, (False, False), on_cpu),
        (True, (True, True), attention.flashmask_attention),
        (True, (True, False), dense_attention),
        (True, (False, True), dense_attention),
    ):
        monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda cuda=cuda: cuda)
        chosen, why = attention.choose(*asked)
        assert chosen is wanted
        assert ("CPU" in why) == (not cuda)


def test_without_compiled_kernels_paddles_operations_take_over_and_say_why(monkeypatch):
    monkeypatch.setattr(attention, "kernels", lambda: (None, "no C++ compiler was found"))
    chosen, why = attention.choose(False, False)
    assert chosen is block_attention and "no C++ compiler was found" in why
