"""PaddleNLP's TrainingArguments, made from this project's plain ones when a run starts."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from paddlenlp.trainer.training_args import TrainingArguments


@dataclass
class LibraryArguments(TrainingArguments):
    recompute_granularity: str = "full"  # PaddleNLP's models look for it here, its own arguments lack it

    def __post_init__(self):
        # PaddleNLP turns evaluation_strategy "no" into "steps" while do_eval is set; here "no" means: only at the end.
        # With a pipeline it would also evaluate in batches of another size than per_device_eval_batch_size.
        evaluate_at_end, eval_batch_size = self.do_eval, self.per_device_eval_batch_size
        self.do_eval = self.do_eval and self.evaluation_strategy != "no"
        super().__post_init__()
        self.do_eval, self.per_device_eval_batch_size = evaluate_at_end, eval_batch_size


def library_arguments(training: Any, **others: Any) -> LibraryArguments:
    """Of what both know; ValueError with PaddleNLP's reason where it does not take a combination. `others` are values
    that differ from those of `training` or that it does not have."""
    known = {field.name for field in fields(LibraryArguments) if field.init}
    values = {field.name: getattr(training, field.name) for field in fields(training) if field.name in known}
    try:
        return LibraryArguments(**values | others)
    except (ValueError, AssertionError) as error:
        raise ValueError(f"PaddleNLP refuses these settings: {' '.join(str(error).split())}") from error
