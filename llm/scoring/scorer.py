"""Scores of the steps of solutions, by the same encoding, rows and forward as in training.

    from llm.scoring.scorer import Scorer
    Scorer("checkpoints/tiny/prm").score(question, steps)

Paddle is imported by the first scorer, once its threads and memory are set.
"""

from __future__ import annotations

from collections.abc import Iterable

from llm.alignment.rm.flashmask.reward_format import RewardFormat, as_outcome, load_format
from llm.core.cpu import environment
from llm.core.records.records import Record
from llm.core.rows.batch import collate
from llm.core.rows.prefix_tree import lone_tree
from llm.core.rows.row import make_row


class Scorer:
    """A trained reward model with the format that it was trained in, from its output_dir; of adapters the base is
    loaded from where it was."""

    def __init__(self, output_dir: str):
        environment.prepare()
        self.format = load_format(output_dir)
        self.model = load_reward_model(output_dir, self.format)
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
        return scores_of(self.model, batch)


def load_reward_model(output_dir: str, reward_format: RewardFormat):
    from llm.alignment.rm.flashmask.reward_model import as_reward_model
    from llm.core import patches
    from llm.core.model import attention, config, load, lora

    patches.apply_to_library()
    attend, _ = attention.choose(use_flash_attention=False, flash_mask=False)
    patches.apply_to_models(attend)
    if lora.is_adapter(output_dir):
        model = lora.load(output_dir, "float32", reward_format.tokens)
    else:
        model = load.load_model(output_dir, config.load_config(output_dir), "float32")
    model = as_reward_model(model, reward_format.tokens)
    model.eval()
    return model


def scores_of(model, batch: dict) -> list[float]:
    """p("+") at every scored position of a batch."""
    import paddle

    from llm.alignment.rm.flashmask.reward_objective import MODEL_INPUTS
    from llm.core.model.losses import reward_scores

    with paddle.no_grad():
        logits_K2 = model(**{name: paddle.to_tensor(batch[name]) for name in MODEL_INPUTS})
    return reward_scores(logits_K2).tolist()
