"""Which convention a folder's model is read by: what its files tell, or what the user says. No paddle here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from llm.alignment.rm.flashmask.reward_format import FORMAT_FILE, SETTINGS_FILE, load_format
from llm.scoring.conventions import (
    implicit,
    math_shepherd,
    own,
    pure,
    qwen_prm,
    reasoneval,
    rlhflow,
    skywork,
    trl,
    universal,
)

PUBLISHED: dict[str, ModuleType] = {
    module.NAME: module
    for module in (math_shepherd, qwen_prm, rlhflow, skywork, trl, pure, reasoneval, implicit, universal)
}
CHOICES = (own.NAME, *PUBLISHED)
# What the weights of a head are called, by its kind; a model without one is read by its LM head.
HEADS = {
    "mlp": ("score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias"),
    "value": ("v_head.summary.weight", "v_head.summary.bias"),
    "classes": ("score_head.weight", "score_head.bias"),
    "linear": ("score.weight", "score.bias"),
    "scalar": ("score.weight", "score.bias"),
}
MODEL_HEADS = ("lm", "next token")  # read by the LM head


def is_of_this_project(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (FORMAT_FILE, SETTINGS_FILE))


def choose(folder: Path, asked: str | None, tensors: dict[str, list[int]]) -> str:
    """One of PUBLISHED. `tensors` are the shapes of the weights by name that no backbone has."""
    if asked == own.NAME:
        load_format(folder)  # which says what is missing
    fitting = [name for name, module in PUBLISHED.items() if _fits(module.HEAD, tensors)]
    if asked is not None:
        if asked not in fitting:
            raise ValueError(
                f"convention {asked}: it reads {_described(PUBLISHED[asked].HEAD)}, and {folder} holds "
                f"{', '.join(tensors) or 'no head beside the LM head'}. {_remedy(fitting)}"
            )
        return asked
    if len(fitting) == 1:
        return fitting[0]
    raise ValueError(f"{folder}: its files do not tell by which convention the model was trained. {_remedy(fitting)}")


def _fits(head: str, tensors: dict[str, list[int]]) -> bool:
    own_head = {name for names in HEADS.values() for name in names} & tensors.keys()
    if head in MODEL_HEADS:
        return not own_head
    outputs = tensors.get("score.weight", [0])[0]
    wanted = {"linear": outputs == 2, "scalar": outputs == 1}.get(head, True)
    return bool(own_head) and own_head <= set(HEADS[head]) and wanted


def _described(head: str) -> str:
    return "the LM head" if head in MODEL_HEADS else f"a head named {', '.join(HEADS[head])}"


def _remedy(fitting: Iterable[str]) -> str:
    return f"Say which with convention (score --convention): {', '.join(fitting)}."
