"""A model's configuration: read, checked for what is supported, and compared with the tokenizer and the data."""

from __future__ import annotations

from llm.core.console import in_short
from llm.core.model import supported
from llm.core.model.families import FAMILIES, family_of


def load_config(name_or_path: str):
    """The model's configuration; refused are other architectures, and settings that would not be obeyed."""
    from paddlenlp.transformers.configuration_utils import PretrainedConfig

    try:
        settings, _ = PretrainedConfig.get_config_dict(name_or_path)
    except Exception as error:
        raise ValueError(
            f"model_name_or_path: no configuration could be read from {name_or_path!r} ({in_short(error)}). "
            "A folder needs config.json; a model's name needs a connection to its hub."
        ) from error
    settings = supported.check(settings, f"model_name_or_path: the config.json of {name_or_path!r}")
    return FAMILIES[settings["model_type"]].causal_lm().config_class.from_dict(settings)


def check_vocabulary(config, tokenizer) -> None:
    """Every id that can occur must have a row in the embedding."""
    highest = len(tokenizer) - 1
    if highest >= config.vocab_size:
        raise ValueError(
            f"tokenizer_name_or_path: the tokenizer has ids up to {highest}, the model rows for {config.vocab_size}. "
            "They do not belong together: give the model's own tokenizer."
        )


def longest_solution(config) -> int:
    """Tokens that a single solution may have for this model: its positions, and a sliding window, because the mask here
    does not cut solutions to it."""
    window = getattr(config, "sliding_window", None) if family_of(config).window_counts else None
    return min(config.max_position_embeddings, window or config.max_position_embeddings)
