"""LoRA adapters and their base -> one plain model: a causal LM, or one with the head that the adapters have."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import paddle
from paddlenlp.peft.lora.lora_layers import LoRALinear

from llm.alignment.rm.flashmask.reward_format import RewardFormat, load_format
from llm.core import patches
from llm.core.checkpoint.output_folder import SETTINGS_FILE
from llm.core.files import write_json
from llm.core.model import attention, folder, replacement, whole
from llm.core.model.adapters import lora
from llm.core.model.head import heads
from llm.core.model.head.head_kinds import kind_of
from llm.core.model.shapes import HEAD
from llm.core.run.answer_format import AnswerFormat, is_language_model, load_answer_format
from llm.core.run.arguments import ModelArgument
from llm.core.settings.settings import collect
from llm.core.settings.values import show
from llm.core.strict_json import read_object
from llm.core.text.reward_tokens import RewardTokens
from llm.tasks.table import find_task

OWN_HEAD = (
    "its base has one matrix as embedding and head. The reward rows belong to the head alone, so the head is a matrix "
    "of its own here (tie_word_embeddings false)"
)


def merge(adapter_dir: Path, output_dir: Path) -> list[str]:
    """Lines that say what was done. What is in output_dir is whole, or nothing is there."""
    check_folders(adapter_dir, output_dir)
    with replacement.staged(output_dir) as unfinished, whole.read_whole(adapter_dir):
        settings = read_settings(adapter_dir / SETTINGS_FILE)
        text_format: AnswerFormat | RewardFormat
        if is_language_model(adapter_dir):
            tokens, text_format = None, load_answer_format(adapter_dir)
        else:
            text_format = load_format(adapter_dir)
            tokens = text_format.tokens
        model, state, note = load_merged(adapter_dir, tokens)
        model.save_pretrained(str(unfinished), state_dict=state, safe_serialization=True)
        text_format.save_pretrained(str(unfinished))
        write_json(unfinished / SETTINGS_FILE, settings | without_adapters())
    parameters = sum(tensor.size for tensor in state.values())
    line = f"{output_dir}: {adapter_dir} merged into its base, {parameters:,} parameters in float32"
    return [line, note] if note else [line]


def load_merged(adapter_dir: Path, tokens: RewardTokens | None) -> tuple[Any, dict, str | None]:
    """The model in float32, the weights of a plain causal LM by name, and a note where these are more than it has."""
    patches.apply_to_models(attention.choose(False, False)[0])
    model = lora.load(adapter_dir, "float32", tokens)
    if tokens is None:
        return model, plain_state(model), None
    was_tied = not kind_of(model.config) and heads.is_tied(model)
    state = merged_state(model, tokens)
    model.config.tie_word_embeddings = False
    return model, state, OWN_HEAD if was_tied else None


def check_folders(adapter_dir: Path, output_dir: Path) -> None:
    missing = [name for name in (folder.ADAPTER_CONFIG, SETTINGS_FILE) if not (adapter_dir / name).is_file()]
    if missing:
        raise ValueError(
            f"ADAPTER_DIR: {adapter_dir} holds no {' and no '.join(missing)}. Give the output_dir of a training with "
            "lora true."
        )
    if output_dir.exists() and not (output_dir.is_dir() and replacement.has_only_leftovers(output_dir)):
        raise ValueError(f"OUTPUT_DIR: {output_dir} exists already and is not an empty folder. Give a new one.")


def read_settings(file: Path) -> dict[str, Any]:
    """Those of the training; ValueError where one has a value that it cannot have."""
    settings, problems = read_object(file), []
    task, _ = find_task([str(file)])
    for name, parameter in collect(task.classes).items():
        if name not in settings and parameter.default is MISSING:
            problems.append(f"{name} is missing")
        elif name in settings:
            try:
                parameter.accept(settings[name])
            except ValueError as error:
                problems.append(f"{name} = {show(settings[name])}: {error}")
    if problems:
        raise ValueError(f"{file} is not what a training wrote: {'; '.join(problems)}. Copy the folder again.")
    return settings


def plain_state(model) -> dict:
    """The weights by name, with what the adapters add; the model's own are changed on the way."""
    for layer in model.sublayers():
        if isinstance(layer, LoRALinear):
            layer.merge()
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(lora.ADDED)}
    if not kind_of(model.config) and heads.is_tied(model):
        state.pop(HEAD, None)  # the embedding a second time
    return state


def merged_state(model, tokens: RewardTokens) -> dict:
    """The same with the reward rows in an LM head, or with the head of its own."""
    state = plain_state(model)
    if hasattr(model, lora.PLACEHOLDER_ROW):
        model.get_input_embeddings().weight[tokens.placeholder] = getattr(model, lora.PLACEHOLDER_ROW)[0]
    if kind_of(model.config):
        return state
    head_EV = (model.lm_head.weight.t() if heads.is_tied(model) else model.lm_head.weight).clone()  # t() is a view
    head_EV[:, paddle.to_tensor([tokens.positive, tokens.negative])] = getattr(model, lora.REWARD_ROWS).t()
    return state | {HEAD: head_EV}


def without_adapters() -> dict:
    """The settings about adapters, as they are where there are none."""
    return {field.name: field.default for field in fields(ModelArgument) if field.name.startswith("lora")}
