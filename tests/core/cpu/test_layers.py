"""The layers that are rewritten here compute what PaddleNLP's own do."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from llm.core import patches
from llm.core.cpu import layers
from llm.core.cpu.kernels import operators
from tests.core.cpu.library_models import PREFIXES, families, untouched
from tests.core.cpu.test_whole_models import load, make_solutions, own_hidden, row_of


def norm_of(family: str, size: int):
    """PaddleNLP's norm with weights that are not all ones."""
    kind = getattr(untouched(family), f"{PREFIXES[family]}RMSNorm")
    fields = {"hidden_size": size, "rms_norm_eps": 1e-5, "sequence_parallel": False, "use_fused_rms_norm": False}
    norm = kind(size, eps=1e-5) if family == "mistral" else kind(SimpleNamespace(**fields))
    norm.weight.set_value(np.linspace(-2, 2, size).astype("float32"))
    return norm


FROZEN = [(0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("free", FROZEN)
@pytest.mark.parametrize("operation", [operators.swiglu, lambda x, w: operators.rms_norm(x, w[0], 1e-5)])
def test_what_is_frozen_gets_no_gradient_and_stops_none(operation, free):
    """Adapters train beside weights that are frozen."""
    tensors = [paddle.randn([3, 8]), paddle.randn([3, 8])]
    for tensor, trained in zip(tensors, free, strict=True):
        tensor.stop_gradient = not trained
    operation(*tensors).sum().backward()
    assert [tensor.grad is not None for tensor in tensors] == [bool(trained) for trained in free]


def value_and_gradients(function, x: np.ndarray, weight=None):
    """Of a sum in which every element counts differently."""
    x = paddle.to_tensor(x, stop_gradient=False)
    out = function(x)
    (out * paddle.linspace(-1, 1, out.size).reshape(out.shape)).sum().backward()
    gradients = [x.grad.numpy()]
    if weight is not None:
        gradients.append(weight.grad.numpy().copy())
        weight.clear_gradient()
    return [out.numpy(), *gradients]


norms = pytest.mark.parametrize("rms_norm", [layers.rms_norm, operators.rms_norm], ids=["plain", "compiled"])


@families
@norms
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3], ids=["tiny", "usual", "large"])
def test_rms_norm_equals_paddlenlps(family, rms_norm, scale):
    """Also where the square is small beside epsilon: epsilon stands inside the root."""
    norm = norm_of(family, 39)
    x = (np.random.default_rng(0).normal(size=(2, 5, 39)) * scale).astype("float32")
    wanted = value_and_gradients(norm, x, norm.weight)
    got = value_and_gradients(lambda tensor: rms_norm(tensor, norm.weight, 1e-5), x, norm.weight)
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6 * np.abs(theirs).max())


@families
@pytest.mark.parametrize("turn", [layers.rotate, operators.rotate], ids=["plain", "compiled"])
@pytest.mark.parametrize("size", [2, 8, 64])
def test_the_rotary_embedding_equals_paddlenlps(family, turn, size):
    random = np.random.default_rng(size)
    x = random.normal(size=(2, 3, 4, size)).astype("float32")
    cos, sin = (paddle.to_tensor(random.normal(size=(9, size)).astype("float32")) for _ in range(2))
    positions = paddle.to_tensor([[0, 3, 8], [5, 5, 1]])

    def theirs(x):
        if family == "mistral":
            turned, _ = untouched(family).apply_rotary_pos_emb(*[x.transpose([0, 2, 1, 3])] * 2, cos, sin, positions)
            return turned.transpose([0, 2, 1, 3])
        tables = [table[None, :, None, :] for table in (cos, sin)]
        return untouched(family).apply_rotary_pos_emb(x, x, *tables, positions)[0]

    for mine, wanted in zip(
        value_and_gradients(lambda x: turn(x, cos, sin, positions), x), value_and_gradients(theirs, x), strict=True
    ):
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)


def test_the_gated_activation_is_silu_of_one_times_the_other():
    """Where exp overflows, too: silu(-100) is 0 and its gradient as well."""
    x, y = (np.random.default_rng(0).normal(size=(2, 7, 5)).astype("float32") * 4 for _ in range(2))
    x[0, 0], x[1, 6] = [-200, -100, 0, 30, 200], [-300, -89, -90, 88, 128]

    def of(gate):
        up = paddle.to_tensor(y, stop_gradient=False)
        return value_and_gradients(lambda x: gate(x, up), x, up)

    for mine, wanted in zip(of(operators.swiglu), of(lambda x, y: x * F.sigmoid(x) * y), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)


def test_the_compiled_exponential_is_exact_to_the_last_bits():
    x = np.linspace(-8, 8, 16_000, dtype="float32")
    got = operators.swiglu(paddle.to_tensor(x), paddle.ones([len(x)])).numpy()
    np.testing.assert_allclose(got, x / (1 + np.exp(-x.astype("float64"))), rtol=1e-6)


def test_the_norms_gradient_is_the_sum_over_threads(monkeypatch):
    x = np.random.default_rng(1).normal(size=(7, 24)).astype("float32")
    norm = norm_of("llama", 24)
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("MKL_NUM_THREADS", threads)
        results.append(value_and_gradients(lambda x: operators.rms_norm(x, norm.weight, 1e-5), x, norm.weight))
    for one, three in zip(*results, strict=True):
        np.testing.assert_allclose(three, one, rtol=1e-5, atol=1e-6)


def test_what_lies_in_memory_in_another_order_is_read_as_what_it_is():
    """Transposed tensors, and gradients that come back transposed."""
    x = np.random.default_rng(2).normal(size=(6, 5)).astype("float32")
    weight = paddle.linspace(-1, 1, 5)

    def both(x):
        return operators.swiglu(operators.rms_norm(x, weight, 1e-5), x).transpose([1, 0])

    straight = value_and_gradients(both, x)
    turned = value_and_gradients(lambda x: both(x.transpose([1, 0])), np.ascontiguousarray(x.T))
    np.testing.assert_allclose(turned[0], straight[0], rtol=1e-6)
    np.testing.assert_allclose(turned[1].T, straight[1], rtol=1e-5, atol=1e-7)


@families
@pytest.mark.parametrize("compiled", [True, False])
def test_every_family_uses_them_once_installed(library_models, family, compiled, monkeypatch):
    """Each is called as often as the model has such layers."""
    calls = Counter()
    home = operators if compiled else layers
    names = {"rms_norm": 5, "rotate": 4} | ({"swiglu": 2} if compiled else {})
    for name in names:
        real = getattr(home, name)
        counted = lambda *inputs, name=name, real=real: calls.update([name]) or real(*inputs)  # noqa: E731
        monkeypatch.setattr(home, name, counted)
    model = load(library_models(family)[1])
    patches.apply(patches._cpu_layers(compiled))
    own_hidden(model, [row_of(make_solutions([5]))])
    assert calls == names
