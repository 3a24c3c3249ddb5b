"""python -m llm estimate CONFIG.json: whether a training run fits into its GPUs' memory, before any GPU is paid for.

    python -m llm estimate CONFIG.json [--gpus N] [--memory GIB] [--key value ...]

CONFIG.json is a configuration of run_reward.py, whose settings may all be written as flags (run_reward.py --help lists
them). Of the model only config.json is read. For the models that llm/config names not even that is needed; for others
whose folder is not at hand give --model_type, --vocab_size, --hidden_size, --intermediate_size, --num_hidden_layers,
--num_attention_heads, --num_key_value_heads, --max_position_embeddings, --tie_word_embeddings, as in its config.json.

--gpus N         GPUs of the run; if not written, as many as the configuration's degrees of parallelism need
--memory GIB     memory of each (80)
--overhead GIB   of it what the CUDA context, libraries, communication and fragmentation take: an assumption (3)

The last line is one JSON object with the same figures. docs/estimate.md explains every term.
"""

from __future__ import annotations

from llm.core import runtime

runtime.prepare()  # before paddle is imported

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import product
from typing import Optional

from llm.alignment.rm.flashmask import reward_argument, reward_checks
from llm.alignment.rm.flashmask.reward_argument import ModelArgument, documented
from llm.core.arguments import Settings, parse
from llm.core.backbone import longest_solution
from llm.core.errors import plain_errors
from llm.core.progress import quiet_library
from llm.core.record_files import resolve_path
from llm.tools.estimate_memory import GIB, Plan, estimate, granularity, trained_tensors
from llm.tools.model_sizes import FAMILIES, KNOWN, Sizes, count, read_sizes, sizes_of, tensors

# What the plan is made of: settings that a change of the configuration may also give.
PLANNED = (
    "per_device_train_batch_size gradient_accumulation_steps max_seq_len bf16 fp16_opt_level amp_master_grad "
    "tensor_parallel_degree sharding sharding_parallel_degree sharding_parallel_config recompute recompute_granularity "
    "use_flash_attention flash_mask lora lora_rank lora_target_modules add_placeholder_token prm_loss"
).split()
SAID = {
    "weights": "what every GPU holds of the model",
    "gradients": "of what is trained",
    "optimiser": "two moments of AdamW, and float32 weights where the weights are bf16",
    "tables": "cosines and sines of all positions",
    "activations": "what the forward pass keeps for the backward pass",
    "working": "gradients and recomputed activations under way",
    "overhead": "assumed: CUDA context, libraries, communication, fragmentation",
}


@dataclass
class EstimateArgument:
    gpus: Optional[int] = documented(None, "GPUs of the run; none: as many as the degrees of parallelism need.")  # noqa: UP045
    memory: float = documented(80.0, "Memory of a GPU in GiB.")
    overhead: float = documented(3.0, "What CUDA, communication and fragmentation take of it, in GiB.")
    model_type: Optional[str] = documented(None, "Sizes of a model that is not at hand: its family.", choices=FAMILIES)  # noqa: UP045
    vocab_size: Optional[int] = documented(None, "Rows of its embedding.")  # noqa: UP045
    hidden_size: Optional[int] = documented(None, "Its hidden size.")  # noqa: UP045
    intermediate_size: Optional[int] = documented(None, "Its MLP's width.")  # noqa: UP045
    num_hidden_layers: Optional[int] = documented(None, "Its layers.")  # noqa: UP045
    num_attention_heads: Optional[int] = documented(None, "Its query heads.")  # noqa: UP045
    num_key_value_heads: Optional[int] = documented(None, "Its key and value heads.")  # noqa: UP045
    max_position_embeddings: Optional[int] = documented(None, "Positions that it has.")  # noqa: UP045
    tie_word_embeddings: Optional[bool] = documented(None, "Whether embedding and head are one matrix.")  # noqa: UP045


@dataclass
class OptionalModel(ModelArgument):
    model_name_or_path: Optional[str] = documented(None, "Model whose config.json is read.")  # noqa: UP045


CLASSES = (EstimateArgument, reward_argument.TrainingArguments, reward_argument.DataArgument, OptionalModel)
INHERITED = (*reward_argument.TRAINER_SETTINGS, *(field.name for field in fields(ModelArgument)))
GIVEN_SIZES = [field.name for field in fields(EstimateArgument) if field.name in {f.name for f in fields(Sizes)}]


def main(argv: list[str]) -> None:
    if not argv or {"-h", "--help"} & set(argv):
        print(__doc__)
        raise SystemExit(0 if argv else 2)
    quiet_library()
    with plain_errors(ValueError, OSError):
        outcome = judge(*read_settings(argv))
    print("\n".join(screen(outcome)), end="\n\n")
    print(json.dumps(outcome), flush=True)


def read_settings(argv: list[str]) -> tuple[Settings, Sizes]:
    settings = parse(CLASSES, argv, __doc__, reward_argument.MISPRINTS, INHERITED)
    degrees = settings["tensor_parallel_degree"], settings["sharding_parallel_degree"]
    gpus = settings["gpus"] or math.prod(max(degree, 1) for degree in degrees)
    for name, least, most in (("gpus", 1, 1e6), ("memory", 1, 1e6), ("overhead", 0, 1e6)):
        if settings[name] is not None and not least <= settings[name] <= most:
            settings.refuse(name, f"must be from {least} to {most:,.0f}")
    if not settings["do_train"]:
        settings.refuse("do_train", "this estimates the memory of training; leave it out")
    reward_checks.resolve(settings, ranks=max(gpus, 1), has_cuda=True)
    settings.give_way("gpus", gpus, "the configuration's degrees of parallelism need as many")
    sizes = find_sizes(settings)
    reward_checks.fit_to_model(settings, longest_solution(sizes))
    tensor_parallel = max(settings["tensor_parallel_degree"], 1)
    if sizes.num_attention_heads % tensor_parallel:
        settings.refuse("tensor_parallel_degree", f"the model's {sizes.num_attention_heads} heads cannot be divided by "
                        "it; write a divisor")  # fmt: skip
    if gpus % math.prod(max(degree, 1) for degree in degrees):
        settings.refuse("gpus", f"cannot be divided by tensor_parallel_degree {degrees[0]} times "
                        f"sharding_parallel_degree {degrees[1]}; change one of them")  # fmt: skip
    settings.check()
    return settings, sizes


def find_sizes(settings: Settings) -> Sizes:
    given = {name: settings[name] for name in GIVEN_SIZES if settings[name] is not None}
    if given:
        return sizes_of(given, "the sizes written as flags")
    name = settings["model_name_or_path"]
    if name in KNOWN:
        return KNOWN[name]
    try:
        folder = resolve_path(name or "(not given)")
    except ValueError:
        raise ValueError(
            f"model_name_or_path: {name!r} is no folder here, and none of the models whose sizes are known "
            f"({', '.join(KNOWN)}). Give the folder that holds its config.json, or write its sizes as flags: "
            f"{', '.join(f'--{name}' for name in GIVEN_SIZES)}."
        ) from None
    return read_sizes(folder / "config.json")


def judge(settings: Settings, sizes: Sizes) -> dict:
    values = {name: settings[name] for name in PLANNED}
    gpus, overhead, memory = settings["gpus"], int(settings["overhead"] * GIB), int(settings["memory"] * GIB)
    plan = plan_of(values, gpus)
    terms = estimate(sizes, plan) | {"overhead": overhead}
    fits = sum(terms.values()) <= memory
    changes, with_changes = (None, None) if fits else cheapest_change(values, sizes, gpus, memory - overhead)
    return {
        "model": settings["model_name_or_path"],
        "parameters": count(tensors(sizes)),
        "trained": count(trained_tensors(sizes, plan_of(values | {"tensor_parallel_degree": 1}, 1))),
        "gpus": gpus,
        "tensor_parallel": plan.tensor_parallel,
        "sharding": plan.sharding,
        "sharded_ranks": plan.sharded_ranks,
        "rows": plan.rows,
        "tokens": plan.tokens,
        "precision": plan.precision,
        "attention": "FlashMask" if plan.flash_mask else "dense mask",
        "recompute": granularity(sizes, plan),
        "bytes": terms,
        "peak_bytes": sum(terms.values()),
        "memory_bytes": memory,
        "fits": fits,
        "changes": changes,
        "peak_bytes_with_changes": with_changes and with_changes + overhead,
    }


def plan_of(values: dict, gpus: int) -> Plan:
    tensor_parallel = max(values["tensor_parallel_degree"], 1)
    sharded_ranks = values["sharding_parallel_degree"]
    if sharded_ranks == -1:
        sharded_ranks = gpus // tensor_parallel
    return Plan(
        rows=values["per_device_train_batch_size"],
        tokens=values["max_seq_len"],
        precision=f"bf16 {values['fp16_opt_level']}" if values["bf16"] else "float32",
        float32_gradients=values["amp_master_grad"],
        tensor_parallel=tensor_parallel,
        sharding=values["sharding"] if sharded_ranks > 1 else "",
        sharded_ranks=sharded_ranks,
        split_parameters="split_param" in values["sharding_parallel_config"],
        recompute=values["recompute_granularity"] if values["recompute"] else "",
        flash_mask=values["use_flash_attention"] and values["flash_mask"],
        lora_rank=values["lora_rank"] if values["lora"] else 0,
        lora_targets=tuple(values["lora_target_modules"] or ()),
        placeholder_row=values["lora"] and values["add_placeholder_token"],
        whole_vocabulary=values["prm_loss"] == "vocabulary",
    )


def cheapest_change(values: dict, sizes: Sizes, gpus: int, memory: int) -> tuple[dict | None, int | None]:
    """(settings to change, the peak with them) of the least cost that fits, or (None, None)."""
    for _, changes in sorted(possible_changes(values, sizes, gpus), key=lambda priced: (priced[0], len(priced[1]))):
        needed = sum(estimate(sizes, plan_of(values | changes, gpus)).values())
        if needed <= memory:
            return changes, needed
    return None, None


def possible_changes(values: dict, sizes: Sizes, gpus: int) -> Iterator[tuple[int, dict]]:
    """(cost, settings). What changes nothing that is computed comes first, then what costs a little speed, then
    what costs much, at last training something else."""
    batch, accumulation = values["per_device_train_batch_size"], values["gradient_accumulation_steps"]
    flash = [(0, {})]
    if values["bf16"] and not (values["use_flash_attention"] and values["flash_mask"]):
        flash.append((1, {"use_flash_attention": True, "flash_mask": True}))
    rows = [(0, {})]
    if batch > 1:
        rows.append((1, {"per_device_train_batch_size": 1, "gradient_accumulation_steps": accumulation * batch}))
    sharding = [(0, {})]
    fewer = values["sharding_parallel_degree"] not in (-1, gpus // max(values["tensor_parallel_degree"], 1))
    for cost, stage in ((2, "stage1"), (3, "stage2")):
        if gpus > 1 and (values["sharding"] < stage or values["sharding"] == stage and fewer):
            sharding.append((cost, {"sharding": stage, "sharding_parallel_degree": -1}))
    recompute = [(0, {})]
    if not values["recompute"] and sizes.model_type != "mistral":
        recompute.append((4, {"recompute": True, "recompute_granularity": "full_attn"}))
    if not values["recompute"] or values["recompute_granularity"] != "full":
        recompute.append((5, {"recompute": True, "recompute_granularity": "full"}))
    cutting = [(0, {})]
    whole_vocabulary = values["prm_loss"] == "vocabulary"  # allows neither of the last two
    uncut = whole_vocabulary or values["add_placeholder_token"] or values["sharding"] == "stage3"
    for cost, degree in () if uncut else ((6, 2), (7, 4), (8, 8)):
        if degree > values["tensor_parallel_degree"] and gpus % degree == 0 and sizes.num_key_value_heads % degree == 0:
            cutting.append((cost, {"tensor_parallel_degree": degree, "sharding_parallel_degree": -1}))
    adapters = [(0, {})] if values["lora"] or whole_vocabulary else [(0, {}), (50, {"lora": True})]
    for parts in product(flash, rows, sharding, recompute, cutting, adapters):
        changes = {name: value for _, part in parts for name, value in part.items()}
        if not ("lora" in changes and "tensor_parallel_degree" in changes):
            yield sum(cost for cost, _ in parts), changes


def screen(outcome: dict) -> Iterator[str]:
    shared = f", sharding {outcome['sharding']} over {outcome['sharded_ranks']}" if outcome["sharding"] else ""
    yield f"{outcome['model'] or 'the model'}: {outcome['parameters']:,} parameters, {outcome['trained']:,} trained"
    yield f"GPUs: {outcome['gpus']}, tensor parallelism {outcome['tensor_parallel']}{shared}"
    yield (
        f"micro-batch: {outcome['rows']} x {outcome['tokens']:,} tokens, {outcome['precision']}, "
        f"{outcome['attention']}, recompute {outcome['recompute'] or 'off'}"
    )
    yield "\non each GPU    GiB"
    for name, size in outcome["bytes"].items():
        yield f"{name:<11}{size / GIB:>7.2f}  {SAID[name]}"
    peak, memory = outcome["peak_bytes"], outcome["memory_bytes"]
    yield f"{'at most':<11}{peak / GIB:>7.2f}"
    spare = f"{abs(memory - peak) / GIB:.2f} GiB"
    if outcome["fits"]:
        yield f"\nfits into {memory / GIB:g} GiB: {spare} to spare"
        return
    yield f"\ndoes NOT fit into {memory / GIB:g} GiB: {spare} too many"
    if outcome["changes"] is None:
        yield "nothing that this program can change makes it fit: take more GPUs, or a smaller max_seq_len"
        return
    flags = " ".join(f"--{name} {json.dumps(value).strip(chr(34))}" for name, value in outcome["changes"].items())
    yield f"cheapest change that fits ({outcome['peak_bytes_with_changes'] / GIB:.2f} GiB): {flags}"


