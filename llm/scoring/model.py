"""Models for scoring: in float32, or with weights in bfloat16 that are computed with in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import paddle

from llm.alignment.rm.flashmask.reward_format import FORMAT_FILE, RewardFormat
from llm.alignment.rm.flashmask.reward_model import as_reward_model
from llm.core import patches
from llm.core.model import attention, config, load, weights, widen
from llm.core.model.adapters import lora
from llm.core.model.replacement import MODEL_FILES
from llm.scoring.conventions.convention import Reader


def load_own(folder: str, reward_format: RewardFormat, dtype: str, device: str | None) -> tuple[Any, Reader]:
    """A model of this project, and how its head is read."""
    check_positions(folder, reward_format)
    prepare(device)
    if lora.is_adapter(folder):
        model = lora.load(folder, dtype, reward_format.tokens)
    else:
        model = load.load_model(folder, config.load_config(folder), dtype)
    model = as_reward_model(model, reward_format.tokens)
    model.eval()
    compute_in_float32_on_a_cpu(model, dtype)
    return model, lambda hidden_KE, at_M, next_M: model.reward_logits(hidden_KE).gather(at_M)


def check_positions(folder: str, reward_format: RewardFormat) -> None:
    """A training cuts to fewer tokens than its model attends over."""
    longest, trained = config.read_sizes(folder).longest_solution, reward_format.values.max_seq_len
    if trained > longest:
        raise ValueError(
            f"the config.json of {folder!r} is of a model that attends over {longest:,} tokens, and {FORMAT_FILE} says "
            f"that solutions of up to {trained:,} were trained (max_seq_len). They do not belong together: copy the "
            "folder again."
        )


def fingerprint_of(folder: str | Path) -> str:
    """Of the weights that the folder itself holds: a model's, or adapters'."""
    return weights.fingerprint([file for pattern in MODEL_FILES for file in Path(folder).glob(pattern)])


def compute_in_float32_on_a_cpu(model: Any, dtype: str) -> None:
    if dtype == "bfloat16" and not paddle.is_compiled_with_cuda():
        widen.freeze(model)
        widen.compute_in_float32(model)


def prepare(device: str | None) -> None:
    """Before a model is built: the device, and PaddleNLP patched."""
    has_cuda = paddle.is_compiled_with_cuda()
    if device and device.startswith("gpu") and not has_cuda:
        raise ValueError(
            f"device {device!r}: this PaddlePaddle is a CPU build. Leave it out, or install the GPU build."
        )
    paddle.set_device(device or ("gpu" if has_cuda else "cpu"))
    patches.apply_to_library()
    patches.apply_to_models(attention.choose(use_flash_attention=False, flash_mask=False)[0])
