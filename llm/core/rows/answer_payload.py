"""Rows of answers as text: every token of an answer is predicted at the position before it."""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xxhash

from llm.core.rows.marks import joined, moved, positions_of
from llm.core.rows.prefix_tree import Tree
from llm.core.text.encoding import Sequence

Arrays = dict[str, np.ndarray]
UNKNOWN = np.zeros(0, "float64")


@dataclass(frozen=True, slots=True)
class AnswerTokens:
    """M tokens of answers; several answers may go on from one position."""

    scored: np.ndarray  # [K] int64, rising
    at: np.ndarray  # [M] int64
    solutions: np.ndarray  # [M] int64, rising
    next_ids: np.ndarray  # [M] int64


def _tokens_of(trees: list[Tree], places: list[np.ndarray]) -> dict[str, np.ndarray]:
    answers = [answer for tree in trees for answer in tree.solutions]
    scored, at = positions_of(places)
    return {
        "scored": scored,
        "at": at,
        "solutions": np.repeat(np.arange(len(answers)), [len(answer.scored) for answer in answers]),
        "next_ids": np.concatenate([answer.ids[answer.scored + 1] for answer in answers]).astype("int64"),
    }


def _batch_of_tokens(payloads: Several[Any], first_scored: np.ndarray) -> Arrays:
    return {
        "next_at": moved(payloads, "at", first_scored),  # [M] into the K scored positions
        "next_ids": joined(payloads, "next_ids"),  # [M]
    }


def _blank_tokens() -> dict[str, np.ndarray]:
    return {field.name: np.zeros(1, "int64") for field in fields(AnswerTokens)}


@dataclass(frozen=True, slots=True)
class NextTokens(AnswerTokens):
    """Each token counts by itself."""

    weights: np.ndarray  # [M] float32

    @property
    def weight(self) -> float:
        return float(self.weights.sum(dtype="float64"))

    @classmethod
    def of_trees(cls, trees: list[Tree], places: list[np.ndarray]) -> NextTokens:
        answers = [answer for tree in trees for answer in tree.solutions]
        counts = [len(answer.scored) for answer in answers]
        weights = np.repeat(np.array([answer.weight for answer in answers], "float32"), counts)
        return cls(**_tokens_of(trees, places), weights=weights)

    @classmethod
    def blank(cls) -> NextTokens:
        return cls(**_blank_tokens(), weights=np.zeros(1, "float32"))

    @classmethod
    def batch(cls, payloads: Several[NextTokens], first_scored: np.ndarray, first_solution: np.ndarray) -> Arrays:
        return _batch_of_tokens(payloads, first_scored) | {"weights": joined(payloads, "weights")}  # [M]


@dataclass(frozen=True, slots=True)
class ComparedAnswers(AnswerTokens):
    """P pairs of the A answers of a row."""

    chosen: np.ndarray  # [P] int64, which of the A answers
    rejected: np.ndarray  # [P] int64
    weights: np.ndarray  # [P] float32
    keys: np.ndarray  # [A] int64, equal for equal answers to equal prompts
    reference: np.ndarray  # [A] float64, logarithm of the probability of each answer by the reference, or [0]

    @property
    def weight(self) -> float:
        return float(self.weights.sum(dtype="float64"))

    @classmethod
    def of_trees(cls, trees: list[Tree], places: list[np.ndarray]) -> ComparedAnswers:
        first, pairs = 0, []
        for tree in trees:
            pairs += [(link.chosen + first, link.rejected + first) for link in tree.links]
            first += len(tree.solutions)
        chosen, rejected = np.array(pairs, "int64").reshape(-1, 2).T
        return cls(
            **_tokens_of(trees, places),
            chosen=chosen,
            rejected=rejected,
            weights=np.array([link.weight for tree in trees for link in tree.links], "float32"),
            keys=np.array([key_of(answer) for tree in trees for answer in tree.solutions], "int64"),
            reference=UNKNOWN,
        )

    @classmethod
    def blank(cls) -> ComparedAnswers:
        first = np.zeros(1, "int64")
        return cls(
            **_blank_tokens(),
            chosen=first,
            rejected=first,
            weights=np.zeros(1, "float32"),
            keys=first,
            reference=np.zeros(1, "float64"),
        )

    @classmethod
    def batch(cls, payloads: Several[ComparedAnswers], first_scored: np.ndarray, first_solution: np.ndarray) -> Arrays:
        return _batch_of_tokens(payloads, first_scored) | {
            "answers": moved(payloads, "solutions", first_solution),  # [M] numbered through the batch, rising
            "chosen": moved(payloads, "chosen", first_solution),  # [P] into the A answers
            "rejected": moved(payloads, "rejected", first_solution),  # [P]
            "pair_weights": joined(payloads, "weights"),  # [P]
            "keys": joined(payloads, "keys"),  # [A]
            "reference": joined(payloads, "reference"),  # [A], or less where it is not known
        }


@dataclass(frozen=True, slots=True)
class JudgedAnswers(AnswerTokens):
    """A answers with a label each."""

    labels: np.ndarray  # [A] float32
    weights: np.ndarray  # [A] float32
    keys: np.ndarray  # [A] int64, as of compared answers
    reference: np.ndarray  # [A] float64, or [0]

    @property
    def weight(self) -> float:
        return float(self.weights.sum(dtype="float64"))

    @classmethod
    def of_trees(cls, trees: list[Tree], places: list[np.ndarray]) -> JudgedAnswers:
        answers = [answer for tree in trees for answer in tree.solutions]
        return cls(
            **_tokens_of(trees, places),
            labels=np.concatenate([answer.labels for answer in answers]),
            weights=np.array([answer.weight for answer in answers], "float32"),
            keys=np.array([key_of(answer) for answer in answers], "int64"),
            reference=UNKNOWN,
        )

    @classmethod
    def blank(cls) -> JudgedAnswers:
        nothing = np.zeros(1, "float32")
        return cls(**_blank_tokens(), labels=nothing, weights=nothing, keys=np.zeros(1, "int64"), reference=np.zeros(1))

    @classmethod
    def batch(cls, payloads: Several[JudgedAnswers], first_scored: np.ndarray, first_solution: np.ndarray) -> Arrays:
        return _batch_of_tokens(payloads, first_scored) | {
            "answers": moved(payloads, "solutions", first_solution),  # [M] numbered through the batch, rising
            "labels": joined(payloads, "labels"),  # [A]
            "answer_weights": joined(payloads, "weights"),  # [A]
            "keys": joined(payloads, "keys"),  # [A]
            "reference": joined(payloads, "reference"),  # [A], or less where it is not known
        }


def key_of(answer: Sequence) -> int:
    """A checksum of the prompt, the answer, and where one ends."""
    checksum = xxhash.xxh3_64_intdigest(answer.ids.tobytes(), seed=len(answer.scored))
    return int(np.uint64(checksum).astype("int64"))
