"""A model's configuration: read, checked for what is supported, and compared with the tokenizer and the data."""

from __future__ import annotations

from paddlenlp.transformers.configuration_utils import PretrainedConfig

from llm.core.console import in_short
from llm.core.model import supported
from llm.core.model.load import FAMILIES


def load_config(name_or_path: str):
    """The model's configuration; refused are other architectures, and settings that would not be obeyed."""
    try:
        settings, _ = PretrainedConfig.get_config_dict(name_or_path)
        settings = supported.with_rope_settings(settings)
    except Exception as error:
        raise ValueError(
            f"model_name_or_path: no configuration could be read from {name_or_path!r} ({in_short(error)}). "
            "A folder needs config.json; a model's name needs a connection to its hub."
        ) from error
    if problem := supported.problem_of_architecture(settings):
        raise ValueError(f"model_name_or_path: the config.json of {name_or_path!r} has {problem}")
    if problems := supported.problems_of_settings(settings):
        raise ValueError(
            f"model_name_or_path: the config.json of {name_or_path!r} has settings that change what the model computes "
            f"and that are not supported here: {'; '.join(problems)}. Give another model, or "
            "correct the file if it is wrong."
        )
    return FAMILIES[settings["model_type"]].config_class.from_dict(settings)


def check_vocabulary(config, tokenizer) -> None:
    """Every id that can occur must have a row in the embedding."""
    highest = len(tokenizer) - 1
    if highest >= config.vocab_size:
        raise ValueError(
            f"tokenizer_name_or_path: the tokenizer has ids up to {highest}, the model rows for {config.vocab_size}. "
            "They do not belong together: give the model's own tokenizer."
        )


def longest_solution(config) -> int:
    """Tokens that a single solution may have for this model: its positions, and Mistral's window, which the mask here
    does not cut."""
    window = getattr(config, "sliding_window", None) if config.model_type == "mistral" else None
    return min(config.max_position_embeddings, window or config.max_position_embeddings)
