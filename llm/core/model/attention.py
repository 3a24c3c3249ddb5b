"""Attention over packed rows: one signature for every device, masks as one integer per column.

Legend of the shapes: B rows, S tokens, H query heads, G key/value heads (H a multiple of G), D features of a head.
Token i attends to column j where `j <= i < end_row[j]`.

llm/core/patches.py uses it instead of PaddleNLP's, which ignores row indices where its flash attention is off
(plain causal attention, silently, across the packed solutions) and a dense mask where it is on.
"""

from __future__ import annotations

import math

import numpy as np
import paddle
import paddle.nn.functional as F
from paddlenlp.transformers.llama import modeling as llama

from llm.core.cpu.kernels import operators
from llm.core.cpu.kernels.build import kernels
from llm.core.model import kv_cache

BUCKET = 32  # lengths of blocks are rounded up to it: fewer and larger multiplications against padding


def dense_mask(end_row_BS):
    """[B, 1, S, S] booleans, true where row i attends to column j."""
    length = end_row_BS.shape[-1]
    index = paddle.arange(length, dtype=end_row_BS.dtype)
    rows, columns = index.reshape([1, 1, length, 1]), index.reshape([1, 1, 1, length])
    return paddle.logical_and(columns <= rows, rows < end_row_BS.unsqueeze([1, 2]))


def contain_bad_numbers(attend):
    """A NaN or an infinity in a key or value reaches only the tokens that see it. In a multiplication by a matrix of
    weights it would reach all: the weight of what is masked is 0, and 0 * NaN is NaN."""

    def contained(q_BSHD, k_BSGD, v_BSGD, end_row_BS):
        good_BS = paddle.logical_and(*(paddle.isfinite(x).all(axis=[2, 3]) for x in (k_BSGD, v_BSGD)))
        if bool(good_BS.all()):
            return attend(q_BSHD, k_BSGD, v_BSGD, end_row_BS)
        k, v = (paddle.where(good_BS.unsqueeze([2, 3]), x, paddle.zeros_like(x)) for x in (k_BSGD, v_BSGD))
        out = attend(q_BSHD, k, v, end_row_BS)
        bad_B11S = paddle.logical_not(good_BS).unsqueeze([1, 2])
        sees_bad_BS1 = paddle.logical_and(dense_mask(end_row_BS), bad_B11S).any(axis=-1).transpose([0, 2, 1])
        return paddle.where(sees_bad_BS1, paddle.full_like(out, math.nan), out)

    return contained


@contain_bad_numbers
def dense_attention(q_BSHD, k_BSGD, v_BSGD, end_row_BS):
    """On every device, for any end_row; time and memory follow S x S."""
    batch, length, heads, head_dim = q_BSHD.shape
    groups = k_BSGD.shape[2]
    # [B, G, H/G, S, D] against [B, G, 1, S, D]: the heads of a group share their keys without a copy of them
    q = q_BSHD.reshape([batch, length, groups, heads // groups, head_dim]).transpose([0, 2, 3, 1, 4])
    k = k_BSGD.transpose([0, 2, 3, 1]).unsqueeze(2)  # [B, G, 1, D, S]
    v = v_BSGD.transpose([0, 2, 1, 3]).unsqueeze(2)  # [B, G, 1, S, D]
    weights = paddle.matmul(q * (1.0 / math.sqrt(head_dim)), k).astype("float32")  # [B, G, H/G, S, S]
    bias = paddle.where(dense_mask(end_row_BS), 0.0, paddle.finfo(paddle.float32).min).astype("float32")
    weights = F.softmax(weights + bias.unsqueeze(1), axis=-1).astype(v.dtype)
    out = paddle.matmul(weights, v)  # [B, G, H/G, S, D]
    return out.transpose([0, 3, 1, 2, 4]).reshape([batch, length, heads * head_dim])


@contain_bad_numbers
def block_attention(q_BSHD, k_BSGD, v_BSGD, end_row_BS):
    """For a CPU: attention block by block, a block being a solution (or a tree of them) that nothing else sees.

    Blocks of like length are gathered from all rows and attended to together, so that time and memory follow the
    sum of the squared block lengths, not S x S. One gather per tensor brings token and head into the order that the
    multiplications want, and one brings the result back: transposing would copy as much and need a gather besides.
    """
    batch, length, heads, head_dim = q_BSHD.shape
    groups = k_BSGD.shape[2]
    q = (q_BSHD * (1.0 / math.sqrt(head_dim))).reshape([-1, head_dim])  # [B * S * H, D]
    k, v = k_BSGD.reshape([-1, head_dim]), v_BSGD.reshape([-1, head_dim])  # [B * S * G, D]
    outputs, place_of, done = [], np.empty([batch * length, heads], "int64"), 0
    for tokens_NL, real_NL, mask in _buckets_of_blocks(end_row_BS.numpy()):
        blocks, longest = tokens_NL.shape
        at_NHL = _head_rows(tokens_NL, heads)
        at_NGL = paddle.to_tensor(_head_rows(tokens_NL, groups).reshape(-1))
        # the query heads of a group are consecutive and multiply its keys in one product
        queries = q.gather(paddle.to_tensor(at_NHL.reshape(-1))).reshape([blocks * groups, -1, head_dim])
        keys = k.gather(at_NGL).reshape([blocks * groups, longest, head_dim])
        values = v.gather(at_NGL).reshape([blocks * groups, longest, head_dim])
        weights = paddle.matmul(queries, keys, transpose_y=True).reshape([-1, longest, longest])  # [N * H, L, L]
        weights = F.softmax(weights + _mask_of_heads(mask, heads), axis=-1)
        out = paddle.matmul(weights.reshape([blocks * groups, -1, longest]), values)
        outputs.append(out.reshape([-1, head_dim]))  # [N * H * L, D]
        rows_NHL = done + np.arange(at_NHL.size).reshape(at_NHL.shape)
        place_of[tokens_NL[real_NL]] = rows_NHL.transpose(0, 2, 1)[real_NL]
        done += at_NHL.size
    together = outputs[0] if len(outputs) == 1 else paddle.concat(outputs)
    return together.gather(paddle.to_tensor(place_of.reshape(-1))).reshape([batch, length, heads * head_dim])


def _head_rows(tokens_NL: np.ndarray, heads: int) -> np.ndarray:
    """[N, heads, L]: where the heads of these tokens lie in a [tokens * heads, D] matrix."""
    return tokens_NL[:, None, :] * heads + np.arange(heads)[None, :, None]


def _mask_of_heads(mask: np.ndarray, heads: int):
    """[L, L] for all blocks, or one per block, repeated for its heads."""
    return paddle.to_tensor(mask if mask.ndim == 2 else np.repeat(mask, heads, axis=0))


def _buckets_of_blocks(end_row_BS: np.ndarray):
    """Per bucket of blocks of like length: the tokens' numbers in the flattened rows [N, L], which of them are real
    and not padding [N, L], and the additive mask, [L, L] where every block is a single solution, else [N, L, L]."""
    batch, length = end_row_BS.shape
    seen_until = np.maximum.accumulate(end_row_BS, axis=1)
    is_start = np.ones((batch, length), bool)
    is_start[:, 1:] = seen_until[:, :-1] <= np.arange(1, length)
    starts = np.flatnonzero(is_start)
    lengths = np.diff(np.append(starts, batch * length))
    flat_end = (end_row_BS + np.arange(batch)[:, None] * length).reshape(-1)
    size = -(-lengths // BUCKET) * BUCKET
    for longest in np.unique(size):
        chosen = size == longest
        longest = min(longest, lengths[chosen].max())
        offset = np.arange(longest)
        # padding behind a short block repeats its last token; whatever comes of it is never read
        tokens_NL = starts[chosen, None] + np.minimum(offset, lengths[chosen, None] - 1)
        causal = offset[:, None] >= offset
        relative_end_NL = flat_end[tokens_NL] - starts[chosen, None]
        if (relative_end_NL == lengths[chosen, None]).all():
            allowed = causal
        else:
            allowed = causal & (offset[:, None] < relative_end_NL[:, None, :])
            allowed |= np.eye(longest, dtype=bool)  # a padding row sees itself
        yield tokens_NL, offset < lengths[chosen, None], np.where(allowed, np.float32(0), np.finfo("float32").min)


def kernel_attention(q_BSHD, k_BSGD, v_BSGD, end_row_BS):
    """For a CPU: this project's compiled kernel; time and memory follow the pairs that attend."""
    out = operators.attention(q_BSHD, k_BSGD, v_BSGD, end_row_BS.numpy())
    return out.reshape([out.shape[0], out.shape[1], -1])


def flashmask_attention(q_BSHD, k_BSGD, v_BSGD, end_row_BS):
    """Paddle's kernel; needs CUDA and half precision."""
    end_row_B1S1 = end_row_BS.astype("int32").unsqueeze(1).unsqueeze(-1)
    out = F.flashmask_attention(q_BSHD, k_BSGD, v_BSGD, startend_row_indices=end_row_B1S1, causal=True)
    return out.reshape([out.shape[0], out.shape[1], -1])


def choose(use_flash_attention: bool, flash_mask: bool):
    """(attention function, one line saying which and why). FlashMask is asked for by both settings together;
    PaddleNLP's flash attention without row indices cannot keep packed solutions apart."""
    if not paddle.is_compiled_with_cuda():
        library, why_not = kernels()
        if library is not None:
            return kernel_attention, "compiled CPU kernel: this Paddle build has no CUDA kernels"
        return block_attention, f"block by block in Paddle's operations, without the compiled CPU kernel: {why_not}"
    if use_flash_attention and flash_mask:
        return flashmask_attention, "FlashMask: use_flash_attention and flash_mask are set"
    return dense_attention, "dense mask: FlashMask needs use_flash_attention and flash_mask"


def bound_in_layers(attention):
    """What Llama and Qwen2 bind when a layer is built and hand row indices through to."""

    def attend(
        q, config, k, v, attention_mask, output_attentions, *args, attn_mask_startend_row_indices=None, **others
    ):
        out_BSE = kv_cache.attend(attention, q, k, v, _checked(attn_mask_startend_row_indices))
        # with sequence parallelism what follows has the tokens of all rows one after another
        return out_BSE.reshape([-1, out_BSE.shape[-1]]) if config.sequence_parallel else out_BSE

    return attend


def as_they_are(states_BSGD, repeats: int):
    return states_BSGD


def mistral_forward(attention):
    """Of MistralAttention, whose attention_mask carries end_row."""

    def forward(self, hidden_states, attention_mask=None, position_ids=None, past_key_value=None, *args, **kw):
        end_row_BS = _checked(attention_mask)
        batch, length, _ = hidden_states.shape
        q = self.q_proj(hidden_states).reshape([batch, length, self.num_heads, self.head_dim])
        k = self.k_proj(hidden_states).reshape([batch, length, self.num_key_value_heads, self.head_dim])
        v = self.v_proj(hidden_states).reshape([batch, length, self.num_key_value_heads, self.head_dim])
        tables = [table.unsqueeze([0, 2]) for table in self.rotary_emb(v, seq_len=length)]
        # Llama's is Mistral's for tokens before heads, which saves transposing back and forth
        q, k = llama.apply_rotary_pos_emb(q, k, *tables, position_ids)
        return self.o_proj(kv_cache.attend(attention, q, k, v, end_row_BS)), None, None

    return forward


def end_row_as_mask(self, end_row_BS, *args):
    return end_row_BS


def is_patched() -> bool:
    """Whether the models that are built now attend through this project's attention."""
    return llama.scaled_dot_product_attention.__module__ == __name__


def _checked(end_row_BS):
    if end_row_BS is None:
        raise ValueError(
            "A model with this project's attention was called without end_row. Call it through "
            "llm.core.model.forward.hidden_states, which passes end_row to every layer."
        )
    return end_row_BS
