"""What happens where settings of run_dpo.py cannot hold, besides those of every training (llm/core/run/checks.py).
No paddle here."""

from __future__ import annotations

from enum import Enum

from llm.alignment.dpo import outcome_metrics
from llm.alignment.dpo.dpo_metrics import METRICS, NOT_FOR_BEST
from llm.alignment.dpo.loss_kinds import KINDS, ORPO, SIMPO
from llm.core.model.config import read_sizes
from llm.core.model.folder import find_model
from llm.core.model.head.head_kinds import LM
from llm.core.parallel import layout
from llm.core.run import checks
from llm.core.settings.settings import Settings

NAMED, AHEAD = "reference_model_name_or_path", "reference_logprobs"


class Reference(Enum):
    """Where the log-probabilities of the reference come from."""

    NONE = "there is none"
    MODEL = "a second model"
    ADAPTERS = "the policy without its adapters"
    FILE = "what a model said ahead"


def reference_of(settings: Settings) -> Reference:
    if settings["reference_free"] or not KINDS[settings["loss_type"]].needs_reference:
        return Reference.NONE
    if settings[AHEAD]:
        return Reference.FILE
    return Reference.ADAPTERS if settings["lora"] and not settings[NAMED] else Reference.MODEL


def note_problems(settings: Settings, ranks: int, has_cuda: bool) -> None:
    of_labels = KINDS[settings["loss_type"]].of_labels
    metrics, others = (outcome_metrics.METRICS, outcome_metrics.NOT_FOR_BEST) if of_labels else (METRICS, NOT_FOR_BEST)
    checks.note_problems(settings, ranks, has_cuda, [name for name in metrics if name not in others])
    _check_loss(settings)
    _check_reference(settings)


def _check_loss(settings: Settings) -> None:
    kind, name = KINDS[settings["loss_type"]], f"loss_type {settings['loss_type']}"
    if kind.by_mean:
        settings.change_default("normalize_logps", True, f"{name} is about means over tokens")
    if kind.smooths and not settings["label_smoothing"]:
        settings.refuse("label_smoothing", f"{name} needs the share of wrong preferences; write a number above 0")
    if not kind.smooths and settings["label_smoothing"]:
        smoothing = ", ".join(other for other, one in KINDS.items() if one.smooths)
        settings.refuse("label_smoothing", f"{name} has none; leave it out, or write loss_type {smoothing}")
    if settings["loss_type"] != SIMPO and settings["simpo_gamma"] != settings.parameters["simpo_gamma"].default:
        settings.refuse("simpo_gamma", f"{name} has no margin; leave it out, or write loss_type {SIMPO}")
    if settings["loss_type"] == ORPO and settings["sft_loss_ratio"]:
        settings.refuse("sft_loss_ratio", f"{name} has such a term already; leave it out")
    if kind.over_batch:
        _check_batch(settings, name)
    if kind.of_labels:
        for other in ("normalize_logps", "sft_loss_ratio", "reference_free"):
            if settings[other]:
                why = f"{name} makes rewards of whole log-ratios and of nothing else"
                settings.refuse(other, f"{why}; leave it out")


def _check_batch(settings: Settings, name: str) -> None:
    """Every pair is compared with the mean of all pairs of its update, which must be in memory together."""
    why = f"{name} needs the log-ratios of all pairs of an update at once"
    settings.change_default("gradient_accumulation_steps", 1, f"{why}, and a micro-batch has a part of them")
    if layout.degree(settings, layout.PIPELINE) > 1:
        settings.refuse(layout.PIPELINE, f"{why}, and a pipeline has them in micro-batches; write another layout")


def _check_reference(settings: Settings) -> None:
    reference = reference_of(settings)
    free = "reference_free is true" if settings["reference_free"] else f"loss_type {settings['loss_type']} has none"
    for name in (NAMED, AHEAD):
        if settings[name] and reference is Reference.NONE:
            settings.refuse(name, f"{free}, so no reference is asked; leave it out")
    if settings[NAMED]:
        try:
            find_model(settings[NAMED], NAMED)
        except ValueError as error:
            settings.problems.append(str(error))
    if reference is Reference.MODEL and layout.degree(settings, layout.PIPELINE) > 1:
        why = "a second model would need a pipeline of its own"
        settings.refuse(layout.PIPELINE, f"{why}; write {AHEAD}, or another layout")


def fit_to_reference(settings: Settings, path: str) -> None:
    """What this reference cannot be divided into, or is too short for."""
    sizes = read_sizes(path, LM)
    for _, why in layout.problems_of_model(layout.layout_of(settings, ranks=1), sizes):
        settings.refuse(NAMED, why)
    if settings["max_seq_len"] > sizes.longest_solution:
        why = f"the reference attends over {sizes.longest_solution} tokens at most; write so many, or less"
        settings.refuse("max_seq_len", why)
    settings.check()
