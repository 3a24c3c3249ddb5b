"""What a model's config.json asks for: the families that are supported, and the settings that are not. No paddle here.

PaddleNLP's models silently ignore what they do not know: a rope_scaling, a head_dim or a bias would be left out of the
computation. Whatever changes the numbers is obeyed or refused here, before a weight is read.
"""

from __future__ import annotations

from typing import Any

from llm.core.console import visible
from llm.core.model.families import FAMILIES
from llm.core.model.head.head_kinds import KINDS as HEADS
from llm.core.model.head.head_kinds import TRAINED

SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
MAY_BE_NULL = ("num_key_value_heads", "sliding_window")  # as many as heads; none
# Published models have 1e-5 or 1e-6, and 1e4 to 1e9; far from them float32 gives NaN, or Paddle fails.
NUMBERS = {"rms_norm_eps": (1e-20, 1.0), "rope_theta": (1.0, 1e15)}
SCALINGS = (1e-6, 1e9)  # of each of these
LLAMA3_SCALING = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
# setting -> the values that the models here compute with; leaving it out or null means the first
SUPPORTED_VALUES: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "attention_dropout": (0.0,),
    "use_sliding_window": (False,),
    "partial_rotary_factor": (1.0,),
    "rope_scaling_type": (None,),  # PaddleNLP's own; its dynamic_ntk depends on what else lies in the row
    "alibi": (False,),
    "use_last_token_for_generation": (False,),  # would leave one hidden state per row
    "use_long_sequence_strategies": (False,),
    "fuse_attention_qkv": (False,),
    "fuse_attention_ffn": (False,),
    "quantization_config": (None, {}),
    "sequence_parallel": (False,),  # a setting of a run, not of a model
}
LARGEST = {"num_hidden_layers": 10_000, "max_position_embeddings": 1 << 22}  # of others 2**31 - 1, as Paddle counts
OTHER_NAMES = ("n_positions", "n_embd", "n_layer", "n_head", "n_inner", "activation_function", "num_classes")
# settings that PaddleNLP's configuration computes with, although nothing here does: what they may be, besides null
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "architectures": ((list,), "a list of names"),
    "layer_types": ((list,), "a list of names"),
    "id2label": ((dict,), "an object with numbers as keys"),
    "label2id": ((dict,), "an object"),
    "pruned_heads": ((dict,), "an object with numbers as keys"),
    "attribute_map": ((), "nothing"),
    "problem_type": ((), "nothing, as it belongs to a classifier,"),
    "torch_dtype": ((str,), "a text"),
    "dtype": ((str,), "a text"),
    "use_cache": ((bool,), "true or false"),
}


def check(settings: dict, where: str) -> dict:
    """The settings of a config.json as PaddleNLP reads them; ValueError names those that would not be obeyed."""
    try:
        settings = with_rope_settings(settings)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if problem := problem_of_architecture(settings):
        raise ValueError(f"{where}: {problem}")
    if problems := problems_of_settings(settings):
        raise ValueError(
            f"{where}: {'; '.join(problems)}. What is not supported would change what the model computes: give another "
            "model, or correct what is wrong."
        )
    return settings


def problem_of_architecture(settings: dict) -> str | None:
    """None, or why this model is none of the supported families' causal LMs."""
    known = f"supported are {', '.join(FAMILIES)} with architectures "
    known += ", ".join(family.architecture for family in FAMILIES.values())
    model_type, architectures = settings.get("model_type"), settings.get("architectures")
    if model_type not in tuple(FAMILIES):
        return f"model_type {model_type!r} (architectures {architectures!r}): {known}."
    if architectures is not None and not (_is_names(architectures)):
        return f"architectures {_value(architectures)}: a list of names is needed. {known}"
    # a pipeline of PaddleNLP saves the same weights as "...Pipe"
    if architectures and [name.removesuffix("Pipe") for name in architectures] != [FAMILIES[model_type].architecture]:
        return (
            f"architectures {architectures!r} of model_type {model_type!r}: {known}. A reward is read from the causal "
            "LM's head; give the causal LM that this model was made from, or keep the head of a reward model with "
            f"reward_head {' or '.join(TRAINED[1:])}."
        )
    return None


def with_rope_settings(settings: dict) -> dict:
    """The same settings with rope_theta and rope_scaling as PaddleNLP reads them: newer transformers write both as
    rope_parameters, older ones call rope_type `type`."""
    settings = dict(settings)
    parameters = settings.pop("rope_parameters", None) or {}
    for name, value in (("rope_parameters", parameters), ("rope_scaling", settings.get("rope_scaling") or {})):
        if not isinstance(value, dict):
            raise ValueError(f"{name} {_value(value)} is not an object of settings")
    scaling = {name: value for name, value in parameters.items() if name != "rope_theta"}
    scaling = scaling or settings.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    settings["rope_scaling"] = None if kind == "default" else scaling | {"rope_type": kind}
    if parameters.get("rope_theta") is not None:
        settings["rope_theta"] = parameters["rope_theta"]
    return settings


def problems_of_settings(settings: dict) -> list[str]:
    """Every setting that would not be obeyed: its name, its value and what is supported."""
    family = FAMILIES[settings["model_type"]]
    problems = [
        f"{name} {_value(settings[name])}: only {supported[0]!r} is supported"
        for name, supported in SUPPORTED_VALUES.items()
        if settings.get(name) is not None
        and settings[name] not in supported
        and not (name == "attention_bias" and family.biased)  # always there, whatever it says
    ]
    layer_types = settings.get("layer_types") or []
    if _is_names(layer_types) and set(layer_types) - {"full_attention"}:
        problems.append(f"layer_types {_value(layer_types)}: only 'full_attention' is supported, in every layer")
    if (head := settings.get("reward_head")) is not None and head not in tuple(HEADS):
        problems.append(f"reward_head {_value(head)}: only {', '.join(HEADS)} are supported")
    if settings.get("tie_word_embeddings") and not family.can_tie_head:
        why = f"PaddleNLP's {family.name} has a separate head"
        problems.append(f"tie_word_embeddings True: only False is supported ({why})")
    return problems + _problems_of_kinds(settings) + _problems_of_sizes(settings) + _problems_of_rope_scaling(settings)


def _problems_of_kinds(settings: dict) -> list[str]:
    """Types that PaddleNLP would fail at, and names by which it would change a size that was checked."""
    problems = [
        f"{name} {_value(settings[name])}: {needed} is needed"
        for name, (kinds, needed) in KINDS.items()
        if settings.get(name) is not None and not isinstance(settings[name], kinds)
    ]
    for name in ("id2label", "pruned_heads"):
        given = settings.get(name)
        if isinstance(given, dict) and not all(key.isascii() and key.isdigit() and len(key) < 10 for key in given):
            problems.append(f"{name} {_value(given)}: an object with numbers as keys is needed")
    labels = settings.get("num_labels", 2)
    if type(labels) is not int or not 1 <= labels <= 1 << 16:
        problems.append(f"num_labels {_value(labels)}: a whole number from 1 to {1 << 16} is needed")
    if (layers := settings.get("layer_types")) is not None and isinstance(layers, list) and not _is_names(layers):
        problems.append(f"layer_types {_value(layers)}: a list of names is needed")
    aliases = [name for name in OTHER_NAMES if name in settings]
    return problems + [f"{name} {_value(settings[name])}: write it by its usual name" for name in aliases]


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _value(value: object, longest: int = 100) -> str:
    """In short: whoever wrote the file may have written a list of a million."""
    text = visible(repr(value))
    return text if len(text) <= longest else f"{text[:longest]}..."


def _problems_of_sizes(settings: dict) -> list[str]:
    defaults = FAMILIES[settings["model_type"]].defaults
    settings = defaults | settings
    whole = [name for name in (*SIZES, *defaults) if name not in MAY_BE_NULL or settings[name] is not None]
    bad = [name for name in whole if type(settings.get(name)) is not int or settings[name] < 1]
    problems = [f"{_shown(settings, name)}: a whole number above 0 is needed" for name in bad]
    for name in (name for name in whole if name not in bad):
        if settings[name] > (most := LARGEST.get(name, (1 << 31) - 1)):
            problems.append(f"{_shown(settings, name)}: it can be at most {most:,}")
    problems += [
        f"{name} {_value(settings[name])}: a number from {least:g} to {most:g} is needed"
        for name, (least, most) in NUMBERS.items()
        if name in settings and not _is_number(settings[name], least, most)
    ]
    if settings.get("tie_word_embeddings") not in (None, True, False):
        problems.append(f"tie_word_embeddings {settings['tie_word_embeddings']!r}: true or false is needed")
    if problems:
        return problems
    hidden, heads = settings["hidden_size"], settings["num_attention_heads"]
    groups, head_dim = settings["num_key_value_heads"] or heads, settings.get("head_dim")
    problems = []
    if FAMILIES[settings["model_type"]].norms_heads:
        if settings["head_dim"] % 2:
            problems.append(
                f"head_dim {settings['head_dim']}: an even number is needed, as the rotary embedding turns pairs"
            )
    elif hidden % heads:
        problems.append(f"num_attention_heads {heads}: hidden_size {hidden} is not a multiple of it")
    elif head_dim is not None and (type(head_dim) is not int or head_dim * heads != hidden):
        problems.append(
            f"head_dim {_value(head_dim)}: only hidden_size / num_attention_heads = {hidden // heads} is supported"
        )
    if heads % groups:
        problems.append(f"num_key_value_heads {groups}: num_attention_heads {heads} is not a multiple of it")
    return problems


def _shown(settings: dict, name: str) -> str:
    return f"{name} {_value(settings[name])}" if name in settings else f"{name} is missing"


def _problems_of_rope_scaling(settings: dict) -> list[str]:
    scaling = settings["rope_scaling"]
    if scaling is None:
        return []
    shown = f"rope_scaling (or rope_parameters) {_value(scaling, 300)}"
    kinds = FAMILIES[settings["model_type"]].rope_scalings
    if scaling["rope_type"] not in kinds:
        return [f"{shown}: only {' or rope_type '.join(['null', *map(repr, kinds)])} is supported"]
    missing = [key for key in LLAMA3_SCALING if not _is_number(scaling.get(key), *SCALINGS)]
    if missing:
        least, most = SCALINGS
        return [f"{shown}: {', '.join(missing)} must be given as numbers from {least:g} to {most:g}"]
    if scaling["low_freq_factor"] >= scaling["high_freq_factor"]:
        return [f"{shown}: low_freq_factor must be smaller than high_freq_factor"]
    return []


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
