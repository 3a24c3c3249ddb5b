"""This project's own convention: the encoding of training, and the score at each placeholder. No paddle here."""

from __future__ import annotations

from functools import partial

import numpy as np

from llm.alignment.rm.flashmask.reward_format import RewardFormat, as_outcome
from llm.core.console import count_of
from llm.core.records.reward_records import Record
from llm.core.text.encoding import Sequence, StepEncoder
from llm.scoring.conventions.convention import Convention, first_minus_second

NAME, VERSION = "paddle-reward", 1


def convention_of(reward_format: RewardFormat, of_quantiles: bool = False) -> Convention:
    """`of_quantiles`: of a quantile head, whose median is the score."""
    of_steps = reward_format.values.process_reward
    encode = partial(_encode, encoder=reward_format.encoder(), of_steps=of_steps)
    if of_quantiles:
        return Convention(NAME, VERSION, of_steps, encode, _median, interval=_ends)
    return Convention(NAME, VERSION, of_steps, encode, first_minus_second)


def _median(outputs: list[np.ndarray], sequences: list[Sequence]) -> np.ndarray:
    return np.concatenate(outputs)[:, 1]


def _ends(outputs: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(outputs)[:, [0, 2]].T


def _encode(solution: Record, encoder: StepEncoder, of_steps: bool) -> list[Sequence]:
    record = solution if of_steps else as_outcome(solution)
    sequence = encoder.encode(record)
    if sequence is None or len(sequence.scored) < len(record.steps):
        raise ValueError(
            f"{solution.place}: it is longer than the {encoder.max_seq_len:,} tokens (max_seq_len) that this model was "
            f"trained on, so not all of its {count_of(len(solution.steps), 'step')} would have a score. Shorten it."
        )
    return [sequence]
