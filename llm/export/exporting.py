"""A reward model's folder -> the folder of another program's model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from llm.alignment.rm.flashmask.reward_format import RewardFormat, load_format
from llm.core.model import replacement, whole
from llm.core.model.config import read_config
from llm.core.model.families import FAMILIES
from llm.core.model.head.head_kinds import LM, NAMES, kind_of
from llm.core.model.shapes import HEAD
from llm.core.run.answer_format import is_language_model
from llm.export.forms import FORMS, Form, Head
from llm.export.hugging_face import write_config, write_padding, write_weights
from llm.export.language_model import export_language_model
from llm.export.source import EMBEDDING, Source, open_source

NOT_OF_QWEN = (
    "the tokenizer is not of Qwen's kind, but AutoTokenizer of transformers 5 reads that of every Qwen model as if it "
    "were: read it there with PreTrainedTokenizerFast.from_pretrained"
)


def export(model: Path, out: Path, form_name: str, dtype: str | None = None) -> list[str]:
    """Lines that say what was done. What is in `out` is whole, or nothing is there."""
    form = FORMS[form_name]
    check_folders(model, out)
    if is_language_model(model):
        return export_language_model(model, out, form_name, dtype)
    with replacement.staged(out) as unfinished, whole.read_whole(model):
        reward_format = load_format(model)
        check_form(model, form_name, form)
        source = open_source(model, reward_format.tokens)
        head = head_of(source, reward_format)
        dtype = dtype or str(next(iter(head.values())).dtype)
        head = head_in_form(head, form_name, form)
        count = write_weights(unfinished, weights_of(source, head), dtype)
        tokenizer, placeholder = reward_format.tokenizer, reward_format.tokens.placeholder
        write_config(unfinished, source.config, form, dtype, tokenizer, placeholder)
        if not form.make_head:  # this project reads it, too
            reward_format.save_pretrained(str(unfinished))
        else:
            tokenizer.save_pretrained(str(unfinished))
        write_padding(unfinished, tokenizer, placeholder)
    tag = f"{reward_format.values.placeholder_token!r} (id {reward_format.tokens.placeholder})"
    architecture = FAMILIES[source.config.model_type].name + form.architecture
    lines = [
        f"{out}: {model} as {architecture}, {count:,} parameters in {dtype}",
        f"read there: {form.reading.format(tag=tag)}",
    ]
    if source.note and not head:
        lines.append(source.note)
    if source.config.model_type in ("qwen2", "qwen3") and reward_format.tokenizer.byte_decoder is None:
        lines.append(NOT_OF_QWEN)
    return lines


def check_folders(model: Path, out: Path) -> None:
    if not model.is_dir():
        raise ValueError(
            f"MODEL: {model} is not a folder. Give the output_dir of a training or one of its checkpoints."
        )
    if out.exists() and not (out.is_dir() and replacement.has_only_leftovers(out)):
        raise ValueError(f"OUT: {out} exists already and is not an empty folder. Give a new one.")


def check_form(model: Path, form_name: str, form: Form) -> None:
    config = read_config(str(model))
    family, kind = config["model_type"], config.get("reward_head", LM)
    if form.families and family not in form.families:
        problem = f"a {family} model, and the programs that read this form know it for {', '.join(form.families)} alone"
    elif kind not in form.kinds:
        problem = f"a model with a head of the kind {kind}, which this form cannot hold"
    else:
        return
    fitting = [name for name, other in FORMS.items() if kind in other.kinds and family in (other.families or (family,))]
    others = f"Give another form: {', '.join(fitting)}" if fitting else "No form can hold it"
    raise ValueError(f"--to {form_name}: {model} is {problem}. {others}.")


def head_of(source: Source, reward_format: RewardFormat) -> Head:
    """The model's own, or as two classes the rows of its LM head."""
    if kind := kind_of(source.config):
        return {name: read() for name, read in source.tensors() if name in kind.names}
    table = EMBEDDING if source.config.tie_word_embeddings else HEAD
    tokens = reward_format.tokens
    rows_2E = next(read() for name, read in source.tensors() if name == table)[[tokens.negative, tokens.positive]]
    return {"score.weight": rows_2E, "score.bias": np.zeros(2, rows_2E.dtype)}


def head_in_form(head: Head, form_name: str, form: Form) -> Head:
    try:
        return form.make_head({name: array.astype("float32") for name, array in head.items()}) if form.make_head else {}
    except ValueError as error:
        raise ValueError(f"--to {form_name}: {error}") from error


def weights_of(source: Source, head: Head) -> Iterator[tuple[str, np.ndarray]]:
    for name, read in source.tensors():
        if not head or name not in {HEAD, *NAMES}:
            yield name, read()
    yield from head.items()
