"""Load a model and its tokenizer; hidden states of packed rows; the two reward rows of the LM head."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import paddle
from paddlenlp.transformers import AutoConfig, AutoTokenizer
from paddlenlp.transformers.configuration_utils import LlmMetaConfig
from paddlenlp.transformers.llama.modeling import LlamaForCausalLM
from paddlenlp.transformers.mistral.modeling import MistralForCausalLM
from paddlenlp.transformers.qwen2.modeling import Qwen2ForCausalLM

from llm.core import attention, cpu_layers
from llm.core.encoding import RewardTokens
from llm.core.records import resolve_path

FAMILIES = {"llama": LlamaForCausalLM, "mistral": MistralForCausalLM, "qwen2": Qwen2ForCausalLM}
WEIGHT_INDEXES = ("model.safetensors.index.json", "model_state.pdparams.index.json", "pytorch_model.bin.index.json")
WEIGHT_FILES = ("*.safetensors", "*.pdparams", "pytorch_model*.bin")
TOKENIZER_FILES = ("tokenizer.model", "sentencepiece.bpe.model", "tokenizer.json", "vocab.json")


def find_model(name_or_path: str, setting: str = "model_name_or_path") -> str:
    """A folder's absolute path, checked for what a model needs, or a model's name as PaddleNLP knows it."""
    looks_like_a_name = name_or_path.count("/") <= 1 and not name_or_path.startswith((".", "/", "~"))
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
        raise ValueError(f"{setting}: {folder} holds no tokenizer (none of {', '.join(TOKENIZER_FILES)}).")
    return str(folder)


def _check_model_folder(folder: Path) -> None:
    missing = []
    if not (folder / "config.json").is_file():
        missing.append("config.json")
    indexes = [folder / name for name in WEIGHT_INDEXES if (folder / name).is_file()]
    if indexes:
        listed = set(json.loads(indexes[0].read_text(encoding="utf-8"))["weight_map"].values())
        missing += sorted(name for name in listed if not (folder / name).is_file())
    elif not any(any(folder.glob(pattern)) for pattern in WEIGHT_FILES):
        missing.append("weights (" + ", ".join(WEIGHT_FILES) + ")")
    if missing:
        raise ValueError(
            f"model_name_or_path: the folder {folder} is incomplete: {', '.join(missing)} missing. "
            "Copy or download it again, or give another folder."
        )


def load_tokenizer(name_or_path: str):
    try:
        return AutoTokenizer.from_pretrained(name_or_path)
    except Exception as error:
        raise ValueError(
            f"tokenizer_name_or_path: no tokenizer could be read from {name_or_path!r} ({_first_line(error)}). "
            f"Its folder needs one of {', '.join(TOKENIZER_FILES)} and tokenizer_config.json."
        ) from error


def load_config(name_or_path: str, **changes):
    """The model's configuration, refused by name if the architecture is none of the supported families."""
    try:
        config = AutoConfig.from_pretrained(name_or_path)
    except Exception as error:
        raise ValueError(
            f"model_name_or_path: no configuration could be read from {name_or_path!r} ({_first_line(error)}). "
            "A folder needs config.json; a model's name needs a connection to its hub."
        ) from error
    if config.model_type not in FAMILIES:
        raise ValueError(
            f"model_name_or_path: {name_or_path!r} is a {config.model_type!r} model; supported are "
            f"{', '.join(sorted(FAMILIES))}."
        )
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def longest_solution(config) -> int:
    """Tokens that a single solution may have for this model: its positions, and Mistral's window, which the mask here
    does not cut."""
    window = getattr(config, "sliding_window", None) if config.model_type == "mistral" else None
    return min(config.max_position_embeddings, window or config.max_position_embeddings)


def load_model(name_or_path: str, config, attend, dtype: str, training_args=None):
    """The causal LM with `attend` in every layer. Weights that the files lack are an error, not a random start."""
    if training_args is not None:
        LlmMetaConfig.set_llm_config(config, training_args)
    attention.install(attend)
    if not paddle.is_compiled_with_cuda():
        cpu_layers.install()
    family = FAMILIES[config.model_type]
    with _recorded_loading(family) as outcome:
        try:
            model = family.from_pretrained(name_or_path, config=config, dtype=dtype)
        except Exception as error:
            raise ValueError(
                f"model_name_or_path: the weights in {name_or_path!r} could not be loaded ({_first_line(error)}). "
                "They may be cut short, or belong to another config.json than the one beside them."
            ) from error
    allowed = {"lm_head.weight"} if config.tie_word_embeddings else set()
    missing = sorted(set(outcome["missing"]) - allowed)
    if missing:
        raise ValueError(
            f"model_name_or_path: the files in {name_or_path!r} lack {len(missing)} weights of this architecture "
            f"({', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}); they would start at random. "
            "Give the folder of the complete causal LM."
        )
    return model


@contextlib.contextmanager
def _recorded_loading(family):
    """PaddleNLP only warns about missing weights; this keeps its list of them."""
    outcome = {"missing": []}
    original = family._load_pretrained_model.__func__

    def recording(cls, *args, **kwargs):
        loaded = original(cls, *args, **kwargs)
        outcome["missing"] = loaded[1]
        return loaded

    family._load_pretrained_model = classmethod(recording)
    try:
        yield outcome
    finally:
        del family._load_pretrained_model


def hidden_states(model, input_ids_BS, position_ids_BS, end_row_BS):
    """[B, S, hidden]: the last layer after its norm, every layer attending within end_row."""
    base = getattr(model, model.base_model_prefix)
    row_indices = "attention_mask" if model.config.model_type == "mistral" else "attn_mask_startend_row_indices"
    out = base(
        input_ids=input_ids_BS,
        position_ids=position_ids_BS,
        use_cache=False,
        return_dict=True,
        **{row_indices: end_row_BS},
    )
    return out.last_hidden_state


def reward_logits(model, hidden_BSE, scored_K, tokens: RewardTokens):
    """[K, 2]: the logits of the two reward tokens at the scored positions, from two rows of the LM head; the other
    S x V logits are never made."""
    hidden_KE = hidden_BSE.reshape([-1, hidden_BSE.shape[-1]]).gather(scored_K)
    weight = model.lm_head.weight
    ids = paddle.to_tensor([tokens.positive, tokens.negative], dtype="int64")
    if getattr(model.lm_head, "transpose_y", False):  # tied to the embedding: [V, E]
        return paddle.matmul(hidden_KE, weight.index_select(ids, axis=0), transpose_y=True)
    return paddle.matmul(hidden_KE, weight.index_select(ids, axis=1))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:300]
