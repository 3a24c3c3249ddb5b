"""What a row is for: labels at its positions, pairs of answers to compare, or tokens to predict. A row carries one
payload, and nothing that packs rows looks inside.

A payload is made from the trees of a row, has a `weight` in the loss of an update, and is put together with those of
other rows in a batch. `scored` are the K positions whose hidden states are needed; `ends` say for each solution's marks
which of these they are at: `at` [M] of the K positions, `solutions` [M] of the row's solutions.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence as Several
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from llm.core.rows.answer_payload import Arrays, ComparedAnswers, JudgedAnswers, NextTokens
from llm.core.rows.marks import joined, moved, positions_of
from llm.core.rows.prefix_tree import Tree
from llm.core.text.answers import Answer, LabelledAnswer
from llm.core.text.encoding import Sequence


class Payload(Protocol):
    scored: np.ndarray

    @property
    def weight(self) -> float:
        """What the row counts in the loss of an update."""

    @property
    def at(self) -> np.ndarray:
        """[M] which of the K positions a mark of a solution is at."""

    @property
    def solutions(self) -> np.ndarray:
        """[M] whose mark it is, numbered through the row."""

    @classmethod
    def of_trees(cls, trees: list[Tree], places: list[np.ndarray]) -> Payload:
        """`places` are the positions in the row of each solution's scored tokens."""

    @classmethod
    def blank(cls) -> Payload:
        """One mark that counts nothing: so that every rank computes a finite zero loss that reaches all weights."""

    @classmethod
    def batch(cls, payloads: Several[Payload], first_scored: np.ndarray, first_solution: np.ndarray) -> Arrays:
        """Of the payloads of several rows; their positions and solutions begin at these numbers of the batch."""


@dataclass(frozen=True, slots=True)
class Labels:
    """M labels; several solutions may label one position."""

    scored: np.ndarray  # [K] int64, rising
    at: np.ndarray  # [M] int64
    labels: np.ndarray  # [M] float32, as the data has them
    targets: np.ndarray  # [M] float32, what the loss makes of them
    weights: np.ndarray  # [M] float32
    solutions: np.ndarray  # [M] int64
    error_cut: np.ndarray  # [M] bool, of a solution whose first wrong step was cut away
    texts: np.ndarray  # [M] int64, equal where everything up to the label is equal

    @property
    def weight(self) -> float:
        return float(self.weights.sum(dtype="float64"))

    @classmethod
    def of_trees(cls, trees: list[Tree], places: list[np.ndarray]) -> Labels:
        solutions = [solution for tree in trees for solution in tree.solutions]
        counts = [len(solution.labels) for solution in solutions]
        scored, at = positions_of(places)
        labels = np.concatenate([solution.labels for solution in solutions])
        return cls(
            scored=scored,
            at=at,
            labels=labels,
            targets=labels,
            weights=np.repeat(np.array([solution.weight for solution in solutions], "float32"), counts),
            solutions=np.repeat(np.arange(len(solutions)), counts),
            error_cut=np.repeat(np.array([solution.error_cut for solution in solutions], bool), counts),
            texts=np.concatenate([_texts(solution) for solution in solutions]),
        )

    @classmethod
    def blank(cls) -> Labels:
        first, nothing = np.zeros(1, "int64"), np.zeros(1, "float32")
        return cls(first, first, nothing, nothing, nothing, first, np.zeros(1, bool), first)

    @classmethod
    def batch(cls, payloads: Several[Labels], first_scored: np.ndarray, first_solution: np.ndarray) -> Arrays:
        return {
            "label_at": moved(payloads, "at", first_scored),  # [M] into the K scored positions
            "labels": joined(payloads, "labels"),  # [M]
            "targets": joined(payloads, "targets"),  # [M]
            "weights": joined(payloads, "weights"),  # [M]
            "solutions": moved(payloads, "solutions", first_solution),  # [M] numbered through the batch
            "error_cut": joined(payloads, "error_cut"),  # [M]
            "texts": joined(payloads, "texts"),  # [M]
        }


@dataclass(frozen=True, slots=True)
class Pairs:
    """P pairs of the A answers of a row."""

    scored: np.ndarray  # [K] int64, rising
    at: np.ndarray  # [A] int64, where an answer ends
    solutions: np.ndarray  # [A] int64
    chosen: np.ndarray  # [P] int64, which of the K positions
    rejected: np.ndarray  # [P] int64
    margins: np.ndarray  # [P] float32
    weights: np.ndarray  # [P] float32

    @property
    def weight(self) -> float:
        return float(self.weights.sum(dtype="float64"))

    @classmethod
    def of_trees(cls, trees: list[Tree], places: list[np.ndarray]) -> Pairs:
        scored, at = positions_of(places)
        first, ends = 0, []
        for tree in trees:
            ends += [(link.chosen + first, link.rejected + first) for link in tree.links]
            first += len(tree.solutions)
        chosen, rejected = np.array(ends, "int64").reshape(-1, 2).T
        links = [link for tree in trees for link in tree.links]
        return cls(
            scored=scored,
            at=at,
            solutions=np.arange(len(at)),
            chosen=at[chosen],
            rejected=at[rejected],
            margins=np.array([link.margin for link in links], "float32"),
            weights=np.array([link.weight for link in links], "float32"),
        )

    @classmethod
    def blank(cls) -> Pairs:
        first, nothing = np.zeros(1, "int64"), np.zeros(1, "float32")
        return cls(first, first, first, first, first, nothing, nothing)

    @classmethod
    def batch(cls, payloads: Several[Pairs], first_scored: np.ndarray, first_solution: np.ndarray) -> Arrays:
        return {
            "chosen": moved(payloads, "chosen", first_scored),  # [P] into the K scored positions
            "rejected": moved(payloads, "rejected", first_scored),  # [P]
            "margins": joined(payloads, "margins"),  # [P]
            "pair_weights": joined(payloads, "weights"),  # [P]
        }


Some = Labels | Pairs | NextTokens | ComparedAnswers | JudgedAnswers  # kind of payload


def _texts(solution: Sequence) -> np.ndarray:
    """A checksum of the ids up to each scored position."""
    found, crc, adler, begin = [], 0, 1, 0
    ids, size = solution.ids.tobytes(), solution.ids.itemsize
    for end in ((solution.scored + 1) * size).tolist():
        piece = ids[begin:end]
        crc, adler, begin = zlib.crc32(piece, crc), zlib.adler32(piece, adler), end
        found.append((crc << 31) ^ adler)
    return np.array(found, "int64")


def payload_of(trees: list[Tree], places: list[np.ndarray]) -> Some:
    return kind_of(trees[0]).of_trees(trees, places)


def kind_of(tree: Tree) -> type[Some]:
    one = tree.solutions[0]
    if isinstance(one, LabelledAnswer):
        return JudgedAnswers
    if isinstance(one, Answer):
        return ComparedAnswers if tree.links else NextTokens
    return Pairs if tree.links else Labels


def arrays_of(payload: Some) -> list[np.ndarray]:
    return [getattr(payload, field.name) for field in fields(payload)]
