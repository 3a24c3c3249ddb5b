"""A model in stages: what goes into the first one, what the last one makes of it, and batches through all of them.

Paddle's schedule wants every micro-batch of an update in the same shape, inputs for the first stage and labels for the
last one. PaddleNLP's stages pass end_row and position_ids on with the hidden states.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import paddle
from paddle.distributed import fleet

from llm.core.model.families import family_of
from llm.core.model.sequence_parallel import gather, set_row_length

# Clear the remembered shapes after every update: that of the next one may differ
CONFIG = "enable_clear_every_step_cache"
NO_MASK = None  # what would be between the ids and end_row
INPUTS = "input_ids", "end_row", "position_ids"


def as_on_a_gpu() -> str:
    return "gpu"


def head_of(model):
    """The LM head, or None in a stage that has none."""
    kind = family_of(model.config).head_in_stages()
    return next((layer for layer in model.run_function if isinstance(layer, kind)), None)


def replace_head(model, head) -> None:
    """The last stage ends with the hidden states, and has the layers of another head, under their own names."""
    old = head_of(model)
    place = next(name for name, layer in model._sub_layers.items() if layer is old)
    model._sub_layers[place] = head
    model.run_function[model.run_function.index(old)] = as_they_are
    model._sequential_layers[-1]["name_prefix"] = ""


def as_they_are(hidden):
    return hidden


def give_hidden_states(model) -> None:
    """Let the last stage end with the hidden states: which of them are scored comes with the labels."""
    model.__dict__["lm_head"] = head_of(model)  # not as a further sublayer, which would be saved twice
    if model.lm_head is not None:
        model.lm_head.__dict__["forward"] = as_they_are
        # the first stage counts a shared matrix; Paddle looks for it under another name and would count it twice
        model.lm_head.weight.is_firstly_shared = not model.config.tie_word_embeddings


def learn_from(model, loss) -> None:
    """`loss(hidden states, batch)` in the last stage, for every micro-batch."""
    names: list[str] = []

    def prepare(batches: list[dict]):
        set_row_length(model, batches[0]["input_ids"].shape[1])
        names[:] = [name for name in batches[0] if name not in INPUTS]
        inputs, labels = ([[batch[name] for batch in batches] for name in some] for some in (INPUTS, names))
        ids, *others = inputs
        return [(ids, NO_MASK, *others), tuple(labels)]

    model._prepare_pipeline_inputs_func = prepare
    model._loss_fn = [lambda hidden, labels: loss(gather(model, hidden), dict(zip(names, labels, strict=True)))]


def evaluate(model, batches: Iterable[dict]) -> Iterator[tuple[paddle.Tensor | None, dict]]:
    """(hidden states, or None but in the last stage; the batch) of every batch, as many at a time as an update has
    micro-batches."""
    batches = iter(batches)
    while some := list(islice(batches, model.accumulate_steps)):
        model._p2p_helper.clear_meta_cache()
        outputs = model.eval_batch(model._layers._prepare_pipeline_inputs_func(some))
        is_last = model.is_pipeline_last_stage()
        for output, batch in zip(outputs, some, strict=True):
            hidden = output[0] if isinstance(output, tuple | list) else output
            yield gather(model._layers, hidden) if is_last else None, batch
    model._p2p_helper.clear_meta_cache()


def wrap(model):
    return fleet.distributed_model(model)
