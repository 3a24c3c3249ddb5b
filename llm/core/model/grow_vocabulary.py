"""A model's rows for more tokens than it came with."""

from __future__ import annotations

import paddle


def grow_vocabulary(model, size: int) -> None:
    """Give the embedding, and the LM head if there is one, rows for ids below `size`, and config.vocab_size that
    number. A model that has as many already, because its vocabulary was padded, stays as it is.

    New rows are the mean of the old ones: as long as it is untrained a new token then looks like an average one and is
    as likely as an average one, where a random row could be more likely than all others. The same on every rank.
    """
    if size <= model.config.vocab_size:
        return
    if model.config.tensor_parallel_degree > 1 or model.config.pipeline_parallel_degree > 1:
        raise ValueError(
            f"add_placeholder_token: the vocabulary has to grow from {model.config.vocab_size} to {size} rows; with "
            "tensor_parallel_degree or pipeline_parallel_degree above 1 no rank has them all. Train one update with a "
            "single process and start from the model that it saves, or choose a placeholder_token that is one token."
        )
    embedding, head = model.get_input_embeddings(), getattr(model, "lm_head", None)
    tied = head is not None and head.weight is embedding.weight
    embedding.weight = _with_rows(embedding.weight, size, axis=0)
    embedding._num_embeddings = size
    if head is not None:
        head.weight = embedding.weight if tied else _with_rows(head.weight, size, axis=1)
    base = getattr(model, model.base_model_prefix)
    for holder in (model, base):
        if hasattr(holder, "vocab_size"):
            holder.vocab_size = size
    model.config.vocab_size = size


@paddle.no_grad()
def _with_rows(weight, size: int, axis: int):
    """A parameter like this one, with the mean along the axis in the places up to `size`."""
    mean = weight.astype("float32").mean(axis, keepdim=True)  # in float32, as a CPU repeats no bfloat16
    places = [1, 1]
    places[axis] = size - weight.shape[axis]
    grown = paddle.concat([weight, mean.tile(places).astype(weight.dtype)], axis)
    parameter = paddle.create_parameter(grown.shape, grown.dtype, default_initializer=paddle.nn.initializer.Constant())
    parameter.set_value(grown)
    parameter.stop_gradient = weight.stop_gradient
    return parameter
