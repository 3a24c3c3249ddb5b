"""The language model that a run trains, and what its checkpoints hold."""

from __future__ import annotations

from paddlenlp.trainer.trainer_utils import set_seed

from llm.core import patches
from llm.core.model import shapes, widen
from llm.core.model.adapters import lora
from llm.core.model.bfloat16_products import multiply_in_bfloat16
from llm.core.model.config import load_config
from llm.core.model.head.head_kinds import LM
from llm.core.model.language_model import as_language_model
from llm.core.parallel.ranks import say
from llm.core.run.run import Run
from llm.core.train.library_arguments import LibraryArguments


def weights_of_checkpoint(run: Run) -> dict[str, list[int]]:
    if run.model.lora:
        return lora.shapes_of_trained(run.sizes, run.model.lora_rank, run.model.lora_target_modules, of_rewards=False)
    return shapes.of_model(run.sizes)


def build_model(run: Run, attend, arguments: LibraryArguments):
    """Loaded, with adapters if asked."""
    set_seed(run.training.seed)
    model = load_language_model(run, run.model_path, attend, arguments)
    if not run.model.lora:
        obey_bf16(run, model)
        return model
    asked = run.model
    adapted = lora.attach(
        model,
        None,
        base=run.model_path,
        rank=asked.lora_rank,
        alpha=asked.lora_alpha,
        targets=asked.lora_target_modules,
        seed=run.training.seed,
        dtype=run.trained_dtype,
    )
    obey_bf16(run, adapted.model, whole_head=True)
    say(lora.describe(adapted))
    return adapted


def load_reference(run: Run, path: str, attend, arguments: LibraryArguments):
    """A second model, which does not train."""
    model = load_language_model(run, path, attend, arguments)
    model.eval()
    widen.freeze(model)
    obey_bf16(run, model, whole_head=True)
    return model


def obey_bf16(run: Run, model, whole_head: bool = False) -> None:
    """On a CPU, where Paddle has no code for it."""
    if run.bf16_on_a_cpu and run.weight_dtype == "bfloat16":
        widen.compute_in_float32(model, whole_head)
    elif run.bf16_on_a_cpu:
        multiply_in_bfloat16(model)


def load_language_model(run: Run, path: str, attend, arguments: LibraryArguments):
    config = load_config(path, LM)
    return as_language_model(patches.load_model(path, config, attend, run.weight_dtype, arguments))
