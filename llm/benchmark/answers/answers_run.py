"""This project's side of answers.py, in a process of its own: the job from stdin as JSON, what was measured as one
JSON line."""

from __future__ import annotations

from llm.core.cpu import environment

if __name__ == "__main__":
    environment.prepare()

import json
import sys
from functools import partial

import numpy as np
import paddle
from paddlenlp.transformers import LlamaConfig, LlamaForCausalLM

from llm.alignment.dpo.dpo_objective import PairObjective
from llm.alignment.dpo.losses import LossSettings
from llm.benchmark.answers.workloads import Group, pairs_of
from llm.benchmark.children import peak_bytes
from llm.benchmark.training.training_run import make_update, optimizer_of, timed_passes
from llm.core import patches
from llm.core.model import attention, language_model
from llm.core.rows.answer_payload import ComparedAnswers, NextTokens
from llm.core.rows.batch import collate
from llm.core.rows.packing import choose_packing
from llm.core.rows.prefix_tree import grow_trees
from llm.core.rows.row import Row
from llm.core.rows.update_loader import StepLoader
from llm.core.text.answers import NO_TARGET, Answer
from llm.core.text.encoding import Pair
from llm.finetune.sft_objective import AnswerObjective

SIGMOID = LossSettings("sigmoid", 0.1, 0.0, 0.0, 0.0, False)


def measure(job: dict) -> dict:
    patches.apply_to_library()
    paddle.set_device("cpu")
    patches.apply_to_models(attention.choose(use_flash_attention=False, flash_mask=False)[0])
    model, objective, kind = random_model(job["sizes"]), AnswerObjective(), NextTokens
    if job["task"] == "dpo":
        objective, kind = PairObjective(SIGMOID, has_reference=True), ComparedAnswers
        objective.reference = partial(language_model.outputs, random_model(job["sizes"]))
    optimizer = optimizer_of(model)
    updates = [rows_of([Group(*group) for group in groups], job) for groups in job["updates"]]
    loaders = [
        StepLoader(rows, partial(collate, pad_id=0, kind=kind), 1, accumulation=len(rows), seed=0) for rows in updates
    ]
    first_loss, passes, seconds = timed_passes(
        loaders, partial(run_update, model, objective, optimizer), job["seconds"]
    )
    return {
        "seconds": seconds / passes,
        "updates": len(updates),
        "computed": sum(len(row) for rows in updates for row in rows),
        "first_loss": first_loss,
        "parameters": sum(parameter.size for parameter in model.parameters()),
        "peak_bytes": peak_bytes(),
    }


def random_model(size: dict[str, int]):
    paddle.seed(0)
    return language_model.as_language_model(LlamaForCausalLM(LlamaConfig(**size, tie_word_embeddings=True)))


def rows_of(groups: list[Group], job: dict) -> list[Row]:
    """As training makes them."""
    examples: list = []
    for group in groups:
        if job["task"] == "sft":
            examples += [answer_of(group.prompt, answer, 1.0) for answer in group.answers]
        else:
            of_pairs = [[answer_of(group.prompt, ids, 0.0) for ids in pair] for pair in pairs_of(group)]
            examples += [Pair(chosen, rejected, 0.0, 1.0) for chosen, rejected in of_pairs]
    pack = choose_packing(zero_padding=True, greedy_zero_padding=True, stream=False)
    return list(pack(grow_trees(examples, job["max_seq_len"], prefix_sharing=True), job["max_seq_len"]))


def answer_of(prompt: list[int], answer: list[int], weight: float) -> Answer:
    scored = np.arange(len(prompt) - 1, len(prompt) + len(answer) - 1)
    return Answer(np.array(prompt + answer, "int32"), scored, NO_TARGET, len(prompt), weight)


def run_update(model, objective, optimizer, loader: StepLoader) -> float:
    """As the trainer does one; the loss."""
    total = 0.0
    for batch in loader:
        loss, _ = objective.loss_and_statistics(objective.outputs(model, batch), batch)
        loss = loss / batch["step_weight"]
        loss.backward()
        total += float(loss)
    make_update(optimizer)
    return total


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
