"""Sizes and a plan so small that what they need can be counted by hand."""

from llm.core.model.sizes import Sizes
from llm.estimate.plan import Plan

SMALL = Sizes(
    "llama",
    vocab_size=10,
    hidden_size=8,
    intermediate_size=16,
    num_hidden_layers=4,
    num_attention_heads=2,
    num_key_value_heads=2,
    tie_word_embeddings=False,
    max_position_embeddings=32,
)
PLAN = Plan(rows=3, tokens=5, precision="float32", micro_batches=4)
