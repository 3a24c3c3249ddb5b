"""Hidden states of packed rows."""

from __future__ import annotations

from llm.core.model import sequence_parallel


def hidden_states(model, input_ids_BS, position_ids_BS, end_row_BS):
    """[B, S, hidden] (with sequence parallelism [B * S, hidden]): the last layer after its norm, every layer attending
    within end_row."""
    sequence_parallel.set_row_length(model, input_ids_BS.shape[1])
    base = getattr(model, model.base_model_prefix)
    row_indices = "attention_mask" if model.config.model_type == "mistral" else "attn_mask_startend_row_indices"
    out = base(
        input_ids=input_ids_BS,
        position_ids=position_ids_BS,
        use_cache=False,
        return_dict=True,
        **{row_indices: end_row_BS},
    )
    return sequence_parallel.gather(model, out.last_hidden_state)
