"""What the reference says of answers while the policy trains."""

from __future__ import annotations

from functools import partial

from llm.alignment.dpo.dpo_checks import Reference
from llm.alignment.dpo.dpo_run import DpoRun
from llm.core.model import language_model
from llm.core.parallel.ranks import say
from llm.core.run.language_model import load_reference
from llm.core.train.library_arguments import LibraryArguments


def reference_of(run: DpoRun, model, attend, arguments: LibraryArguments):
    """batch -> its outputs, or None where nothing is to be asked; `model` is the policy."""
    if run.reference is Reference.ADAPTERS:
        return partial(outputs_without_adapters, model)
    if run.reference is not Reference.MODEL:
        return None
    reference = load_reference(run, run.reference_path, attend, arguments)
    say(f"reference: {run.reference_path}, a second model in memory")
    return partial(language_model.outputs, reference)


def outputs_without_adapters(model, inputs):
    model.disable_lora()
    try:
        return language_model.outputs(model, inputs)
    finally:
        model.enable_lora()
