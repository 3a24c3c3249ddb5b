"""The memory of a training run on each GPU, term by term: the formulas of docs/estimate.md. No paddle here.

Legend: B rows in a micro-batch, S tokens of a row, E hidden size, F intermediate size, H heads, K key/value heads times
the width of a head, V vocabulary, t tensor parallelism. All sizes are bytes on the fullest GPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from llm.tools.model_sizes import Sizes, adapters, count, parts, projections, tensors

GIB = 1 << 30
FLOAT32 = 4
LOGITS_AT_A_TIME = 1 << 24  # of llm/core/log_normaliser.py
WHOLE_ROWS_OF_LOG_SUM = 128  # FlashMask keeps a float32 per head and token, of rows rounded up to this


@dataclass(frozen=True)
class Plan:
    """What of the settings and the launch counts for memory."""

    rows: int
    tokens: int
    precision: str  # float32, bf16 O1, bf16 O2
    float32_gradients: bool = False  # amp_master_grad
    tensor_parallel: int = 1
    sharding: str = ""
    sharded_ranks: int = 1
    split_parameters: bool = False  # sharding_parallel_config has split_param: stage1 cuts through tensors
    recompute: str = ""  # empty: nothing is
    flash_mask: bool = False
    lora_rank: int = 0
    lora_targets: tuple[str, ...] = ()
    placeholder_row: bool = False  # LoRA beside an embedding of the placeholder that trains
    whole_vocabulary: bool = False  # prm_loss vocabulary

    @property
    def bytes_of_value(self) -> int:
        """Of an activation, and of what a matrix product reads."""
        return FLOAT32 if self.precision == "float32" else 2

    @property
    def bytes_of_weight(self) -> int:
        return 2 if self.precision == "bf16 O2" else FLOAT32


def estimate(sizes: Sizes, plan: Plan) -> dict[str, int]:
    """Bytes of every term at the moment when they add up to most: in the backward pass of the last layers."""
    trained = trained_tensors(sizes, plan)
    frozen = count(tensors(sizes, plan.tensor_parallel)) if plan.lora_rank else 0
    share = fullest_share(trained, plan)
    held = count(trained) + frozen if plan.sharding != "stage3" else share + -(-frozen // plan.sharded_ranks)
    gradient = FLOAT32 if plan.float32_gradients else plan.bytes_of_weight
    state = 2 * FLOAT32 + (FLOAT32 if plan.precision == "bf16 O2" else 0)  # two moments, and a float32 weight
    return {
        "weights": plan.bytes_of_weight * held,
        "gradients": gradient * (share if plan.sharding in ("stage2", "stage3") else count(trained)),
        "optimiser": state * share,
        "tables": tables(sizes),
        "activations": kept(sizes, plan),
        "working": working(sizes, plan),
    }


def tables(sizes: Sizes) -> int:
    """The rotary embedding's cosines and sines of all positions in float32, which the layers share."""
    head_size = sizes.hidden_size // sizes.num_attention_heads
    return 2 * FLOAT32 * sizes.max_position_embeddings * head_size


def trained_tensors(sizes: Sizes, plan: Plan) -> list[tuple[str, int]]:
    if plan.lora_rank:
        placeholder = [("placeholder row", sizes.hidden_size)] if plan.placeholder_row else []
        return adapters(sizes, plan.lora_rank, list(plan.lora_targets), plan.tensor_parallel) + placeholder
    return tensors(sizes, plan.tensor_parallel)


def fullest_share(trained: list[tuple[str, int]], plan: Plan) -> int:
    """Elements whose state the fullest of the sharded ranks has. Stage 1 and 2 give whole tensors to the rank that has
    least, stage 1 the large ones first."""
    if not plan.sharding:
        return count(trained)
    if plan.sharding == "stage3" or plan.split_parameters:
        return -(-count(trained) // plan.sharded_ranks)
    elements = [size for _, size in trained]
    shares = [0] * plan.sharded_ranks
    for size in sorted(elements, reverse=True) if plan.sharding == "stage1" else elements:
        shares[shares.index(min(shares))] += size
    return max(shares)


def kept(sizes: Sizes, plan: Plan) -> int:
    """What the forward pass of a micro-batch keeps for its backward pass."""
    layers, batch = sizes.num_hidden_layers, plan.rows * plan.tokens
    of_layers = layers * of_layer(sizes, plan)
    if plan.lora_rank:
        # Nothing before the first adapter is trained, unless it is the placeholder: the first layer's norm keeps
        # nothing, and of that layer only core_attn recomputes something
        first = of_layer(sizes, plan if granularity(sizes, plan) == "core_attn" else replace(plan, recompute=""))
        of_layers += first - of_layer(sizes, plan) - (0 if plan.placeholder_row else batch * norm(sizes, plan))
    weights_in_bf16 = 0
    if plan.precision == "bf16 O1":
        matrices = sum(size for name, size in tensors(sizes, plan.tensor_parallel) if name in projections(sizes))
        weights_in_bf16 = 2 * (matrices // layers if granularity(sizes, plan) == "full" else matrices)
    return of_layers + batch * norm(sizes, plan) + weights_in_bf16


def granularity(sizes: Sizes, plan: Plan) -> str:
    """PaddleNLP's Mistral recomputes whole layers whatever recompute_granularity says."""
    return "full" if plan.recompute and sizes.model_type == "mistral" else plan.recompute


def stream(sizes: Sizes, plan: Plan) -> int:
    """Of a token between two layers: all that a layer keeps which is recomputed as a whole."""
    return (2 if plan.precision == "bf16 O2" else FLOAT32) * sizes.hidden_size


def norm(sizes: Sizes, plan: Plan) -> int:
    """Of a token: the norm's input in float32 (Llama's and Qwen2's twice where it comes in bf16), and what is
    multiplied by its weights."""
    if plan.precision != "bf16 O2":
        return 2 * FLOAT32 * sizes.hidden_size
    return ((1 if sizes.model_type == "mistral" else 2) * FLOAT32 + 2) * sizes.hidden_size


def inputs_of_products(sizes: Sizes, plan: Plan, products: int) -> int:
    """Of a token: what several matrix products read together, of which tensor parallelism and O1 make a copy each."""
    copies = products if plan.tensor_parallel > 1 or plan.precision == "bf16 O1" else 1
    return copies * plan.bytes_of_value * sizes.hidden_size


def of_layer(sizes: Sizes, plan: Plan) -> int:
    if granularity(sizes, plan) == "full":
        return plan.rows * plan.tokens * stream(sizes, plan)
    return of_attention(sizes, plan) + of_mlp(sizes, plan)


def of_mlp(sizes: Sizes, plan: Plan) -> int:
    """Its norm, its input, both projections, their product (Mistral: what the activation made of one, too)."""
    values = (4 if sizes.model_type == "mistral" else 3) * sizes.intermediate_size // plan.tensor_parallel
    values += low_rank(plan, "gate_proj", "up_proj", "down_proj")
    token = norm(sizes, plan) + inputs_of_products(sizes, plan, 2) + plan.bytes_of_value * values
    return plan.rows * plan.tokens * token


def of_attention(sizes: Sizes, plan: Plan) -> int:
    """Its norm and its input; unless that is recomputed, what attention itself keeps, too."""
    batch = plan.rows * plan.tokens
    if granularity(sizes, plan) == "full_attn":
        return batch * (norm(sizes, plan) + plan.bytes_of_value * sizes.hidden_size)
    values = attending(sizes, plan) + low_rank(plan, "q_proj", "k_proj", "v_proj", "o_proj")
    token = norm(sizes, plan) + inputs_of_products(sizes, plan, 3) + plan.bytes_of_value * values
    return batch * token + (0 if granularity(sizes, plan) == "core_attn" else of_scores(sizes, plan))


def attending(sizes: Sizes, plan: Plan) -> int:
    """Values of a token: q and k before the rotary embedding, and with their halves exchanged; q, k and v that attend;
    their result; cosine and sine."""
    t, head_size = plan.tensor_parallel, sizes.hidden_size // sizes.num_attention_heads
    hidden, key_value = sizes.hidden_size // t, sizes.key_value_size // parts(sizes, "k_proj", t)
    return 4 * hidden + 4 * key_value + 2 * head_size


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
    """What the backward pass needs beside what is kept, at the largest of three moments: the head's gradient, the last
    layer's MLP, its attention, for which what the MLP kept has gone. Recomputed parts are there again."""
    a, t, batch = plan.bytes_of_value, plan.tensor_parallel, plan.rows * plan.tokens
    hidden, inner = sizes.hidden_size // t, sizes.intermediate_size // t
    whole = replace(plan, recompute="")
    again = of_layer(sizes, whole) - of_layer(sizes, plan) if granularity(sizes, plan) == "full" else 0
    attention_again = of_attention(sizes, whole) - of_attention(sizes, plan) if plan.recompute and not again else 0
    residual = 2 * batch * stream(sizes, plan)
    product = 0 if plan.lora_rank else plan.bytes_of_weight * sizes.hidden_size * inner
    mlp = again + residual + batch * 3 * a * inner + product
    gradients = batch * (4 * a + FLOAT32) * hidden  # of q, k, v and the result; FlashMask sums those of q in float32
    if not plan.flash_mask:
        gradients += 2 * FLOAT32 * plan.rows * sizes.num_attention_heads // t * plan.tokens**2
    attention = again + attention_again + residual + gradients - of_mlp(sizes, whole)
    matrix = sizes.hidden_size * sizes.vocab_size // parts(sizes, "lm_head", t)
    rows = 0 if plan.lora_rank else plan.bytes_of_weight * matrix  # the two rows' gradient is as large as the head
    head = residual + rows + (of_normaliser(sizes, matrix, plan) if plan.whole_vocabulary else 0)
    largest = max(mlp, attention, head)
    if sizes.tied and rows:  # it waits for the embedding's, which comes last
        largest = max(rows + max(mlp, attention), head, 2 * rows - kept(sizes, plan))
    return largest + (2 * plan.bytes_of_weight * matrix if plan.sharding == "stage3" else 0)


def of_normaliser(sizes: Sizes, matrix: int, plan: Plan) -> int:
    """The head's gradient over the whole vocabulary: its sum in float32 and what is added to it, in float32, too; and
    the logits of some positions at a time."""
    added = plan.bytes_of_value + (FLOAT32 if plan.bytes_of_value != FLOAT32 else 0)
    logits = min(LOGITS_AT_A_TIME, plan.rows * plan.tokens * sizes.vocab_size)
    return (FLOAT32 + added) * matrix + 3 * FLOAT32 * logits
