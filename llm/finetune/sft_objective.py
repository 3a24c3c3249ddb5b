"""What fine-tuning learns: every token of an answer, after all before it."""

from __future__ import annotations

import paddle

from llm.core.model import language_model
from llm.finetune.sft_metrics import answer_metrics


class AnswerObjective:
    """Outputs are [M, 2] of the answers' tokens: the logarithm of their probability, and 1 for the likeliest."""

    statistics = ("hits", "answer_tokens", "tokens", "solutions")

    def outputs(self, model, inputs):
        return language_model.outputs(model, inputs)

    def outputs_of_hidden(self, model, hidden, inputs):
        return language_model.outputs_of_hidden(model, hidden, inputs)

    def loss_and_statistics(self, outputs_M2, inputs):
        loss = -(inputs["weights"] * outputs_M2[:, 0]).sum()
        with paddle.no_grad():
            real_M = (inputs["weights"] > 0).astype("float32")
            return loss, {
                "hits": (outputs_M2[:, 1] * real_M).sum(),
                "answer_tokens": real_M.sum(),
                "tokens": inputs["tokens"],
                "solutions": inputs["solution_count"],
            }

    def training_metrics(self, sums: dict[str, float]) -> dict[str, float]:
        return {"accuracy": float(sums["hits"] / sums["answer_tokens"])} if sums["answer_tokens"] else {}

    def columns(self, outputs_M2, inputs):
        real_M = inputs["weights"].numpy() > 0
        losses_M, hits_M = -outputs_M2[:, 0].numpy()[real_M], outputs_M2[:, 1].numpy()[real_M]
        return [losses_M, losses_M, hits_M]

    def metrics(self, losses, hits):
        return answer_metrics(losses, hits)
