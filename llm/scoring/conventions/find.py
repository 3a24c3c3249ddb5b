"""Which convention a folder's model is read by: what its files tell, or what the user says. No paddle here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from llm.alignment.rm.flashmask.reward_format import FORMAT_FILE, SETTINGS_FILE, load_format
from llm.core.model.head.head_kinds import KINDS, LM, NAMES, described, fits
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
MODEL_HEADS = (LM, "next token")  # a module's HEAD is one of these, read by the LM head, or a kind of head


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
                f"{described(tensors)}. {_remedy(fitting)}"
            )
        return asked
    if len(fitting) == 1:
        return fitting[0]
    raise ValueError(f"{folder}: its files do not tell by which convention the model was trained. {_remedy(fitting)}")


def _fits(head: str, tensors: dict[str, list[int]]) -> bool:
    return not NAMES & tensors.keys() if head in MODEL_HEADS else fits(KINDS[head], tensors)


def _described(head: str) -> str:
    return "the LM head" if head in MODEL_HEADS else f"a head named {', '.join(KINDS[head].names)}"


def _remedy(fitting: Iterable[str]) -> str:
    return f"Say which with convention (score --convention): {', '.join(fitting)}."
