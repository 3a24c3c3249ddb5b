"""Low-rank adapters (LoRA) on frozen weights, and what trains with them.

PaddleNLP's adapters leave the head as it was, but a reward is read off it. Here a head of the model's own trains in
full, and of the LM head the two reward rows, as a parameter of their own; they are saved as the adapters are. So is the
embedding of a placeholder that was added to the vocabulary: the base has no such row.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import paddle
from paddle import nn
from paddlenlp.peft import LoRAConfig, LoRAModel
from paddlenlp.utils.env import LORA_WEIGHTS_NAME

from llm.core.console import in_short, listed
from llm.core.model import config as config_module
from llm.core.model import folder as folder_module
from llm.core.model import load as backbone
from llm.core.model import shapes, weights
from llm.core.model.adapters.lora_config import (
    BASE_FILE,
    PLACEHOLDER_ROW,
    REWARD_ROWS,
    fingerprint_in,
    read_config,
    target_of,
    trainable_with,
)
from llm.core.model.grow_vocabulary import grow_vocabulary
from llm.core.model.head import heads
from llm.core.model.head.head_kinds import LM, kind_of
from llm.core.model.shapes import PROJECTIONS
from llm.core.model.whole import read_whole
from llm.core.text.reward_tokens import RewardTokens

ADDED = ".lora_A", ".lora_B", REWARD_ROWS, PLACEHOLDER_ROW  # how the names of all end that a base does not have
WEIGHT_FILES = "peft_model*.safetensors", LORA_WEIGHTS_NAME


def attach(
    model,
    tokens: RewardTokens | None,
    base: str,
    rank: int,
    alpha: int,
    targets=None,
    new_placeholder=False,
    seed: int = 0,
    dtype: str = "float32",
):
    """A reward model with adapters of this `dtype`, or without `tokens` a causal LM, of which nothing but what this
    module adds will train. `base` is where its weights came from; a `new_placeholder` was added to the vocabulary."""
    kind = kind_of(model.config)
    config = LoRAConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=[target_of(name) for name in dict.fromkeys(targets or PROJECTIONS)],
        trainable_modules=trainable_with(kind.name if kind else LM),
        dtype=dtype,
        tensor_parallel_degree=model.config.tensor_parallel_degree,
        base_model_name_or_path=base,
    )
    adapted = _adapted(model, tokens, config, new_placeholder)
    _draw(adapted, seed)
    return adapted


def shapes_of_trained(
    sizes, rank: int, targets=None, new_placeholder=False, of_rewards: bool = True
) -> dict[str, list[int]]:
    """What `attach` adds to a model of these sizes, by the names that it is saved under."""
    rows = {REWARD_ROWS: [2, sizes.hidden_size]} if of_rewards else {}
    head = shapes.of_head(sizes) if kind_of(sizes) else rows
    row = {PLACEHOLDER_ROW: [1, sizes.hidden_size]} if new_placeholder else {}
    return shapes.of_adapters(sizes, rank, targets or PROJECTIONS) | head | row


def _draw(adapted: LoRAModel, seed: int) -> None:
    """The usual uniform numbers, but the same for a layer however many ranks share it. The library draws by the place
    in a sequence, and for a part of a layer wider, by the size of the part."""
    parallel = adapted.model.config
    for name, part_IR in adapted.get_trainable_state_dict().items():
        if not name.endswith("lora_A"):
            continue
        inputs, rank = part_IR.shape
        parts, number = 1, 0
        if part_IR.is_distributed:
            parts, number = parallel.tensor_parallel_degree, parallel.tensor_parallel_rank
        numbers = np.random.default_rng([seed, zlib.crc32(name.encode())])
        whole = numbers.uniform(-1, 1, [inputs * parts, rank]) / math.sqrt(inputs * parts)
        mine = whole[number * inputs : (number + 1) * inputs]
        part_IR.set_value(paddle.to_tensor(mine, dtype="float32").astype(part_IR.dtype))


def _adapted(model, tokens: RewardTokens | None, config: LoRAConfig, new_placeholder: bool) -> LoRAModel:
    if tokens and not kind_of(model.config):
        _add_rows(model, REWARD_ROWS, heads.head_rows(model, tokens))
    if new_placeholder:
        embedding = model.get_input_embeddings()
        _add_rows(model, PLACEHOLDER_ROW, embedding(paddle.to_tensor([tokens.placeholder])))
        _embed_with(model, embedding, tokens.placeholder)
    adapted = LoRAModel(model, config)
    adapters = sum(name.endswith("lora_A") for name in adapted.get_trainable_state_dict())
    assert adapters == model.config.num_hidden_layers * len(config.target_modules), (adapters, config.target_modules)
    return adapted


def _add_rows(model, name: str, rows) -> None:
    parameter = paddle.create_parameter(rows.shape, rows.dtype, default_initializer=nn.initializer.Constant(0.0))
    parameter.set_value(rows.detach())
    setattr(model, name, parameter)


def _embed_with(model, embedding, token: int) -> None:
    """The embedding gives the placeholder its row, and trains it, although its own weight is frozen."""
    frozen = embedding.forward

    def forward(ids):
        row_1E = getattr(model, PLACEHOLDER_ROW)  # which may have been widened since
        return paddle.where((ids == token).unsqueeze(-1), row_1E, frozen(ids).astype(row_1E.dtype))

    embedding.forward = forward


def describe(model: LoRAModel) -> str:
    """A line for the screen before training."""
    trained = sum(parameter.size for parameter in model.parameters() if not parameter.stop_gradient)
    everything = sum(parameter.size for parameter in model.parameters())
    config = model.lora_config
    names = [target.rpartition(".")[2] for target in config.target_modules]
    layers = model.model.config.num_hidden_layers * len(names)
    head = ", the two reward rows" if hasattr(model.model, REWARD_ROWS) else ""
    head = f", the {kind.name} head" if (kind := kind_of(model.model.config)) else head
    row = " and the placeholder's embedding" if hasattr(model.model, PLACEHOLDER_ROW) else ""
    return (
        f"LoRA: {trained:,} of {everything:,} parameters train ({trained / everything:.2%}): adapters of rank "
        f"{config.r} in {layers} layers ({', '.join(names)}){head}{row}"
    )


def is_adapter(folder: str | Path) -> bool:
    return (Path(folder) / folder_module.ADAPTER_CONFIG).is_file()


def _config_of_base(folder: Path, base: str, head: str):
    """As the adapters' configuration names it; nobody who scores has written the name."""
    file = folder / folder_module.ADAPTER_CONFIG
    try:
        if Path(base).is_absolute() and not Path(base).is_dir():
            raise ValueError(
                f"{folder} holds LoRA adapters for the model in {base}, which is no longer there. Put it back, or set "
                f"base_model_name_or_path in {file} to where it is now."
            )
        return config_module.load_config(base, head)
    except (ValueError, OSError) as error:
        if str(file) in str(error):
            raise
        raise ValueError(f"{file}: base_model_name_or_path {base!r:.100}: {in_short(error)}") from error


def load(folder: str | Path, dtype: str, tokens: RewardTokens | None):
    """The causal LM with its adapters in place: the base from where it was, the rest from the folder. `tokens` None:
    without rewards. PaddleNLP has to be patched before."""
    folder = Path(folder)
    config = read_config(folder / folder_module.ADAPTER_CONFIG)
    base = config.base_model_name_or_path
    own_config = config_module.load_config(str(folder))
    kind = kind_of(own_config)
    base_config = _config_of_base(folder, base, kind.name if kind else LM)
    known = folder / BASE_FILE
    if known.is_file() and fingerprint_in(known) != backbone.fingerprint(base, base_config.model_type):
        raise ValueError(
            f"{folder} holds LoRA adapters for weights other than those now in {base}, which was trained again or "
            "replaced since. Put the adapters' own base back, or train adapters for this one."
        )
    state = _read_state(folder)
    names = [target.rpartition(".")[2] for target in config.target_modules]
    wanted = shapes_of_trained(base_config, config.r, names, PLACEHOLDER_ROW in state, of_rewards=tokens is not None)
    _check_state(state, wanted, folder)
    with read_whole(Path(base)):
        model = backbone.load_model(base, base_config, dtype, new_head=0)  # which the adapters' files bring
    config.dtype, config.tensor_parallel_degree = dtype, model.config.tensor_parallel_degree
    grow_vocabulary(model, own_config.vocab_size)
    adapted = _adapted(model, tokens, config, new_placeholder=PLACEHOLDER_ROW in state)
    for name, parameter in adapted.get_trainable_state_dict().items():
        parameter.set_value(state[name].astype(parameter.dtype))
    return model


def _read_state(folder: Path) -> dict:
    files = [file for pattern in WEIGHT_FILES for file in sorted(folder.glob(pattern))]
    state: dict = {}
    for file in files:
        for tensor in weights.stored(file):
            if tensor.name in state:
                raise ValueError(
                    f"{folder}: {tensor.name} is in two of its files ({listed([one.name for one in files])}), which "
                    "are of different adapters. Copy the folder again."
                )
            state[tensor.name] = paddle.to_tensor(tensor.read().astype("float32"))
    return state


def _check_state(state: dict, wanted: dict[str, list[int]], folder: Path) -> None:
    """All of it or an error, before anything is built; the library would keep random values for what is missing."""
    wrong = sorted(wanted.keys() ^ state.keys())
    wrong += [name for name in sorted(wanted.keys() & state.keys()) if list(state[name].shape) != wanted[name]]
    if wrong:
        raise ValueError(
            f"{folder}: its weights do not match its {folder_module.ADAPTER_CONFIG}: {listed(wrong)} missing, "
            "unexpected or of another size. Copy the folder again, with all of its files."
        )
