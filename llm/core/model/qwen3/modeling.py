"""Qwen3, which PaddleNLP 3.0.0b4 lacks: its Qwen2 with another attention. The projections have no bias, a head's width
is a size of its own, and every head of the queries and keys is normalised before the rotary embedding.

What llm/core/patches.py replaces in PaddleNLP's Qwen2 is replaced here, too: it is looked up there.

Legend of the shapes: B rows, S tokens, H query heads, G key/value heads, D features of a head, E hidden size.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import paddle
from paddle import nn
from paddle.distributed import fleet
from paddle.distributed.fleet.layers.mpu import mp_ops
from paddle.distributed.fleet.recompute.recompute import recompute
from paddlenlp.transformers import linear_utils
from paddlenlp.transformers.model_utils import register_base_model
from paddlenlp.transformers.qwen2 import modeling as qwen2

from llm.core.model.qwen3.configuration import Qwen3Config


class _Norm(NamedTuple):
    """What Qwen2RMSNorm's forward reads of a layer."""

    weight: Any
    variance_epsilon: float
    config: Qwen3Config


class HeadNorm(nn.Layer):
    """RMSNorm over the features of each head, with one weight for all heads."""

    def __init__(self, config: Qwen3Config):
        super().__init__()
        self.config = config
        self.weight = paddle.create_parameter(
            [config.head_dim], paddle.get_default_dtype(), default_initializer=nn.initializer.Constant(1.0)
        )

    def forward(self, x_BSHD):
        weight_D = self.weight
        if self.config.tensor_parallel_degree > 1:
            # every rank has some of the heads: the weight's gradient is the sum over all of them
            group = fleet.get_hybrid_communicate_group().get_model_parallel_group()
            weight_D = mp_ops._c_identity(weight_D, group=group)
        return qwen2.Qwen2RMSNorm.forward(_Norm(weight_D, self.config.rms_norm_eps, self.config), x_BSHD)


class Qwen3Attention(nn.Layer):
    def __init__(self, config: Qwen3Config, layerwise_recompute: bool = True):
        super().__init__()
        self.config = config
        self.seq_length = config.seq_length  # set by sequence_parallel.set_row_length
        self.enable_recompute = False  # set by the trainer
        self.layerwise_recompute = layerwise_recompute
        queries, keys = (heads * config.head_dim for heads in (config.num_attention_heads, config.num_key_value_heads))
        self.q_proj = _divided_outputs(config, queries)
        self.k_proj = _divided_outputs(config, keys)
        self.v_proj = _divided_outputs(config, keys)
        self.o_proj = _divided_inputs(config, queries)
        self.q_norm, self.k_norm = HeadNorm(config), HeadNorm(config)
        self.rotary_emb = qwen2.Qwen2RotaryEmbedding(config.head_dim, config.max_position_embeddings, config.rope_theta)
        self.attend = qwen2.scaled_dot_product_attention

    def forward(
        self,
        hidden_states,
        position_ids=None,
        past_key_value=None,
        attention_mask=None,
        output_attentions=False,
        use_cache=False,
        attn_mask_startend_row_indices=None,
    ):
        """[B, S, E], or with sequence parallelism this rank's part of [B * S, E]"""
        config = self.config
        q, k, v = (projection(hidden_states) for projection in (self.q_proj, self.k_proj, self.v_proj))
        rows = [-1, self.seq_length] if config.sequence_parallel else hidden_states.shape[:2]
        q_BSHD, k_BSGD, v_BSGD = (
            x.reshape([*rows, x.shape[-1] // config.head_dim, config.head_dim]) for x in (q, k, v)
        )
        tables = self.rotary_emb(v_BSGD, seq_len=v_BSGD.shape[1])
        q_BSHD, k_BSGD = qwen2.apply_rotary_pos_emb(self.q_norm(q_BSHD), self.k_norm(k_BSGD), *tables, position_ids)
        inputs = q_BSHD, config, k_BSGD, v_BSGD, attention_mask, output_attentions
        masks = {"attn_mask_startend_row_indices": attn_mask_startend_row_indices}
        if self.enable_recompute and self.layerwise_recompute and config.recompute_granularity == "core_attn":
            out = recompute(self.attend, *inputs, **masks, use_reentrant=config.recompute_use_reentrant)
        else:
            out = self.attend(*inputs, **masks)
        return self.o_proj(out)


def _divided_outputs(config: Qwen3Config, outputs: int):
    if config.tensor_parallel_degree <= 1:
        return linear_utils.Linear(config.hidden_size, outputs, bias_attr=False)
    kind = linear_utils.ColumnSequenceParallelLinear if config.sequence_parallel else linear_utils.ColumnParallelLinear
    return kind(config.hidden_size, outputs, has_bias=False, gather_output=False)


def _divided_inputs(config: Qwen3Config, inputs: int):
    if config.tensor_parallel_degree <= 1:
        return linear_utils.Linear(inputs, config.hidden_size, bias_attr=False)
    kind = linear_utils.RowSequenceParallelLinear if config.sequence_parallel else linear_utils.RowParallelLinear
    return kind(inputs, config.hidden_size, has_bias=False, input_is_parallel=True)


class Qwen3DecoderLayer(qwen2.Qwen2DecoderLayer):
    def __init__(self, config: Qwen3Config, layerwise_recompute: bool = False, skip_recompute_ops=None):
        nn.Layer.__init__(self)  # past Qwen2's, which would build its attention
        self.config = config
        self.hidden_size = config.hidden_size
        self.self_attn = Qwen3Attention(config, layerwise_recompute)
        self.mlp = qwen2.Qwen2MLP(config)
        self.input_layernorm = qwen2.Qwen2RMSNorm(config)
        self.post_attention_layernorm = qwen2.Qwen2RMSNorm(config)
        self.enable_recompute = False  # set by the trainer
        self.layerwise_recompute = layerwise_recompute
        self.recompute_granularity = config.recompute_granularity
        self.skip_recompute_ops = {}


class Qwen3PretrainedModel(qwen2.Qwen2PretrainedModel):
    config_class = Qwen3Config
    base_model_prefix = "qwen3"


@register_base_model
class Qwen3Model(Qwen3PretrainedModel, qwen2.Qwen2Model):
    def __init__(self, config: Qwen3Config):
        without_layers = copy.copy(config)
        without_layers.num_hidden_layers = 0
        qwen2.Qwen2Model.__init__(self, without_layers)  # PaddleNLP gives every class an __init__, so no super()
        self.config = config
        self.layers = nn.LayerList(
            [
                Qwen3DecoderLayer(config, layerwise_recompute=number not in self.no_recompute_layers)
                for number in range(config.num_hidden_layers)
            ]
        )


class Qwen3ForCausalLM(Qwen3PretrainedModel):
    """Hidden states and rows of the head are asked of its parts (forward.py, heads.py)."""

    _tied_weights_keys = ["lm_head.weight"]

    def __init__(self, config: Qwen3Config):
        super().__init__(config)
        self.qwen3 = Qwen3Model(config)
        tied = {"embedding_weights": self.qwen3.embed_tokens.weight, "transpose_y": True}
        self.lm_head = qwen2.Qwen2LMHead(config, **tied if config.tie_word_embeddings else {})
        self.tie_weights()
        self.vocab_size = config.vocab_size

    def get_input_embeddings(self):
        return self.qwen3.embed_tokens

    def get_output_embeddings(self):
        return self.lm_head
