"""Qwen3's config.json. What it may leave out is what transformers assumes then."""

from __future__ import annotations

from paddlenlp.transformers.qwen2.configuration import Qwen2Config


class Qwen3Config(Qwen2Config):
    model_type = "qwen3"

    def __init__(self, num_key_value_heads=32, max_position_embeddings=32768, head_dim=128, **settings):
        self.head_dim = head_dim
        super().__init__(
            num_key_value_heads=num_key_value_heads, max_position_embeddings=max_position_embeddings, **settings
        )
