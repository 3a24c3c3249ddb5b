"""Every place where Paddle or PaddleNLP is patched: the target, what takes its place, and why.

Nothing is patched by importing a module: entry points call
`apply_to_library` first, `apply_to_processes` before TrainingArguments are made, and `load_model` (or
`apply_to_models`) before a model is built. Applying a patch a second time changes nothing.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import paddle
from paddle.base import core
from paddlenlp.utils.log import logger

from llm.core import pickles
from llm.core.checkpoint import unified
from llm.core.cpu import layers
from llm.core.model import attention, load, pipeline
from llm.core.model.whole import read_whole
from llm.core.parallel import gloo, gloo_sharding, hook_errors, stage3
from llm.core.parallel.ranks import uses_gloo

LLAMA, QWEN2, MISTRAL = (f"paddlenlp.transformers.{family}.modeling" for family in ("llama", "qwen2", "mistral"))
SHARDING = "paddle.distributed.fleet.meta_parallel.sharding"
TESTED = {"paddle": "3.3.1", "paddlenlp": "3.0.0b4"}  # with other versions every patch here needs a look
UNTRUE_WARNINGS = (
    "Asynchronous saving is not supported",  # at every save of a single process, although nobody asked for it
    "Unified checkpoint currently do not support sharding stage3",  # they do here: checkpoint/stage3_checkpoint.py
)


class Patch(NamedTuple):
    target: str  # module:attribute, or module:class.attribute
    replacement: Any
    reason: str


def apply(patches: Iterable[Patch]) -> None:
    for patch in patches:
        module, _, path = patch.target.partition(":")
        *owners, name = path.split(".")
        owner: Any = importlib.import_module(module)
        for part in owners:
            owner = getattr(owner, part)
        setattr(owner, name, patch.replacement)


def apply_to_library() -> None:
    """PaddleNLP's account of every file and setting is not shown; its warnings and errors are, but for two that are not
    true here."""
    logger.set_level("WARNING")
    logger.logger.addFilter(_is_true)
    apply([*_pickles(), *_checkpoints(), *_backward_hooks()])


def apply_to_processes() -> None:
    """For every group that this process forms from now on. Nothing for a single process, nor in a GPU build."""
    apply_to_library()
    if uses_gloo():
        apply(_processes())


def apply_to_models(attend, compiled: bool | None = None) -> None:
    """For every model that this process builds from now on. `compiled` None: with the kernels if they can be had."""
    apply([*_attention(attend), *_stages(), *([] if paddle.is_compiled_with_cuda() else _cpu_layers(compiled))])


def load_model(name_or_path: str, config, attend, dtype: str, training_args=None, new_head: int | None = None):
    """The causal LM, or a reward model with a head of its own, with `attend` in every layer. Every process verifies
    what it reads: the nodes of a run may have copies of their own."""
    apply_to_models(attend)
    with read_whole(Path(name_or_path)):
        return load.load_model(name_or_path, config, dtype, training_args, new_head)


def _is_true(record) -> bool:
    return not any(text in record.getMessage() for text in UNTRUE_WARNINGS)


def _pickles() -> list[Patch]:
    runs_code = "it would run whatever code a file names"
    return [
        Patch(
            "paddle.framework.io:pickle", gloo_sharding.seen(pickle, load=pickles.load), f"paddle.load's: {runs_code}"
        ),
        Patch("paddle.framework.io:_pickle_loads_mac", lambda path, file: pickles.load(file), "the same on a Mac"),
        Patch(
            "paddlenlp.utils.serialization:UnpicklerWrapperStage.find_class", pickles.refuse, f"PyTorch's: {runs_code}"
        ),
    ]


def _checkpoints() -> list[Patch]:
    return [
        Patch(
            "paddlenlp.trainer.unified_checkpoint.load_save_single_card:load_state_dict",
            unified.load_all_parts,
            "a single process reads only the first file of a checkpoint that several processes wrote",
        ),
        Patch(
            "paddle.distributed.sharding:group_sharded_parallel",
            stage3.shard_matrices,
            "stage 3 would leave matrices of less than a million elements on every rank",
        ),
    ]


def _backward_hooks() -> list[Patch]:
    lost = "the error of a hook is lost, and another one appears in its place"
    return [
        Patch("paddle:Tensor._register_backward_hook", hook_errors.register_backward_hook, lost),
        Patch("paddle.base.core:eager.run_backward", hook_errors.run_backward, lost),
    ]


def _attention(attend) -> list[Patch]:
    reason = "PaddleNLP ignores row indices where its flash attention is off, and a dense mask where it is on"
    shared_heads = "heads that share keys do so without copies of them"
    bound = attention.bound_in_layers(attend)
    return [
        Patch(f"{LLAMA}:scaled_dot_product_attention", bound, reason),
        Patch(f"{QWEN2}:scaled_dot_product_attention", bound, reason),
        Patch(f"{LLAMA}:repeat_kv", attention.as_they_are, shared_heads),
        Patch(f"{QWEN2}:repeat_kv", attention.as_they_are, shared_heads),
        Patch(f"{MISTRAL}:MistralAttention.forward", attention.mistral_forward(attend), "it attends inside its layer"),
        Patch(
            f"{MISTRAL}:MistralModel._prepare_decoder_attention_mask",
            attention.end_row_as_mask,
            "Mistral has no argument for row indices: its mask carries end_row",
        ),
    ]


def _stages() -> list[Patch]:
    reason = "the stages of a pipeline recognise end_row by its type, but do so on some devices only"
    families = (f"{LLAMA}_pp", f"{QWEN2}_pp")
    return [Patch(f"{module}:get_env_device", pipeline.as_on_a_gpu, reason) for module in families]


def _cpu_layers(compiled: bool | None) -> list[Patch]:
    fast = layers.choose(compiled)
    return [
        Patch(f"{LLAMA}:LlamaRMSNorm.forward", fast.norm_forward, "x.pow(2) is a power function per element"),
        Patch(f"{QWEN2}:Qwen2RMSNorm.forward", fast.norm_forward, "the same"),
        Patch(f"{MISTRAL}:MistralRMSNorm.forward", fast.norm_forward, "the same"),
        Patch(f"{LLAMA}:apply_rotary_pos_emb", fast.rotate_heads, "slices and a concatenation; Mistral's, too"),
        Patch(f"{QWEN2}:apply_rotary_pos_emb", fast.rotate_heads, "the same"),
        Patch(f"{LLAMA}:swiglu", fast.gate, "one pass over memory"),
        Patch(f"{QWEN2}:Qwen2MLP.forward", fast.qwen2_mlp, "one pass over memory"),
        Patch(f"{MISTRAL}:MistralMLP.forward", fast.mistral_mlp, "one pass over memory"),
    ]


def _processes() -> list[Patch]:
    return [*_groups(), *_collectives(), *_tensor_parallelism(), *_pipelines(), *_sharding()]


def _groups() -> list[Patch]:
    reason = "Paddle gives all groups one store, where the members of one overwrite the addresses of another"
    collective = "paddle.distributed.collective"
    return [
        Patch(f"{collective}:_new_process_group_impl", gloo.new_group, reason),
        Patch("paddle.base.core:create_or_get_global_tcp_store", gloo.global_store, "sleeps if it is not ready"),
    ]


def _collectives() -> list[Patch]:
    streams = "a CPU has no streams: the call that waits takes the place of the one on the calculation's stream"
    group = "paddle.base.core:ProcessGroupGloo"
    return [
        Patch(f"{group}.all_reduce_on_calc_stream", gloo.all_reduce_and_wait, streams),
        Patch(f"{group}.reduce_scatter_tensor", gloo.reduce_scatter, "gloo has none"),
        Patch(f"{group}.barrier", gloo.barrier, "gloo gives up after 30 s, and has no setting to wait longer"),
    ]


def _tensor_parallelism() -> list[Patch]:
    tensor_parallel = "paddle.distributed.fleet.meta_parallel.tensor_parallel"
    no_kernel = "the CPU build has the operator's name without a kernel"
    return [
        Patch("paddle:_C_ops.c_identity", gloo.identity, no_kernel),
        Patch("paddle:_C_ops.c_concat", gloo.concatenated, no_kernel),
        Patch(f"{tensor_parallel}:broadcast_input_data", gloo.broadcast_input_data, "refuses a CPU"),
    ]


def _pipelines() -> list[Patch]:
    helper = "paddle.distributed.fleet.meta_parallel.pp_utils.p2p_communication"
    group, numbers = "paddle.base.core:ProcessGroupGloo", "gloo numbers messages by group: each direction needs its own"
    return [
        Patch("paddle.distributed:ParallelEnv._device_id", 0, "a pipeline asks for it, a CPU build has none"),
        Patch(f"{helper}:_is_valid_send_recv_partial", gloo.never, "gloo cannot send a part of a tensor"),
        Patch(f"{group}.send", gloo.send, numbers),
        Patch(f"{group}.recv", gloo.receive, numbers),
        Patch(f"{group}.send_on_calc_stream", gloo.send_and_wait, numbers),
        Patch(f"{group}.recv_on_calc_stream", gloo.receive_and_wait, numbers),
    ]


def _sharding() -> list[Patch]:
    """Paddle's code for stage 2 and 3 would work on a CPU. It asserts a GPU, reads a number from the device's name, and
    copies to a GPU: so its modules see a CPU with a number."""
    seen, numbered = gloo_sharding.seen, gloo_sharding.numbered_cpu
    custom = seen(paddle.device, get_all_custom_device_type=lambda: ["cpu"])
    device = seen(paddle.device, get_device=numbered)
    with_number = seen(paddle, get_device=numbered)
    on_a_gpu = seen(core, is_compiled_with_cuda=lambda: True)
    asserts, copies = "asserts a GPU or a custom device", "copies itself to a GPU"
    reads = "reads a number from the device's name"
    return [
        Patch("paddle.distributed.sharding.group_sharded:paddle", seen(paddle, device=custom), asserts),
        Patch(f"{SHARDING}.group_sharded_optimizer_stage2:paddle", with_number, reads),
        Patch(f"{SHARDING}.group_sharded_stage3:paddle", with_number, reads),
        Patch(f"{SHARDING}.group_sharded_optimizer_stage2:core", on_a_gpu, asserts),
        Patch(f"{SHARDING}.group_sharded_stage3:core", on_a_gpu, asserts),
        Patch(
            f"{SHARDING}.group_sharded_utils:paddle",
            seen(paddle, device=device, set_device=lambda name: None),
            "clipping moves the norm to a GPU where the device is called cpu",
        ),
        Patch(f"{SHARDING}.group_sharded_storage:ParamStorage.add_rank_params", gloo_sharding.add_rank_params, copies),
        Patch(f"{SHARDING}.group_sharded_stage3:_device2cpu", gloo_sharding.copied, "on a CPU it clears the original"),
    ]
