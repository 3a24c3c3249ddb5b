"""A model's config.json: read, checked for what is supported, compared with the tokenizer. No paddle for folders."""

from __future__ import annotations

from collections.abc import Sized
from pathlib import Path
from typing import Any

from llm.core.console import in_short, listed
from llm.core.model import supported
from llm.core.model.families import FAMILIES
from llm.core.model.head.head_kinds import LM
from llm.core.model.sizes import Sizes, sizes_of
from llm.core.strict_json import read_object

MOST_BYTES = 1 << 20  # of a config.json


def read_config(name_or_path: str, reward_head: str | None = None) -> dict[str, Any]:
    """The members of config.json; other architectures and settings that would not be obeyed are refused. The head is
    the one that the folder names, as this project's do, or the `reward_head` that is asked for: if that is a head of
    its own, the model may be of an architecture that has one, too."""
    try:
        members = _members(name_or_path)
    except Exception as error:  # a hub fails in many ways
        raise ValueError(
            f"model_name_or_path: no configuration could be read from {name_or_path!r} ({in_short(error)}). "
            "A folder needs config.json; a model's name needs a connection to its hub."
        ) from error
    if reward_head not in (None, LM):
        members = _as_causal_lm(members)
    return supported.check(_with_head(members, reward_head, name_or_path), _where(name_or_path))


def _where(name_or_path: str) -> str:
    return f"model_name_or_path: the config.json of {name_or_path!r}"


def _as_causal_lm(members: dict[str, Any]) -> dict[str, Any]:
    family = FAMILIES.get(str(members.get("model_type")))
    return members | {"architectures": [family.architecture]} if family else members


def _with_head(members: dict[str, Any], asked: str | None, name_or_path: str) -> dict[str, Any]:
    held = members.get("reward_head") or LM
    if asked == LM != held:
        raise ValueError(
            f"reward_head: the model in {name_or_path!r} has no LM head, but one of its own: write reward_head {held}."
        )
    members = {name: value for name, value in members.items() if name != "reward_head"}
    if (head := asked or held) == LM:
        return members
    return members | {"reward_head": head, "tie_word_embeddings": False}  # there is no LM head that could be tied


def _members(name_or_path: str) -> dict[str, Any]:
    folder = Path(name_or_path)
    if folder.is_dir():
        return read_object(folder / "config.json", MOST_BYTES)
    from paddlenlp.transformers.configuration_utils import PretrainedConfig

    return PretrainedConfig.get_config_dict(name_or_path)[0]


def load_config(name_or_path: str, reward_head: str | None = None) -> Any:
    """The same as PaddleNLP's configuration object."""
    config = read_config(name_or_path, reward_head)
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


def load_backbone_config(name_or_path: str, reward_head: str) -> tuple[Any, Sizes]:
    """Of a model whose architecture may be any, with the head that is read of it."""
    where = _where(name_or_path)
    members = _with_head(_as_causal_lm(_members(name_or_path)), reward_head, name_or_path)
    members = supported.check(members, where)
    return FAMILIES[members["model_type"]].causal_lm().config_class.from_dict(members), sizes_of(members, where)


def read_sizes(name_or_path: str, reward_head: str | None = None) -> Sizes:
    return sizes_of(read_config(name_or_path, reward_head), f"the config.json of {name_or_path!r}")


def check_vocabulary(sizes: Sizes, tokenizer: Sized) -> None:
    """Every id that can occur must have a row in the embedding."""
    highest = len(tokenizer) - 1
    if highest >= sizes.vocab_size:
        raise ValueError(
            f"tokenizer_name_or_path: the tokenizer has ids up to {highest}, the model has rows for "
            f"{sizes.vocab_size}. They do not belong together: give the model's own tokenizer."
        )
