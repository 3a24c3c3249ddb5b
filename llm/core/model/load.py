"""A causal LM from its files, with this project's attention in every layer."""

from __future__ import annotations

from pathlib import Path

from paddlenlp.transformers.configuration_utils import LlmMetaConfig
from paddlenlp.transformers.model_utils import no_init_weights

from llm.core.console import in_short, listed
from llm.core.model import attention, weights
from llm.core.model import folder as folder_module
from llm.core.model.families import FAMILIES, family_of
from llm.core.model.head import reward_head
from llm.core.model.head.head_kinds import kind_of


def load_model(name_or_path: str, config, dtype: str, training_args=None, new_head: int | None = None):
    """The causal LM, PaddleNLP being patched already; with another head if `config` names a kind. Weights that the
    files lack are an error, not a random start, but for such a head if it may be a `new_head`, drawn from this
    seed."""
    assert attention.is_patched(), "call llm.core.patches.load_model, which patches PaddleNLP's attention first"
    LlmMetaConfig.set_llm_config(config, training_args)  # None: how the saving run divided the model means nothing here
    files = weight_files(name_or_path, config.model_type)
    wanted = weights.check(files, config, name_or_path, new_head is not None)
    config.dtype = dtype
    model = _empty_model(config, dtype)
    reward_head.start(model, weights.fill(model, files, wanted), new_head or 0)
    share_rotary_tables(model)
    return model


def _empty_model(config, dtype: str):
    family, in_stages, own_head = family_of(config), config.pipeline_parallel_degree > 1, kind_of(config) is not None
    causal_lm = family.causal_lm_in_stages() if in_stages else family.causal_lm()
    if own_head:  # a tied LM head takes no room until it is replaced; in a pipeline it would connect two stages
        config.tie_word_embeddings = not in_stages
    pad, config.pad_token_id = config.pad_token_id, None  # Mistral's embedding would give zeros for it, also in a text
    with no_init_weights():  # the files bring them all
        model = causal_lm.from_config(config, dtype=dtype)
    config.pad_token_id = model.config.pad_token_id = pad
    if own_head:
        config.tie_word_embeddings = model.config.tie_word_embeddings = False
        reward_head.put_in(model, dtype)
    return model


def fingerprint(name_or_path: str, model_type: str) -> str:
    """Of the weights, so that adapters know their base again."""
    return weights.fingerprint(weight_files(name_or_path, model_type))


def share_rotary_tables(model) -> None:
    """Every layer comes with cosines and sines of its own for all positions: 4 GiB of the same numbers in Llama 3.1."""
    first, *others = [layer for layer in model.sublayers() if hasattr(layer, "rotary_emb")]
    for layer in others:
        layer.rotary_emb = first.rotary_emb


def weight_files(name_or_path: str, model_type: str) -> list[Path]:
    if Path(name_or_path).is_dir():
        return _files_in(Path(name_or_path))
    causal_lm = FAMILIES[model_type].causal_lm()
    try:
        archive, shards, *_ = causal_lm._resolve_model_file_path(name_or_path)
    except Exception as error:  # a hub fails in many ways
        raise ValueError(
            f"model_name_or_path: no weights were found under the name {name_or_path!r} ({in_short(error)})."
        ) from error
    return [Path(file) for file in shards or [archive]]


def _files_in(folder: Path) -> list[Path]:
    try:
        files = folder_module.weight_files(folder)
    except ValueError as error:
        raise ValueError(f"model_name_or_path: {error}") from error
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        what = f"its index lists {listed(missing)}, which is not there" if missing else "there are none"
        names = " or ".join((*folder_module.WEIGHT_FILES, *folder_module.WEIGHT_INDEXES))
        raise ValueError(f"model_name_or_path: the weights of {folder}: {what}. Give the folder that holds {names}.")
    return files
