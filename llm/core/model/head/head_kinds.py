"""The kinds of heads that make a reward of a hidden state: what their weights are called, their shapes, what their
outputs mean. No paddle here; heads.py builds them.

`lm` reads two rows of the LM head. Every other kind is layers of its own, and a model with one has no LM head.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

LM = "lm"
QUANTILE = "quantile"
LEVELS = (0.1, 0.5, 0.9)  # of its outputs: what a label is below with these chances


@dataclass(frozen=True)
class HeadKind:
    """Linear layers, with a ReLU between two of them; all but the last are as wide as the model."""

    name: str
    layers: tuple[str, ...]  # as the files of published models call them
    outputs: int
    also_as: tuple[str, ...] = ()  # kinds that are the same under other names: a file may hold either

    def shapes(self, hidden_size: int) -> dict[str, list[int]]:
        """As PaddleNLP has them: matrices lie [in, out]."""
        found: dict[str, list[int]] = {}
        for layer in self.layers:
            outputs = self.outputs if layer == self.layers[-1] else hidden_size
            found |= {f"{layer}.weight": [hidden_size, outputs], f"{layer}.bias": [outputs]}
        return found

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{layer}.{part}" for layer in self.layers for part in ("weight", "bias"))


KINDS = {
    kind.name: kind
    for kind in (
        HeadKind("linear", ("score",), 2),  # TRL's token classifiers: class 1 is right
        HeadKind("mlp", ("score.0", "score.2"), 2),  # Qwen2.5-Math-PRM: class 1 is right
        HeadKind("value", ("v_head.summary",), 1, also_as=("scalar",)),  # Skywork: the log-odds
        HeadKind("scalar", ("score",), 1),  # sequence classifiers: the same
        HeadKind("classes", ("score_head",), 3),  # ReasonEval
        HeadKind(QUANTILE, ("quantile_head",), len(LEVELS)),  # a median and an interval around it
    )
}
TRAINED = (LM, "linear", "mlp", "value", QUANTILE)  # what reward_head may be
NAMES = frozenset(name for kind in KINDS.values() for name in kind.names)  # of weights that are a head's


def kind_of(config: Any) -> HeadKind | None:
    """Of a configuration, or of anything with the sizes of one; None where the LM head is read."""
    return KINDS.get(getattr(config, "reward_head", LM))


def fits(kind: HeadKind, held: dict[str, list[int]]) -> bool:
    """Whether these are the weights of a head of this kind, {name: shape} as Hugging Face's or PaddleNLP's files have
    them. A file may do without biases."""
    of_head = NAMES & held.keys()
    weights = {f"{layer}.weight" for layer in kind.layers}
    return weights <= of_head <= set(kind.names) and kind.outputs in held[f"{kind.layers[-1]}.weight"]


def found_in(kind: HeadKind, held: dict[str, list[int]]) -> HeadKind | None:
    """This kind or one that is the same under other names, if its weights are there."""
    kinds = (kind, *(KINDS[name] for name in kind.also_as))
    return next((each for each in kinds if fits(each, held)), None)


def described(names: Collection[str]) -> str:
    """What of these are a head's weights."""
    return ", ".join(sorted(NAMES & set(names))) or "no head but the LM head"
