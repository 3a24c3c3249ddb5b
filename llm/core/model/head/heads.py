"""The two logits of a reward: from a head of the model's own, or from two rows of the LM head, wherever they are:
in the head, in one that ranks divide, or in the parameter that trains with adapters."""

from __future__ import annotations

import paddle
from paddle.distributed import fleet
from paddle.distributed.fleet.layers.mpu import mp_ops

from llm.core.model.head import reward_head
from llm.core.model.head.head_kinds import QUANTILE
from llm.core.text.reward_tokens import RewardTokens


def reward_logits(model, hidden_KE, tokens: RewardTokens):
    """[K, 2]: the logits of "+" and "-" at the scored positions; of a quantile head [K, 3]: the log-odds of the
    quantiles. Of the LM head two rows are read; the other S x V logits are never made."""
    if head := reward_head.of(model):
        outputs_KC = head(hidden_KE)
        return reward_head.quantiles(outputs_KC) if head.kind.name == QUANTILE else reward_head.two_logits(outputs_KC)
    own_2E = getattr(model, "reward_rows", None)  # with adapters: lora.py
    rows_2E = head_rows(model, tokens) if own_2E is None else own_2E
    return paddle.matmul(hidden_KE, rows_2E.astype(hidden_KE.dtype), transpose_y=True)


def head_rows(model, tokens: RewardTokens):
    """[2, E]: the rows of the reward tokens in the LM head."""
    return rows_of(model, (tokens.positive, tokens.negative))


def rows_of(model, ids: tuple[int, ...]):
    """[N, E]: the rows of these tokens in the LM head."""
    weight = model.lm_head.weight
    ids = paddle.to_tensor(ids, dtype="int64")
    axis = 0 if is_tied(model) else 1  # [V, E], else [E, V]
    rows = _rows_of_parallel_head(weight, ids, axis) if weight.is_distributed else weight.index_select(ids, axis=axis)
    return rows if axis == 0 else rows.t()


def is_tied(model) -> bool:
    return getattr(model.lm_head, "transpose_y", False)


def _rows_of_parallel_head(weight, ids, axis: int):
    """The rows of a head whose vocabulary is divided among the ranks of tensor parallelism: the rank that holds a row
    gives it, the others give zeros. Its gradient goes back to that rank as it is, because all ranks compute the same
    from here on."""
    group = fleet.get_hybrid_communicate_group().get_model_parallel_group()
    local = ids - group.rank * weight.shape[axis]
    mine = paddle.logical_and(local >= 0, local < weight.shape[axis]).astype(weight.dtype)
    rows = weight.index_select(local.clip(0, weight.shape[axis] - 1), axis=axis)
    return mp_ops._mp_allreduce(rows * mine.unsqueeze(1 - axis), group=group, use_model_parallel=True)
