"""A fine-tuned language model's folder -> the causal LM that transformers reads."""

from __future__ import annotations

from pathlib import Path

from llm.core.model import replacement, whole
from llm.core.model.families import FAMILIES
from llm.core.text.load_tokenizer import load_tokenizer
from llm.export.forms import FORMS
from llm.export.hugging_face import write_config, write_padding, write_weights
from llm.export.source import open_source

CAUSAL_LM = "causal-lm"


def export_language_model(model: Path, out: Path, form_name: str, dtype: str | None) -> list[str]:
    """Lines that say what was done."""
    if form_name != CAUSAL_LM:
        raise ValueError(f"--to {form_name}: {model} is a language model, which has no rewards. Give {CAUSAL_LM}.")
    with replacement.staged(out) as unfinished, whole.read_whole(model):
        tokenizer = load_tokenizer(str(model))
        source = open_source(model, None)
        dtype = dtype or str(next(read() for _, read in source.tensors()).dtype)
        count = write_weights(unfinished, ((name, read()) for name, read in source.tensors()), dtype)
        write_config(unfinished, source.config, FORMS[form_name], dtype, tokenizer)
        tokenizer.save_pretrained(str(unfinished))
        write_padding(unfinished, tokenizer)
    name = FAMILIES[source.config.model_type].name + FORMS[form_name].architecture
    return [f"{out}: {model} as {name}, {count:,} parameters in {dtype}"]
