"""The memory of a training run on each GPU, term by term: the formulas of docs/estimate.md. No paddle here.

Legend: B rows in a micro-batch, S tokens of a row, E hidden size, F intermediate size, H heads, K key/value heads times
the width of a head, V vocabulary, t tensor parallelism. All sizes are bytes on the fullest GPU.
"""

from __future__ import annotations

from dataclasses import replace

from llm.core.model.families import family_of
from llm.core.model.head.head_kinds import kind_of
from llm.core.model.shapes import head_width, projections
from llm.core.model.sizes import Sizes
from llm.estimate.model_sizes import VECTORS, adapters, count, parts, stages, tensors
from llm.estimate.plan import FLOAT32, Plan

GIB = 1 << 30
SENT_BY_STAGE2 = 1 << 23  # elements of other ranks' gradients that wait for each other
LOGITS_AT_A_TIME = 1 << 24  # of llm/core/model/head/chunked_logsumexp.py
WHOLE_ROWS_OF_LOG_SUM = 128  # FlashMask keeps a float32 per head and token, of rows rounded up to this


def estimate(sizes: Sizes, plan: Plan) -> dict[str, int]:
    """Bytes of every term on the fullest rank, at the moment when they add up to most."""
    return max(every_stage(sizes, plan), key=lambda terms: sum(terms.values()))


def every_stage(sizes: Sizes, plan: Plan) -> list[dict[str, int]]:
    return [of_stage(stage, plan, number) for number, stage in enumerate(stages(sizes, plan.pipeline))]


def of_stage(sizes: Sizes, plan: Plan, stage: int) -> dict[str, int]:
    """In the backward pass of the stage's last layers, when it has the most micro-batches in flight."""
    trained = trained_tensors(sizes, plan)
    whole = count(tensors(sizes, plan.tensor_parallel))
    frozen = whole if plan.lora_rank else 0
    share = fullest_share(trained, plan)
    held = share if plan.sharding == "stage3" else count(trained) + frozen
    state = 2 * FLOAT32 + (FLOAT32 if plan.precision == "bf16 O2" else 0)  # two moments, and a float32 weight
    terms = {
        "weights": plan.bytes_of_weight * (held + (whole if plan.holds_reference else 0)),
        "gradients": plan.bytes_of_gradient * gradients(trained, plan),
        "optimiser": state * share,
        "tables": tables(sizes),
        "activations": in_flight(plan, stage) * (kept(sizes, plan) + received(sizes, plan)),
        "working": working(sizes, plan),
    }
    return terms | {"fused": fused(plan, count(trained), terms["activations"] + terms["working"])}


def in_flight(plan: Plan, stage: int) -> int:
    """Micro-batches whose backward pass a stage still owes: it goes ahead by as many as there are stages behind it."""
    return min(plan.pipeline - stage, plan.micro_batches)


def received(sizes: Sizes, plan: Plan) -> int:
    """Of a micro-batch: what came from the stage before, unless the first layer keeps it anyway."""
    if sizes.is_first or plan.precision != "bf16 O2" or granularity(sizes, plan) == "full":
        return 0
    return plan.rows * plan.tokens * stream(sizes, plan)


def fused(plan: Plan, trained: int, free_by_then: int) -> int:
    """All gradients once more, in contiguous buffers, as data parallelism sends them. paddle.DataParallel keeps them
    so; with other parallelism, with recompute and with float32 gradients they are put there once the activations have
    gone."""
    if plan.data_parallel == 1:
        return 0
    alone = not plan.sharding and plan.pipeline == plan.tensor_parallel == 1
    alone = alone and not plan.recompute and not plan.float32_gradients
    copy = plan.bytes_of_gradient * trained
    return copy if alone else max(copy - free_by_then, 0)


def tables(sizes: Sizes) -> int:
    """The rotary embedding's cosines and sines of all positions in float32, which the layers share."""
    return 2 * FLOAT32 * sizes.max_position_embeddings * head_width(sizes)


def trained_tensors(sizes: Sizes, plan: Plan) -> list[tuple[str, int]]:
    if plan.lora_rank:
        placeholder = [("placeholder row", sizes.hidden_size)] if plan.placeholder_row else []
        targets, of_rewards = list(plan.lora_targets), not plan.learns_text
        return adapters(sizes, plan.lora_rank, targets, plan.tensor_parallel, of_rewards) + placeholder
    return tensors(sizes, plan.tensor_parallel)


def fullest_share(trained: list[tuple[str, int]], plan: Plan) -> int:
    """Elements whose state the fullest of the sharded ranks has. Stage 1 and 2 give whole tensors to the rank that has
    least, stage 1 the large ones first; stage 3 cuts matrices and leaves vectors to every rank."""
    elements = [size for _, size in trained]
    if not plan.sharding:
        return sum(elements)
    if plan.sharding == "stage3":
        return sum(size if name in VECTORS else -(-size // plan.sharded_ranks) for name, size in trained)
    if plan.split_parameters:
        return -(-sum(elements) // plan.sharded_ranks)
    shares = [0] * plan.sharded_ranks
    for size in sorted(elements, reverse=True) if plan.sharding == "stage1" else elements:
        shares[shares.index(min(shares))] += size
    return max(shares)


def gradients(trained: list[tuple[str, int]], plan: Plan) -> int:
    """Elements of gradients that a rank holds; with stage 2 its own, and those of others until there are enough to
    send."""
    if plan.sharding == "stage2":
        share = fullest_share(trained, plan)
        return share + (plan.sharded_ranks - 1) * min(share, SENT_BY_STAGE2)
    return fullest_share(trained, plan) if plan.sharding == "stage3" else count(trained)


def kept(sizes: Sizes, plan: Plan) -> int:
    """What the forward pass of a micro-batch keeps for its backward pass."""
    layers, batch = sizes.num_hidden_layers, plan.rows * plan.tokens
    of_layers = layers * of_layer(sizes, plan)
    if plan.lora_rank and sizes.is_first:
        # Nothing before the first adapter is trained, unless it is the placeholder: the first layer's norm keeps
        # nothing, and of that layer only core_attn recomputes something
        first = of_layer(sizes, plan if granularity(sizes, plan) == "core_attn" else replace(plan, recompute=""))
        of_layers += first - of_layer(sizes, plan) - (0 if plan.placeholder_row else batch * norm(sizes, plan))
    weights_in_bf16 = 0
    if plan.precision == "bf16 O1":
        matrices = sum(size for name, size in tensors(sizes, plan.tensor_parallel) if name in projections(sizes))
        weights_in_bf16 = 2 * (matrices // layers if granularity(sizes, plan) == "full" else matrices)
    at_end = batch * (norm(sizes, plan) + (learnt(sizes, plan) if plan.learns_text else 0)) if sizes.is_last else 0
    return of_layers + at_end + weights_in_bf16


def learnt(sizes: Sizes, plan: Plan) -> int:
    """Of a token whose next one is predicted: its hidden state once more, as the head reads it."""
    return plan.bytes_of_stream * sizes.hidden_size


def granularity(sizes: Sizes, plan: Plan) -> str:
    """What is recomputed: a family that cannot recompute parts of a layer recomputes all of it."""
    return plan.recompute if family_of(sizes).recomputes_parts or not plan.recompute else "full"


def stream(sizes: Sizes, plan: Plan) -> int:
    """Of a token between two layers: all that a layer keeps which is recomputed as a whole."""
    return plan.bytes_of_stream * sizes.hidden_size // plan.parts_of_tokens


def norm(sizes: Sizes, plan: Plan) -> int:
    """Of a token: what a norm of the hidden states keeps."""
    return of_norm(sizes, plan) * sizes.hidden_size // plan.parts_of_tokens


def of_norm(sizes: Sizes, plan: Plan) -> int:
    """Of a value: the norm's input in float32 (in some families twice if it comes in bf16), and what is multiplied by
    its weights."""
    if plan.precision != "bf16 O2":
        return 2 * FLOAT32
    return family_of(sizes).float32_inputs_of_norm * FLOAT32 + 2


def inputs_of_products(sizes: Sizes, plan: Plan, products: int) -> int:
    """Of a token: what several matrix products read together, of which tensor parallelism and O1 make a copy each."""
    copies = products if plan.tensor_parallel > 1 or plan.precision == "bf16 O1" else 1
    return copies * plan.bytes_of_value * sizes.hidden_size


def of_layer(sizes: Sizes, plan: Plan) -> int:
    if granularity(sizes, plan) == "full":
        return plan.rows * plan.tokens * stream(sizes, plan)
    return of_attention(sizes, plan) + of_mlp(sizes, plan)


def of_mlp(sizes: Sizes, plan: Plan) -> int:
    """Its norm, its input, both projections, their product and, in some families, the activation of one."""
    values = family_of(sizes).tensors_of_mlp * sizes.intermediate_size // plan.tensor_parallel
    values += low_rank(plan, "gate_proj", "up_proj", "down_proj")
    token = norm(sizes, plan) + inputs_of_products(sizes, plan, 2) + plan.bytes_of_value * values
    return plan.rows * plan.tokens * token


def of_attention(sizes: Sizes, plan: Plan) -> int:
    """Its norm and its input; unless that is recomputed, what attention itself keeps, too."""
    batch = plan.rows * plan.tokens
    if granularity(sizes, plan) == "full_attn":
        return batch * (norm(sizes, plan) + plan.bytes_of_value * sizes.hidden_size // plan.parts_of_tokens)
    t = plan.tensor_parallel
    values = attending(sizes, plan) + low_rank(plan, "q_proj", "k_proj", "v_proj", "o_proj")
    token = norm(sizes, plan) + inputs_of_products(sizes, plan, 3) + plan.bytes_of_value * values
    if family_of(sizes).norms_heads:
        token += of_norm(sizes, plan) * sum(projections(sizes)[name][1] for name in ("q_proj", "k_proj")) // t
    return batch * token + (0 if granularity(sizes, plan) == "core_attn" else of_scores(sizes, plan))


def attending(sizes: Sizes, plan: Plan) -> int:
    """Values of a token: q and k before the rotary embedding, and with their halves exchanged; q, k and v that attend;
    their result; cosine and sine."""
    queries, keys = (projections(sizes)[name][1] // plan.tensor_parallel for name in ("q_proj", "k_proj"))
    return 4 * queries + 4 * keys + 2 * head_width(sizes)


def of_scores(sizes: Sizes, plan: Plan) -> int:
    """FlashMask keeps a number for each head and token; a dense mask the softmax in float32, and rounded to what it is
    multiplied as."""
    heads = plan.rows * sizes.num_attention_heads // plan.tensor_parallel
    if plan.flash_mask:
        return heads * FLOAT32 * -(-plan.tokens // WHOLE_ROWS_OF_LOG_SUM) * WHOLE_ROWS_OF_LOG_SUM
    return heads * plan.tokens**2 * (FLOAT32 if plan.precision == "float32" else FLOAT32 + 2)


def low_rank(plan: Plan, *names: str) -> int:
    """Values of a token between the two matrices of its adapters."""
    return plan.lora_rank * sum(not plan.lora_targets or name in plan.lora_targets for name in names)


def working(sizes: Sizes, plan: Plan) -> int:
    """What the backward pass needs in addition to what is kept, at the largest of three moments: the head's gradient,
    the last layer's MLP, its attention, for which what the MLP kept has gone. Recomputed parts are there again."""
    a, t, batch = plan.bytes_of_value, plan.tensor_parallel, plan.rows * plan.tokens
    heads, inner = projections(sizes)["q_proj"][1] // t, sizes.intermediate_size // t
    whole = replace(plan, recompute="")
    again = of_layer(sizes, whole) - of_layer(sizes, plan) if granularity(sizes, plan) == "full" else 0
    attention_again = of_attention(sizes, whole) - of_attention(sizes, plan) if plan.recompute and not again else 0
    residual = 2 * batch * plan.bytes_of_stream * sizes.hidden_size  # whole where what follows gathers its tokens
    product = 0 if plan.lora_rank else plan.bytes_of_weight * sizes.hidden_size * inner
    mlp = again + residual + batch * 3 * a * inner + product
    gradients = batch * (4 * a + FLOAT32) * heads  # of q, k, v and the result; FlashMask sums those of q in float32
    if not plan.flash_mask:
        gradients += 2 * FLOAT32 * plan.rows * sizes.num_attention_heads // t * plan.tokens**2
    attention = again + attention_again + residual + gradients - of_mlp(sizes, whole)
    matrix = sizes.hidden_size * sizes.vocab_size // parts(sizes, "lm_head", t)
    # the two rows' gradient is as large as the LM head
    rows = 0 if plan.lora_rank or kind_of(sizes) else plan.bytes_of_weight * matrix
    head = residual + rows
    if plan.whole_vocabulary or plan.learns_text:
        head += of_normaliser(sizes, matrix, plan)
    largest = max(mlp, attention, head) if sizes.is_last else max(mlp, attention)
    if (
        sizes.tie_word_embeddings and sizes.is_first and sizes.is_last and rows
    ):  # it waits for the embedding's, which comes last
        largest = max(rows + max(mlp, attention), head, 2 * rows - kept(sizes, plan))
    return largest + (2 * plan.bytes_of_weight * matrix if plan.sharding == "stage3" else 0)


def of_normaliser(sizes: Sizes, matrix: int, plan: Plan) -> int:
    """The head's gradient over the whole vocabulary: its sum in float32 and what is added to it, in float32, too; and
    the logits of some positions at a time."""
    added = plan.bytes_of_value + (FLOAT32 if plan.bytes_of_value != FLOAT32 else 0)
    width = matrix // sizes.hidden_size  # of this rank's part of the vocabulary
    logits = min(LOGITS_AT_A_TIME, plan.rows * plan.tokens * width)
    return (0 if plan.lora_rank else (FLOAT32 + added) * matrix) + 3 * FLOAT32 * logits
