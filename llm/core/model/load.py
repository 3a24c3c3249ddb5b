"""Load a model; hidden states of packed rows; the two reward rows of the LM head."""

from __future__ import annotations

import json
from pathlib import Path

import paddle
from paddle.distributed import fleet
from paddle.distributed.fleet.layers.mpu import mp_ops
from paddlenlp.transformers.configuration_utils import LlmMetaConfig, PretrainedConfig
from paddlenlp.transformers.llama.modeling import LlamaForCausalLM
from paddlenlp.transformers.mistral.modeling import MistralForCausalLM
from paddlenlp.transformers.model_utils import no_init_weights
from paddlenlp.transformers.qwen2.modeling import Qwen2ForCausalLM

from llm.core.console import in_short
from llm.core.cpu import layers
from llm.core.model import attention, pipeline, sequence_parallel, supported, weights
from llm.core.records.records import resolve_path
from llm.core.text.load_tokenizer import TOKENIZER_FILES
from llm.core.text.reward_tokens import RewardTokens

FAMILIES = {"llama": LlamaForCausalLM, "mistral": MistralForCausalLM, "qwen2": Qwen2ForCausalLM}
ADAPTER_CONFIG = "lora_config.json"
WEIGHT_FILES = ("model.safetensors", "model_state.pdparams")
WEIGHT_INDEXES = tuple(f"{name}.index.json" for name in WEIGHT_FILES)


def find_model(name_or_path: str, setting: str = "model_name_or_path") -> str:
    """A folder's absolute path, checked for what a model needs, or a model's name as PaddleNLP knows it."""
    owner, slash, _ = name_or_path.partition("/")
    is_near_a_folder = bool(slash) and Path(owner).is_dir()
    looks_like_a_name = name_or_path.count("/") <= 1 and owner not in (".", "..", "~", "") and not is_near_a_folder
    try:
        folder = resolve_path(name_or_path)
    except ValueError:
        if looks_like_a_name:
            return name_or_path
        raise ValueError(
            f"{setting}: {name_or_path!r} is no folder here (looked from {Path.cwd()} and from the repository's root) "
            "and no model name of the form owner/name. Give the folder that holds config.json and the weights."
        ) from None
    if setting == "model_name_or_path":
        _check_model_folder(folder)
    elif not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise ValueError(
            f"{setting}: {folder} holds no tokenizer (none of {', '.join(TOKENIZER_FILES)}). Give the folder that does."
        )
    return str(folder)


def _check_model_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ValueError(f"model_name_or_path: {folder} is no folder. Give the one that holds config.json and weights.")
    if (folder / ADAPTER_CONFIG).is_file():
        raise ValueError(
            f"model_name_or_path: {folder} holds LoRA adapters, which are no model by themselves. Merge them into "
            f"their base first (python -m llm merge-lora {folder} NEW_FOLDER) and give the new folder."
        )
    missing = []
    if not (folder / "config.json").is_file():
        missing.append("config.json")
    indexes = [folder / name for name in WEIGHT_INDEXES if (folder / name).is_file()]
    if indexes:
        try:
            listed = set(json.loads(indexes[0].read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(
                f"model_name_or_path: {indexes[0]} is no index of weights. Copy or download the folder again."
            ) from None
        missing += sorted(name for name in listed if not (folder / name).is_file())
    elif not any((folder / name).is_file() for name in WEIGHT_FILES):
        is_pickled = any(folder.glob("pytorch_model*.bin"))
        hint = "; PyTorch's .bin files are not read, convert them to safetensors" if is_pickled else ""
        missing.append(f"weights ({' or '.join((*WEIGHT_FILES, *WEIGHT_INDEXES))}{hint})")
    if missing:
        raise ValueError(
            f"model_name_or_path: the folder {folder} is incomplete: {', '.join(missing)} missing. "
            "Copy or download it again, or give another folder."
        )


def load_config(name_or_path: str):
    """The model's configuration; refused are other architectures, and settings that would not be obeyed."""
    try:
        settings, _ = PretrainedConfig.get_config_dict(name_or_path)
        settings = supported.with_rope_settings(settings)
    except Exception as error:
        raise ValueError(
            f"model_name_or_path: no configuration could be read from {name_or_path!r} ({in_short(error)}). "
            "A folder needs config.json; a model's name needs a connection to its hub."
        ) from error
    if problem := supported.problem_of_architecture(settings):
        raise ValueError(f"model_name_or_path: the config.json of {name_or_path!r} has {problem}")
    if problems := supported.problems_of_settings(settings):
        raise ValueError(
            f"model_name_or_path: the config.json of {name_or_path!r} has settings that change what the model computes "
            f"and that are not supported here: {'; '.join(problems)}. Give another model, or "
            "correct the file if it is wrong."
        )
    return FAMILIES[settings["model_type"]].config_class.from_dict(settings)


def check_vocabulary(config, tokenizer) -> None:
    """Every id that can occur must have a row in the embedding."""
    highest = len(tokenizer) - 1
    if highest >= config.vocab_size:
        raise ValueError(
            f"tokenizer_name_or_path: the tokenizer has ids up to {highest}, the model rows for {config.vocab_size}. "
            "They do not belong together: give the model's own tokenizer."
        )


def longest_solution(config) -> int:
    """Tokens that a single solution may have for this model: its positions, and Mistral's window, which the mask here
    does not cut."""
    window = getattr(config, "sliding_window", None) if config.model_type == "mistral" else None
    return min(config.max_position_embeddings, window or config.max_position_embeddings)


def load_model(name_or_path: str, config, attend, dtype: str, training_args=None):
    """The causal LM with `attend` in every layer. Weights that the files lack are an error, not a random start."""
    LlmMetaConfig.set_llm_config(config, training_args)  # None: how the saving run divided the model means nothing here
    in_stages = config.pipeline_parallel_degree > 1
    family = (pipeline.FAMILIES if in_stages else FAMILIES)[config.model_type]
    files = _weight_files(family, name_or_path)
    wanted = weights.check(files, config, name_or_path)
    attention.install(attend)
    if not paddle.is_compiled_with_cuda():
        layers.install()
    if in_stages:
        pipeline.install()
    config.dtype = dtype
    with no_init_weights():  # the files bring them all
        model = family.from_config(config, dtype=dtype)
    weights.fill(model, files, wanted)
    share_rotary_tables(model)
    return model


def fingerprint(name_or_path: str, config) -> str:
    """Of the weights, so that adapters know their base again."""
    return weights.fingerprint(_weight_files(FAMILIES[config.model_type], name_or_path))


def share_rotary_tables(model) -> None:
    """Every layer comes with cosines and sines of its own for all positions: 4 GiB of the same numbers in Llama 3.1."""
    first, *others = [layer for layer in model.sublayers() if hasattr(layer, "rotary_emb")]
    for layer in others:
        layer.rotary_emb = first.rotary_emb


def _weight_files(family, name_or_path: str) -> list[Path]:
    try:
        archive, shards, *_ = family._resolve_model_file_path(name_or_path)
    except Exception as error:
        raise ValueError(
            f"model_name_or_path: no weights were found in {name_or_path!r} ({in_short(error)}). Give the folder that "
            f"holds {' or '.join(WEIGHT_FILES)}."
        ) from error
    return [Path(file) for file in shards or [archive]]


def hidden_states(model, input_ids_BS, position_ids_BS, end_row_BS):
    """[B, S, hidden] (with sequence parallelism [B * S, hidden]): the last layer after its norm, every layer attending
    within end_row."""
    sequence_parallel.set_row_length(model, input_ids_BS.shape[1])
    base = getattr(model, model.base_model_prefix)
    row_indices = "attention_mask" if model.config.model_type == "mistral" else "attn_mask_startend_row_indices"
    out = base(
        input_ids=input_ids_BS,
        position_ids=position_ids_BS,
        use_cache=False,
        return_dict=True,
        **{row_indices: end_row_BS},
    )
    return sequence_parallel.gather(model, out.last_hidden_state)


def reward_logits(model, hidden_KE, tokens: RewardTokens):
    """[K, 2]: the logits of the two reward tokens at the scored positions, from two rows of the LM head; the other
    S x V logits are never made."""
    own_2E = getattr(model, "reward_rows", None)  # beside adapters: lora.py
    return paddle.matmul(hidden_KE, head_rows(model, tokens) if own_2E is None else own_2E, transpose_y=True)


def head_rows(model, tokens: RewardTokens):
    """[2, E]: the rows of the reward tokens in the LM head."""
    weight = model.lm_head.weight
    ids = paddle.to_tensor([tokens.positive, tokens.negative], dtype="int64")
    axis = 0 if is_tied(model) else 1  # [V, E], else [E, V]
    rows = _rows_of_parallel_head(weight, ids, axis) if weight.is_distributed else weight.index_select(ids, axis=axis)
    return rows if axis == 0 else rows.t()


def is_tied(model) -> bool:
    return getattr(model.lm_head, "transpose_y", False)


def _rows_of_parallel_head(weight, ids, axis: int):
    """The rows of a head whose vocabulary is divided among the ranks of tensor parallelism: the rank that holds a row
    gives it, the others give zeros. Its gradient goes back to that rank as it is, because all ranks compute the same
    from here on."""
    group = fleet.get_hybrid_communicate_group().get_model_parallel_group()
    local = ids - group.rank * weight.shape[axis]
    mine = paddle.logical_and(local >= 0, local < weight.shape[axis]).astype(weight.dtype)
    rows = weight.index_select(local.clip(0, weight.shape[axis] - 1), axis=axis)
    return mp_ops._mp_allreduce(rows * mine.unsqueeze(1 - axis), group=group, use_model_parallel=True)
