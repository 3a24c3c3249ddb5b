"""Hidden states of packed rows."""

from __future__ import annotations

from llm.core.model import sequence_parallel
from llm.core.model.families import family_of


def hidden_states(model, input_ids_BS, position_ids_BS, end_row_BS):
    """[B, S, hidden] (with sequence parallelism [B * S, hidden]): the last layer after its norm, every layer attending
    within end_row."""
    sequence_parallel.set_row_length(model, input_ids_BS.shape[1])
    base = getattr(model, model.base_model_prefix)
    out = base(
        input_ids=input_ids_BS,
        position_ids=position_ids_BS,
        use_cache=False,
        return_dict=True,
        **{family_of(model.config).mask_argument: end_row_BS},
    )
    return sequence_parallel.gather(model, out.last_hidden_state)


def at_scored(hidden, scored_K):
    """[K, E]"""
    return hidden.reshape([-1, hidden.shape[-1]]).gather(scored_K)
