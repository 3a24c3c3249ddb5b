"""What happens where settings of run_reward.py cannot hold, besides those of every training (llm/core/run/checks.py).
No paddle here."""

from __future__ import annotations

from llm.alignment.rm.flashmask.reward_format import split_reward_tokens
from llm.alignment.rm.flashmask.reward_metrics import OUTCOME_METRICS, PREFERENCE_METRICS, STEP_METRICS
from llm.core.model.head.head_kinds import LM, QUANTILE
from llm.core.records.reward_records import LABELLED, PREFERENCES
from llm.core.run import checks
from llm.core.settings.settings import Settings

# metric_for_best_model is one of the evaluation's, but for those that count or describe the data
COUNTS = ("steps", "solutions", "first_error_unknown", "answers", "pairs", "positive_share", "ties")
PAIR_SETTINGS = ("reward_margin", "reward_centering")
PQM = "pqm"  # a prm_loss


def resolve(settings: Settings, ranks: int, has_cuda: bool) -> None:
    """Change defaults that cannot hold and raise every problem, before anything expensive is done."""
    note_problems(settings, ranks, has_cuda)
    settings.check()


def note_problems(settings: Settings, ranks: int, has_cuda: bool) -> None:
    checks.note_problems(settings, ranks, has_cuda, _best_of(STEP_METRICS | OUTCOME_METRICS | PREFERENCE_METRICS))
    _check_tokens(settings)
    _resolve_reward(settings)
    _resolve_head(settings)
    _resolve_loss(settings)


def _best_of(metrics: dict[str, str]) -> list[str]:
    return [name for name in metrics if name not in COUNTS and not name.startswith(("chosen_", "rejected_"))]


def _check_tokens(settings: Settings) -> None:
    tokens = split_reward_tokens(settings["reward_tokens"])
    if len(tokens) != 2 or not all(tokens) or tokens[0] == tokens[1]:
        settings.refuse("reward_tokens", 'needs two different tokens separated by one comma, such as "+,-"')
    if not settings["placeholder_token"].strip():
        settings.refuse("placeholder_token", "is blank; write the token that ends a step, such as ки")


def fit_to_form(settings: Settings, form: str) -> None:
    """What can only be judged once the form of the data is known."""
    if settings["load_best_model_at_end"]:
        of_answers = PREFERENCE_METRICS if form == PREFERENCES else OUTCOME_METRICS
        checks.check_best_metric(settings, _best_of(STEP_METRICS if settings["process_reward"] else of_answers))
    if settings["process_reward"]:
        settings.check()
        return
    if form == PREFERENCES and settings["reward_head"] == QUANTILE:
        why = f"it learns quantiles of labels, and the data holds {form}s; write another head"
        settings.refuse("reward_head", why)
        settings.check()
    of_labels, of_pairs = ("prm_loss", "label_smoothing", "positive_weight", "balance_labels"), PAIR_SETTINGS
    for name in of_labels if form == PREFERENCES else of_pairs:
        if settings[name] != settings.parameters[name].default:
            other = LABELLED if form == PREFERENCES else PREFERENCES
            settings.refuse(name, f"the data holds {form}s, and this applies only to {other}s; leave it out")
    settings.check()


def _resolve_reward(settings: Settings) -> None:
    if settings["process_reward"]:
        for name in PAIR_SETTINGS:
            if settings[name]:
                settings.refuse(name, "applies only to preferences; write process_reward false, or leave it out")
    elif settings["score_last_step_only"]:
        settings.refuse("score_last_step_only", "with process_reward false there is one score per answer; leave it out")
    if settings["balance_labels"] and settings.is_written("positive_weight"):
        settings.refuse("positive_weight", "balance_labels chooses it from the data; leave one of them out")


def _resolve_head(settings: Settings) -> None:
    """The head, and a loss that needs another one."""
    head = settings["reward_head"]
    if head == LM and settings["init_reward_head"]:
        settings.refuse("init_reward_head", "reward_head is lm, which every causal LM has; leave it out")
    if head == QUANTILE:
        settings.change_default("prm_loss", QUANTILE, "reward_head quantile has outputs that no other loss trains")
    elif settings["prm_loss"] == QUANTILE:
        settings.refuse("prm_loss", "it trains reward_head quantile alone; write that, too, or reward_tokens")
    elif head != LM and settings["prm_loss"] == "vocabulary":
        settings.refuse("prm_loss", f"reward_head {head} knows no vocabulary; write reward_tokens or pqm")


def _resolve_loss(settings: Settings) -> None:
    """What would have no effect with the loss, and what ranks the steps of a solution."""
    loss = settings["prm_loss"]
    if loss != PQM and settings["pqm_margin"] != settings.parameters["pqm_margin"].default:
        settings.refuse("pqm_margin", "applies only to prm_loss pqm; write that, too, or leave it out")
    without_parts = {PQM: "ranks steps, and has no label that could be weighed", QUANTILE: "learns labels as they are"}
    if loss not in without_parts:
        return
    for name in ("label_smoothing", "positive_weight", "balance_labels"):
        if settings[name] != settings.parameters[name].default:
            settings.refuse(name, f"prm_loss {loss} {without_parts[loss]}; leave it out")
    if loss != PQM:
        return
    for name, value in {"process_reward": False, "score_last_step_only": True}.items():
        if settings[name] is value:
            why = f"pqm ranks the steps of a solution, and with {name} {str(value).lower()} it has one score"
            settings.refuse("prm_loss", f"{why}; write reward_tokens")
