"""What a rank sends in an update, collective by collective: the formulas of docs/scaling.md. No paddle here.

PaddlePaddle 3.3.1 and PaddleNLP 3.0.0b4 send this, as their sources say it and `python -m llm benchmark scaling` counts
it. Messages of a few bytes (the gradient's norm, shapes, sums for the log) are left out.

Legend: B rows in a micro-batch, S tokens of a row, E hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm.core.model.families import family_of
from llm.core.model.shapes import ATTENTION, COLUMN_PARALLEL, MLP, ROW_PARALLEL, head_width, projections
from llm.core.model.sizes import Sizes
from llm.estimate.memory import granularity, trained_tensors
from llm.estimate.model_sizes import VECTORS, count, parts, stages, tensors
from llm.estimate.plan import FLOAT32, Plan

BYTES_OF_INPUTS = 8 + 8 + 4  # of a token: its id, its position, its end_row
RECOMPUTED = {"": (), "core_attn": (), "full_attn": ATTENTION, "full": ATTENTION + MLP}  # by granularity


@dataclass(frozen=True)
class Transfer:
    """`payload` is the whole tensor: what every rank puts into an all_reduce, reduce or broadcast, what an all_gather
    makes, what a reduce_scatter is given, what a send sends."""

    group: str  # tensor, pipeline, sharding, data
    kind: str
    payload: int
    what: str


def on_the_wire(kind: str, payload: float, ranks: int) -> float:
    """Bytes that each rank sends, at least, where a ring of so many carries it."""
    if kind == "all_reduce":
        return 2 * payload * (ranks - 1) / ranks
    return payload * (ranks - 1) / ranks if kind in ("all_gather", "reduce_scatter") else payload


def traffic(sizes: Sizes, plan: Plan) -> list[Transfer]:
    """Of the stage that sends most."""
    return max(every_stage(sizes, plan), key=lambda sent: sum(transfer.payload for transfer in sent))


def every_stage(sizes: Sizes, plan: Plan) -> list[list[Transfer]]:
    found = []
    for stage in stages(sizes, plan.pipeline):
        kinds = (of_data, of_sharding, of_tensors, of_pipeline)
        found.append([transfer for of_kind in kinds for transfer in of_kind(stage, plan) if transfer.payload])
    return found


def of_data(sizes: Sizes, plan: Plan) -> list[Transfer]:
    """Once an update, however many micro-batches it has."""
    if plan.data_parallel == 1:
        return []
    trained = count(trained_tensors(sizes, plan))
    return [Transfer("data", "all_reduce", plan.bytes_of_gradient * trained, "gradients")]


def of_sharding(sizes: Sizes, plan: Plan) -> list[Transfer]:
    """Stage 1 sends once an update. Stage 2 sends gradients, stage 3 gradients and weights with every micro-batch; what
    stage 3 sends of a gradient is the whole of it to all ranks, which each keep their part."""
    if not plan.sharding:
        return []
    if plan.sharding == "stage3":
        return _of_stage3(sizes, plan)
    trained = count(trained_tensors(sizes, plan))
    gradients, weights = plan.bytes_of_gradient * trained, plan.bytes_of_weight * trained
    if plan.sharding == "stage2":
        return [
            Transfer("sharding", "reduce", plan.micro_batches * gradients, "gradients"),
            Transfer("sharding", "broadcast", weights, "updated weights"),
        ]
    kinds = ("reduce_scatter", "all_gather") if plan.split_parameters else ("reduce", "broadcast")
    return [
        Transfer("sharding", kinds[0], gradients, "gradients"),
        Transfer("sharding", kinds[1], weights, "updated weights"),
    ]


def _of_stage3(sizes: Sizes, plan: Plan) -> list[Transfer]:
    """A matrix comes together in the forward pass, where that is repeated, and in the backward pass. Vectors, which are
    whole on all ranks, are summed once an update."""
    held, repeated = tensors(sizes), RECOMPUTED[granularity(sizes, plan)]
    passes = sum(elements * (3 if name in repeated else 2) for name, elements in held if name not in VECTORS)
    vectors = sum(elements for name, elements in held if name in VECTORS)
    gradients = plan.micro_batches * (count(held) - vectors) + vectors
    return [
        Transfer("sharding", "all_gather", plan.micro_batches * plan.bytes_of_weight * passes, "weights"),
        Transfer("sharding", "all_reduce", plan.bytes_of_gradient * gradients, "gradients"),
    ]


def of_tensors(sizes: Sizes, plan: Plan) -> list[Transfer]:
    """The stream of tokens, B * S * E, is made whole wherever a divided matrix leaves the ranks with parts of a sum: in
    the forward pass by those whose inputs are divided, in the backward pass by each of those whose outputs are."""
    t, layers = plan.tensor_parallel, sizes.num_hidden_layers
    if t == 1:
        return []
    tokens = plan.micro_batches * plan.rows * plan.tokens
    value = tokens * plan.bytes_of_value
    stream = value * sizes.hidden_size
    repeated = RECOMPUTED[granularity(sizes, plan)]
    rows_again = sum(name in ROW_PARALLEL for name in repeated)
    frozen = plan.lora_rank > 0 and not plan.placeholder_row  # the first layer's input, which has no gradient then
    sums = layers * len(ROW_PARALLEL) + (layers - frozen) * rows_again + layers * len(COLUMN_PARALLEL) - frozen * 3
    adapted = sum(not plan.lora_targets or name in plan.lora_targets for name in projections(sizes))
    between = layers * adapted * plan.lora_rank * value
    embedding = stream if sizes.is_first and parts(sizes, "embed_tokens", t) > 1 else 0
    inputs = BYTES_OF_INPUTS * tokens if plan.pipeline == 1 else 0
    has_head_norms = family_of(sizes).norms_heads and not plan.lora_rank
    head_norms = layers * plan.micro_batches * plan.bytes_of_weight * 2 * head_width(sizes) if has_head_norms else 0
    common = [
        Transfer("tensor", "all_reduce", embedding, "embeddings"),
        *of_head(sizes, plan),
        *(of_reference(sizes, plan, stream, embedding) if plan.asks_reference else ()),
        Transfer("tensor", "all_reduce", head_norms, "gradients of the norms of heads"),
        Transfer("tensor", "broadcast", inputs, "inputs"),
    ]
    if not plan.sequence_parallel:
        return [Transfer("tensor", "all_reduce", sums * stream + between, "layers"), *common]
    gathers = layers * 7 + (layers - frozen) * (len(repeated) - rows_again) + (sizes.is_first - frozen) + sizes.is_last
    return [
        Transfer("tensor", "all_gather", gathers * stream + between, "layers"),
        Transfer("tensor", "reduce_scatter", sums * stream + between, "layers"),
        Transfer("tensor", "all_reduce", plan.bytes_of_gradient * of_whole(sizes, plan), "gradients of the whole"),
        *common,
    ]


def of_reference(sizes: Sizes, plan: Plan, stream: int, embedding: int) -> list[Transfer]:
    """Its forward pass."""
    sums = sizes.num_hidden_layers * len(ROW_PARALLEL) * stream
    common = [Transfer("tensor", "all_reduce", embedding, "the reference's embeddings")]
    if not plan.sequence_parallel:
        return [Transfer("tensor", "all_reduce", sums, "the reference's layers"), *common]
    gathers = sizes.num_hidden_layers * len(COLUMN_PARALLEL) + sizes.is_last  # what each of them reads, and the head
    return [
        Transfer("tensor", "all_gather", gathers * stream, "the reference's layers"),
        Transfer("tensor", "reduce_scatter", sums, "the reference's layers"),
        *common,
    ]


def of_head(sizes: Sizes, plan: Plan) -> list[Transfer]:
    """Where every token is predicted, at most: the gradient of what the head reads, of which each rank has the part of
    its vocabulary, and three float32 numbers a token. Of rewards two rows."""
    if not sizes.is_last:
        return []
    tokens = plan.micro_batches * plan.rows * plan.tokens
    if plan.learns_text:
        gradient = tokens * plan.bytes_of_stream * sizes.hidden_size
        numbers = tokens * 3 * FLOAT32 * plan.tensor_parallel * (1 + plan.asks_reference)
        return [
            Transfer("tensor", "all_reduce", gradient, "gradients of the head's inputs"),
            Transfer("tensor", "all_gather", numbers, "logits of the vocabulary, reduced"),
        ]
    rows = 0 if plan.lora_rank else 2 * plan.micro_batches * plan.bytes_of_value * sizes.hidden_size
    return [Transfer("tensor", "all_reduce", rows, "two rows of the head")]


def of_whole(sizes: Sizes, plan: Plan) -> int:
    """Elements that train and are not divided by tensor parallelism. With sequence parallelism every rank has their
    gradient of its own tokens."""
    if not plan.lora_rank:
        norms = sum(elements for name, elements in tensors(sizes, plan.tensor_parallel) if name == "norm")
        of_heads = 2 * head_width(sizes) if family_of(sizes).norms_heads else 0  # sent with every micro-batch instead
        return norms - sizes.num_hidden_layers * of_heads
    shapes = projections(sizes)
    whole = {name: shapes[name][name in ROW_PARALLEL] for name in plan.lora_targets or shapes}
    return sizes.num_hidden_layers * plan.lora_rank * sum(whole.values())


def of_pipeline(sizes: Sizes, plan: Plan) -> list[Transfer]:
    """Each micro-batch's tokens to the next stage, their gradient to the one before. Tensor parallelism sends a part
    from each rank, and the receivers put the parts together; with sequence parallelism they are parts anyway."""
    if plan.pipeline == 1:
        return []
    tokens, t = plan.micro_batches * plan.rows * plan.tokens, plan.tensor_parallel
    is_part = plan.partial_sends and t > 1 and not plan.sequence_parallel
    stream = tokens * plan.bytes_of_stream * sizes.hidden_size
    ways = (not sizes.is_last) + (not sizes.is_first)
    positions = 0 if sizes.is_last else tokens * (BYTES_OF_INPUTS - 8)
    sent = ways * stream // plan.parts_of_tokens + positions
    found = [Transfer("pipeline", "send", sent // t if is_part else sent, "tokens and their gradients")]
    if is_part:
        found.append(Transfer("tensor", "all_gather", ways * stream, "tokens from other stages"))
    if sizes.tie_word_embeddings and sizes.is_first != sizes.is_last and not plan.lora_rank:
        matrix = sizes.vocab_size * sizes.hidden_size // parts(sizes, "embed_tokens", t)
        found.append(Transfer("pipeline", "all_reduce", plan.bytes_of_gradient * matrix, "embedding and head, tied"))
    return found


def sums(transfers: list[Transfer]) -> dict[str, int]:
    """{kind: payload}"""
    kinds = dict.fromkeys(transfer.kind for transfer in transfers)
    return {kind: sum(transfer.payload for transfer in transfers if transfer.kind == kind) for kind in kinds}
