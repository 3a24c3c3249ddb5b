"""What a reward model brings to a run: its model, what it learns, and what its checkpoints hold."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from llm.alignment.rm.flashmask.reward_format import RewardFormat
from llm.alignment.rm.flashmask.reward_model import build_model, trains_placeholder_row
from llm.alignment.rm.flashmask.reward_objective import objective_of
from llm.alignment.rm.flashmask.reward_run import RewardRun
from llm.core.model import shapes
from llm.core.model.adapters import lora
from llm.core.records.reward_records import PREFERENCES
from llm.core.rows.payload import Labels, Pairs
from llm.core.run.work import Learner


def learner_of(run: RewardRun, reward_format: RewardFormat) -> Learner:
    return Learner(
        reward_format,
        payload=Pairs if run.form == PREFERENCES else Labels,
        objective=objective_of(run.form, run.training),
        weights=weights_of_checkpoint(run, reward_format),
        build_model=partial(build_model, run, reward_format),
    )


def weights_of_checkpoint(run: RewardRun, reward_format: RewardFormat) -> dict[str, list[int]]:
    sizes = replace(run.sizes, vocab_size=max(run.sizes.vocab_size, len(reward_format.tokenizer)))
    if not run.model.lora:
        return shapes.of_model(sizes)
    new_placeholder = trains_placeholder_row(run, reward_format)
    return lora.shapes_of_trained(sizes, run.model.lora_rank, run.model.lora_target_modules, new_placeholder)
