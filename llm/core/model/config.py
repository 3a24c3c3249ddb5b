"""A model's config.json: read, checked for what is supported, compared with the tokenizer. No paddle for folders."""

from __future__ import annotations

from collections.abc import Sized
from pathlib import Path
from typing import Any

from llm.core.console import in_short, listed
from llm.core.model import supported
from llm.core.model.families import FAMILIES
from llm.core.model.sizes import Sizes, sizes_of
from llm.core.strict_json import read_object

MOST_BYTES = 1 << 20  # of a config.json


def read_config(name_or_path: str) -> dict[str, Any]:
    """The members of config.json; other architectures and settings that would not be obeyed are refused."""
    try:
        members = _members(name_or_path)
    except Exception as error:  # a hub fails in many ways
        raise ValueError(
            f"model_name_or_path: no configuration could be read from {name_or_path!r} ({in_short(error)}). "
            "A folder needs config.json; a model's name needs a connection to its hub."
        ) from error
    return supported.check(members, f"model_name_or_path: the config.json of {name_or_path!r}")


def _members(name_or_path: str) -> dict[str, Any]:
    folder = Path(name_or_path)
    if folder.is_dir():
        return read_object(folder / "config.json", MOST_BYTES)
    from paddlenlp.transformers.configuration_utils import PretrainedConfig

    return PretrainedConfig.get_config_dict(name_or_path)[0]


def load_config(name_or_path: str) -> Any:
    """The same as PaddleNLP's configuration object."""
    config = read_config(name_or_path)
    kind = FAMILIES[config["model_type"]].causal_lm().config_class
    own = [name for name in config if name.startswith("__") or callable(getattr(kind, name, None))]
    own += [name for name in config if isinstance(getattr(kind, name, None), property) and name != "num_labels"]
    if own:  # they would take the place of the object's own methods
        raise ValueError(
            f"model_name_or_path: the config.json of {name_or_path!r}: {listed(own)}: no setting has such a name; "
            "remove it."
        )
    means_default = {"num_labels", *supported.KINDS, *supported.SUPPORTED_VALUES}
    config = {name: value for name, value in config.items() if value is not None or name not in means_default}
    return kind.from_dict(config)


def load_backbone_config(name_or_path: str) -> tuple[Any, Sizes]:
    """Of a model whose architecture may have another head than a causal LM's: the same as its backbone's causal LM."""
    where = f"model_name_or_path: the config.json of {name_or_path!r}"
    members = _members(name_or_path)
    if (family := FAMILIES.get(str(members.get("model_type")))) is not None:
        members["architectures"] = [family.architecture]
    members = supported.check(members, where)
    return FAMILIES[members["model_type"]].causal_lm().config_class.from_dict(members), sizes_of(members, where)


def read_sizes(name_or_path: str) -> Sizes:
    return sizes_of(read_config(name_or_path), f"the config.json of {name_or_path!r}")


def check_vocabulary(sizes: Sizes, tokenizer: Sized) -> None:
    """Every id that can occur must have a row in the embedding."""
    highest = len(tokenizer) - 1
    if highest >= sizes.vocab_size:
        raise ValueError(
            f"tokenizer_name_or_path: the tokenizer has ids up to {highest}, the model has rows for "
            f"{sizes.vocab_size}. They do not belong together: give the model's own tokenizer."
        )
