"""Scores of solutions by a trained reward model, through the encoding and the prefix trees of training.

    from llm.scoring.scorer import Scorer
    scores = Scorer.load("checkpoints/tiny/prm").score([{"question": question, "steps": steps}])

`scores[0].steps` are the probabilities of the steps. Paddle is imported by the first scorer, once its threads and
memory are set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from llm.alignment.rm.flashmask.reward_format import load_format
from llm.core.cpu import environment
from llm.core.model.head.head_kinds import LM, QUANTILE
from llm.core.model.whole import read_whole
from llm.core.records.reward_records import Record
from llm.core.text.encoding import Sequence
from llm.scoring import calibration as calibrations
from llm.scoring.calibration import Calibration
from llm.scoring.conventions import implicit, own
from llm.scoring.conventions.convention import Convention, Reader
from llm.scoring.conventions.find import is_of_this_project
from llm.scoring.scores import Scores
from llm.scoring.solutions import solutions_of

AT_A_TIME = 1024  # solutions that are encoded, merged and packed together


@dataclass(frozen=True)
class Scorer:
    """A model and the convention by which it is read."""

    models: tuple[tuple[Any, Reader], ...]  # one, or a policy and its reference
    convention: Convention
    dtype: str = "float32"  # of the weights
    weights: str = ""  # a fingerprint of them
    calibration: Calibration | None = None

    @classmethod
    def load(
        cls,
        folder: str | Path,
        dtype: str = "float32",
        device: str | None = None,
        convention: str | None = None,
        reference: str | Path | None = None,
        calibrated: bool = False,
    ) -> Scorer:
        """The model in a training's output_dir or in one of its checkpoints; of adapters the base is loaded from where
        it was. Or a published reward model; its `convention` has to be named where its files do not tell, and implicit
        needs a `reference`. `dtype` is that of the weights; what they compute is float32 on a CPU in any
        case. `calibrated`: scores as `python -m llm calibrate` has fitted them for this model."""
        environment.prepare()
        folder = Path(folder).expanduser()
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder. Give one that holds a reward model.")
        with ExitStack() as stack:
            for each in filter(None, (folder, reference)):
                stack.enter_context(read_whole(Path(each)))
            if convention in (None, own.NAME) and is_of_this_project(folder):
                if reference is not None:
                    raise ValueError(implicit.only_with_reference(own.NAME, reference))
                reward_format = load_format(folder)
                from llm.scoring.model import load_own  # paddle takes seconds to import

                models: tuple = (load_own(str(folder), reward_format, dtype, device),)
                chosen = own.convention_of(reward_format, getattr(models[0][0].config, "reward_head", LM) == QUANTILE)
            else:
                from llm.scoring.published import load_published

                chosen, models = load_published(folder, convention, reference, dtype, device)
            from llm.scoring.model import fingerprint_of

            weights = " ".join(fingerprint_of(Path(each)) for each in (folder, reference) if each)
            calibration = calibrations.load(folder, weights, chosen.label) if calibrated else None
        return cls(models, chosen, dtype, weights, calibration)

    def describe(self) -> str:
        import paddle

        device = paddle.get_device()
        products = "float32" if device == "cpu" else self.dtype
        calibrated = f", {self.calibration.describe()}" if self.calibration else ""
        return f"{self.convention.label}, weights in {self.dtype}, products in {products}, on {device}{calibrated}"

    def score(self, solutions: Iterable[dict], split_steps: str | None = None) -> list[Scores]:
        """Of each solution, in their order; the two answers of a preference record count as two. ValueError with all
        that is wrong with them."""
        return list(self.score_records(_read(solutions, split_steps)))

    def score_each(self, solutions: Iterable[dict]) -> list[Scores | str]:
        """Of each solution its scores, or why it cannot be scored."""
        groups: list[list[Record] | str] = []
        for value in solutions:
            try:
                groups.append(solutions_of(value, "solution"))
            except ValueError as error:
                groups.append(str(error))
        return [one if isinstance(one, str) else one[0] for one in self.score_groups(groups)]

    def score_records(self, records: Iterable[Record]) -> Iterator[Scores]:
        """Some solutions at a time, which share the beginnings that they have in common."""
        records = iter(records)
        while some := list(islice(records, AT_A_TIME)):
            yield from self.score_encoded([self.convention.encode(record) for record in some])

    def score_encoded(self, encoded: list[list[Sequence]]) -> list[Scores]:
        """Of solutions as the convention has encoded them."""
        from llm.scoring.forests import outputs_of

        sequences = [sequence for some in encoded for sequence in some]
        of_models = [outputs_of(model, read, sequences) for model, read in self.models]
        outputs = (np.concatenate(columns, axis=1) for columns in zip(*of_models, strict=True))
        of_each = [list(islice(outputs, len(some))) for some in encoded]
        return [
            Scores(
                self._calibrated(self.convention.log_odds(some, sequences)),
                self.convention.of_steps,
                self.convention.interval and self.convention.interval(some),
            )
            for some, sequences in zip(of_each, encoded, strict=True)
        ]

    def score_groups(self, groups: Iterable[Iterable[Record] | str]) -> list[list[Scores] | str]:
        """Of each group of solutions their scores, or why one of them cannot be scored; of a text, which says why there
        are none, the text."""
        encoded: list[list[Sequence]] = []
        found: list[int | str] = []
        for group in groups:
            if isinstance(group, str):
                found.append(group)
                continue
            try:
                sequences = [self.convention.encode(solution) for solution in group]
            except ValueError as error:
                found.append(str(error))
            else:
                found.append(len(sequences))
                encoded += sequences
        scores = iter(self.score_encoded(encoded))
        return [one if isinstance(one, str) else list(islice(scores, one)) for one in found]

    def _calibrated(self, log_odds: np.ndarray) -> np.ndarray:
        return self.calibration.apply(log_odds) if self.calibration else log_odds


def _read(solutions: Iterable[dict], split_steps: str | None) -> list[Record]:
    found, problems = [], []
    for number, value in enumerate(solutions):
        try:
            found += solutions_of(value, f"solution {number}", split_steps)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return found
