"""What is measured of pairs of answers, in training and evaluation alike. No paddle here."""

from __future__ import annotations

from typing import Any, NamedTuple

METRICS = {
    "loss": "mean of the loss over the pairs, each alike",
    "accuracy": "share of pairs whose chosen answer has the larger reward; a tie is not a hit",
    "ties": "share of pairs with equal rewards",
    "margin": "mean of reward of chosen - reward of rejected",
    "chosen_reward": "mean reward of the chosen answers: `beta` times their log-ratio to the reference",
    "rejected_reward": "the same of the rejected answers",
    "chosen_logp": "mean logarithm of the probability of a chosen answer",
    "rejected_logp": "the same of a rejected answer",
    "kl": "mean over the tokens of all answers of log(policy / reference): the KL divergence from the reference, as "
    "far as these answers are like the policy's own. Not there without a reference",
    "length_difference": "mean of tokens of chosen - tokens of rejected",
    "pairs": "pairs that were judged",
}
NOT_FOR_BEST = ("kl", "length_difference", "pairs")


class Side(NamedTuple):
    """The chosen or the rejected answers of P pairs: whole log-probabilities, by the policy and the reference, and
    tokens. [P] float64, as tensors or as arrays."""

    log_p: Any
    reference: Any
    tokens: Any


# Sums over pairs, of which the metrics are made
SUMS = (
    *("hits", "tied", "pairs", "chosen_rewards", "rejected_rewards", "chosen_logps", "rejected_logps"),
    *("log_ratios", "chosen_tokens", "rejected_tokens"),
)


def sums_of(chosen: Side, rejected: Side, rewards: tuple[Any, Any], real: Any) -> dict[str, Any]:
    """`rewards` are those of (chosen, rejected) answers; `real` is 1 for a pair that counts, else 0. [P] each."""
    columns = (
        (rewards[0] > rewards[1]).astype("float64"),
        (rewards[0] == rewards[1]).astype("float64"),
        real,
        *rewards,
        chosen.log_p,
        rejected.log_p,
        chosen.log_p - chosen.reference + rejected.log_p - rejected.reference,
        chosen.tokens,
        rejected.tokens,
    )
    return {name: (column * real).sum() for name, column in zip(SUMS, columns, strict=True)}


def pair_metrics(sums: dict[str, float], has_reference: bool) -> dict[str, float]:
    pairs = sums["pairs"]
    if not pairs:
        return {}
    found = {
        "accuracy": sums["hits"] / pairs,
        "ties": sums["tied"] / pairs,
        "margin": (sums["chosen_rewards"] - sums["rejected_rewards"]) / pairs,
        "chosen_reward": sums["chosen_rewards"] / pairs,
        "rejected_reward": sums["rejected_rewards"] / pairs,
        "chosen_logp": sums["chosen_logps"] / pairs,
        "rejected_logp": sums["rejected_logps"] / pairs,
        "length_difference": (sums["chosen_tokens"] - sums["rejected_tokens"]) / pairs,
    }
    if has_reference:
        found["kl"] = sums["log_ratios"] / (sums["chosen_tokens"] + sums["rejected_tokens"])
    return {name: float(value) for name, value in found.items()}
