"""Reward models to export: random weights in Hugging Face's and in PaddleNLP's form, as a training leaves them."""

from __future__ import annotations

from pathlib import Path

import paddle

from llm.alignment.rm.flashmask.reward_format import FormatValues, make_format
from tests.core import model_folders
from tests.factories import random_model, save_model

QUESTION = "Sam has 3 pens. He finds 4. How many pens has he?"
STEPS = ["Step 1: 3 + 4 = 7.", "Step 2: He has 8 pens. The answer is: 8"]
TEXT = f"{QUESTION} {STEPS[0]} ки\n{STEPS[1]} ки"
OUTCOME_TEXT = f"{QUESTION} {STEPS[0]}\n{STEPS[1]} ки"
IN_PADDLENLPS_FORM = {
    "Llama": ("Llama", {}),
    "Mistral": ("Mistral", {}),
    "Qwen3": ("Qwen3", {"rope_theta": 1e6}),
    "Qwen2, tied": ("Qwen2", {"tie_word_embeddings": True, "rope_theta": 1e6}),
}
MODELS = (*model_folders.FAMILIES, *IN_PADDLENLPS_FORM)


def make_model(
    name: str, folder: Path, tokenizer, process_reward: bool = True, kind: str = "float32", head: str | None = None
) -> Path:
    """A folder with what a training writes of its model; `kind` and a `head` of its own are for the models in Hugging
    Face's form."""
    values = FormatValues("ки", "+,-", 256, 200, False, process_reward, False)
    make_format(values, tokenizer).save_pretrained(str(folder))
    if name in model_folders.FAMILIES:
        config = model_folders.FAMILIES[name] | {"vocab_size": len(tokenizer)}
        weights = model_folders.random_weights(config, kind)
        if head:
            weights.pop("lm_head.weight", None)
            config |= {"reward_head": head}
            weights |= model_folders.weights_of_head(head, config["hidden_size"])
        return model_folders.write(folder, config, weights)
    family, changes = IN_PADDLENLPS_FORM[name]
    model = random_model(family, len(tokenizer), seed=11, **changes)
    for parameter in model.parameters():
        if parameter.ndim == 1:  # biases start as 0 and norms as 1
            parameter.set_value(parameter + paddle.randn(parameter.shape) * 0.1)
    return save_model(model, folder)
