"""Scores of the steps of solutions, by the same encoding, rows and forward as in training."""

from __future__ import annotations

from collections.abc import Iterable

import paddle

from llm.alignment.rm.flashmask.reward_format import as_outcome, load_format
from llm.alignment.rm.flashmask.reward_model import as_reward_model
from llm.alignment.rm.flashmask.reward_objective import MODEL_INPUTS
from llm.core import patches
from llm.core.model import attention, config, load, lora
from llm.core.model.losses import reward_scores
from llm.core.records.records import Record
from llm.core.rows.batch import collate
from llm.core.rows.prefix_tree import lone_tree
from llm.core.rows.row import make_row


class Scorer:
    """A trained reward model and the settings it was trained with, from its output_dir; of adapters
    the base is loaded from where it was."""

    def __init__(self, output_dir: str):
        self.format = load_format(output_dir)
        attend, _ = attention.choose(use_flash_attention=False, flash_mask=False)
        patches.apply_to_models(attend)
        if lora.is_adapter(output_dir):
            model = lora.load(output_dir, "float32", self.format.tokens)
        else:
            model = load.load_model(output_dir, config.load_config(output_dir), "float32")
        self.model = as_reward_model(model, self.format.tokens)
        self.model.eval()
        self.encoder = self.format.encoder()

    def score(self, question: str, steps: Iterable[str]) -> list[float]:
        """p("+") of each step, or one for the whole answer where the model was trained with process_reward false;
        ValueError where a step would have been cut, because it would have no score."""
        steps = tuple(step.strip() for step in steps)
        if not steps or not all(steps):
            raise ValueError(f"steps {steps!r}: a solution needs at least one step, and none may be blank.")
        record = Record((question,), (), steps, (0.0,) * len(steps), "the solution to score")
        if not self.format.values.process_reward:
            record = as_outcome(record)
        sequence = self.encoder.encode(record)
        if sequence is None or len(sequence.scored) < len(record.steps):
            raise ValueError(
                f"{len(steps)} steps: the solution is longer than the {self.encoder.max_seq_len} tokens (max_seq_len) "
                "that this model was trained on, so its last steps would have no score. Shorten it."
            )
        batch = collate([make_row([lone_tree(sequence)])], pad_id=0)
        batch = {name: paddle.to_tensor(array) for name, array in batch.items()}
        with paddle.no_grad():
            logits_K2 = self.model(**{name: batch[name] for name in MODEL_INPUTS})
        return reward_scores(logits_K2).tolist()
