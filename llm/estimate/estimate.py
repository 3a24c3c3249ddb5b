"""python -m llm estimate CONFIG.json: whether a training run fits into its GPUs' memory, what it sends, and how long an
update takes at least, before any GPU is paid for.

    python -m llm estimate CONFIG.json [--gpus N] [--memory GIB] [--task TASK] [--key value ...]

CONFIG.json is a configuration of a training, whose settings may all be written as flags (--help of its script lists
them). It says itself whether it is of a reward model or of a fine-tuning, or --task reward or --task sft does. Only the
model's config.json is read. The models named in llm/config do not need even that; for others without a folder give
--model_type, --vocab_size, --hidden_size, --intermediate_size, --num_hidden_layers, --num_attention_heads,
--num_key_value_heads, --head_dim (Qwen3), --max_position_embeddings, --tie_word_embeddings, as in its config.json.

--gpus N            GPUs of the run; if not written, as many as the configuration's degrees of parallelism need
--memory GIB        memory of each (80)
--overhead GIB      what CUDA context, libraries, communication and fragmentation take of it: an assumption (3)
--peak_tflops N     products in bfloat16, 10^12 operations a second (989: H100 SXM; A100: 312)
--link_gb N         GB a second that a GPU sends within its node (450: H100 SXM; A100: 300)
--network_gb N      GB a second that a GPU sends to other nodes (50: 400 Gbit/s each)
--gpus_per_node N   GPUs of a node (8)
--layouts N         other layouts of the same update to show, the fastest that fit first (0)

The last line is one JSON object with the same figures. docs/estimate.md explains every term of the memory,
docs/scaling.md what is sent and the time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields

from llm.core.console import plain_errors, show
from llm.core.model.config import read_sizes
from llm.core.model.families import FAMILIES
from llm.core.model.sizes import KNOWN, Sizes, sizes_of, with_head
from llm.core.parallel import layout
from llm.core.paths import resolve_path
from llm.core.run.arguments import MISPRINTS, is_unobeyed, setting
from llm.core.run.run import Machine, fit, machine_for
from llm.core.run.task import Task
from llm.core.settings.parse import parse
from llm.core.settings.settings import Settings
from llm.estimate.changes import cheapest_change
from llm.estimate.layouts import compare, screen_of_layouts
from llm.estimate.memory import GIB, estimate, granularity, trained_tensors
from llm.estimate.model_sizes import count, tensors
from llm.estimate.plan import plan_of, planned
from llm.estimate.traffic import traffic
from llm.estimate.update_time import GROUPS, Hardware, floor
from llm.tasks.table import find_task

SAID = {
    "weights": "what every GPU holds of the model",
    "gradients": "of what is trained",
    "optimiser": "two moments of AdamW, and float32 weights where the weights are bf16",
    "tables": "cosines and sines of all positions",
    "activations": "what the forward pass keeps for the backward pass",
    "working": "gradients and recomputed activations in flight",
    "fused": "contiguous copies of the gradients, as data parallelism sends them",
    "overhead": "assumed: CUDA context, libraries, communication, fragmentation",
}

NAMES = {"tensor": "tensor parallelism", "sharding": "sharding", "pipeline": "pipeline", "data": "data parallelism"}


@dataclass(frozen=True)
class EstimateArgument:
    gpus: int | None = setting(None, "GPUs of the run; none: as many as the degrees of parallelism need.")
    memory: float = setting(80.0, "Memory of a GPU in GiB.")
    overhead: float = setting(3.0, "What CUDA, communication and fragmentation take of it, in GiB.")
    peak_tflops: float = setting(989.0, "Products in bfloat16, 10^12 operations a second.")
    link_gb: float = setting(450.0, "GB a second that a GPU sends within its node.")
    network_gb: float = setting(50.0, "GB a second that a GPU sends to other nodes.")
    gpus_per_node: int = setting(8, "GPUs of a node.")
    layouts: int = setting(0, "Other layouts of the same update to show, the fastest that fit first.")
    model_type: str | None = setting(None, "Sizes of a model without a folder: its family.", choices=FAMILIES)
    vocab_size: int | None = setting(None, "Rows of its embedding.")
    hidden_size: int | None = setting(None, "Its hidden size.")
    intermediate_size: int | None = setting(None, "Its MLP's width.")
    num_hidden_layers: int | None = setting(None, "Its layers.")
    num_attention_heads: int | None = setting(None, "Its query heads.")
    num_key_value_heads: int | None = setting(None, "Its key and value heads.")
    head_dim: int | None = setting(None, "Features of a head, where they are not hidden size / heads: Qwen3's 128.")
    max_position_embeddings: int | None = setting(None, "Positions that it has.")
    tie_word_embeddings: bool | None = setting(None, "Whether embedding and head are one matrix.")


DEGREES = (layout.TENSOR, layout.PIPELINE, layout.SHARDING)
RANGES = (
    ("gpus", 1, 1e6),
    ("memory", 1, 1e6),
    ("overhead", 0, 1e6),
    ("peak_tflops", 1, 1e6),
    ("link_gb", 1, 1e6),
    ("network_gb", 1, 1e6),
    ("gpus_per_node", 1, 1e6),
    ("layouts", 0, 1e6),
)
GIVEN_SIZES = [field.name for field in fields(EstimateArgument) if field.name in {f.name for f in fields(Sizes)}]


def main(argv: list[str]) -> None:
    if not argv or {"-h", "--help"} & set(argv):
        print(__doc__)
        raise SystemExit(0 if argv else 2)
    with plain_errors(ValueError, OSError):
        outcome = judged(argv)
    show("\n".join([*screen(outcome), "", json.dumps(outcome)]))


def judged(argv: list[str]) -> dict:
    task, words = find_task(argv)
    return judge(*read_settings(task, words), task)


def read_settings(task: Task, argv: list[str]) -> tuple[Settings, Sizes]:
    """Resolved as the script does it, for as many GPUs as the layout needs."""
    classes = (EstimateArgument, *task.classes_without_model)
    settings = parse(classes, argv, __doc__, MISPRINTS, is_unobeyed)
    machine = machine_of(settings)
    if not settings["do_train"]:
        settings.refuse("do_train", "this estimates the memory of training; leave it out")
    task.note_problems(settings, *machine)
    settings.check()
    sizes = find_sizes(settings, task.head_of(settings))
    fit(settings, sizes)
    return settings, sizes


def machine_of(settings: Settings) -> Machine:
    """The one that is asked for, with as many GPUs as the configuration needs if no number is given."""
    needed = machine_for(settings)
    gpus = settings["gpus"] or needed.ranks
    for name, least, most in RANGES:
        if settings[name] is not None and not least <= settings[name] <= most:
            settings.refuse(name, f"must be from {least} to {most:,.0f}")
    settings.change_default("gpus", max(gpus, 1), "the configuration's degrees of parallelism need as many")
    return needed._replace(ranks=max(gpus, 1))


def find_sizes(settings: Settings, head: str) -> Sizes:
    given = {name: settings[name] for name in GIVEN_SIZES if settings[name] is not None}
    if given:
        return with_head(sizes_of(given, "the sizes written as flags"), head)
    name = settings["model_name_or_path"]
    if name in KNOWN:
        return with_head(KNOWN[name], head)
    try:
        folder = resolve_path(name or "(not given)")
    except ValueError:
        raise ValueError(
            f"model_name_or_path: {name!r} is not a folder here, and not one of the models whose sizes are known "
            f"({', '.join(KNOWN)}). Give the folder that holds its config.json, or write its sizes as flags: "
            f"{', '.join(f'--{name}' for name in GIVEN_SIZES)}."
        ) from None
    return read_sizes(str(folder), head)


def judge(settings: Settings, sizes: Sizes, task: Task) -> dict:
    values = planned(settings, task)
    gpus, overhead, memory = settings["gpus"], int(settings["overhead"] * GIB), int(settings["memory"] * GIB)
    plan = plan_of(values, gpus)
    terms = estimate(sizes, plan) | {"overhead": overhead}
    sent, hardware, shown = traffic(sizes, plan), hardware_of(settings), settings["layouts"]
    compared = compare(values, sizes, gpus, memory, overhead, hardware)[:shown] if shown else []
    fits = sum(terms.values()) <= memory
    changes, with_changes = (None, None) if fits else cheapest_change(values, sizes, gpus, memory - overhead)
    return {
        "model": settings["model_name_or_path"],
        "parameters": count(tensors(sizes)),
        "trained": count(trained_tensors(sizes, plan_of(values | dict.fromkeys(DEGREES, 1), 1))),
        "gpus": gpus,
        "tensor_parallel": plan.tensor_parallel,
        "sequence_parallel": plan.sequence_parallel,
        "pipeline": plan.pipeline,
        "sharding": plan.sharding,
        "sharded_ranks": plan.sharded_ranks,
        "data_parallel": plan.data_parallel,
        "micro_batches": plan.micro_batches,
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
        "sent": [asdict(transfer) for transfer in sent],
        "seconds": floor(sizes, plan, sent, hardware),
        "tokens_of_update": plan.micro_batches * plan.rows * plan.tokens * plan.data_ranks,
        "layouts": compared,
    }


def hardware_of(settings: Settings) -> Hardware:
    peak, link, network = settings["peak_tflops"] * 1e12, settings["link_gb"] * 1e9, settings["network_gb"] * 1e9
    return Hardware(peak, link, network, settings["gpus_per_node"])


def screen(outcome: dict) -> Iterator[str]:
    yield f"{outcome['model'] or 'the model'}: {outcome['parameters']:,} parameters, {outcome['trained']:,} trained"
    yield f"GPUs: {outcome['gpus']}, {layout_of(outcome)}"
    yield (
        f"micro-batch: {outcome['rows']} x {outcome['tokens']:,} tokens, {outcome['precision']}, "
        f"{outcome['attention']}, recompute {outcome['recompute'] or 'off'}"
    )
    yield "\non each GPU    GiB"
    for name, size in outcome["bytes"].items():
        if size or name != "fused":
            yield f"{name:<11}{size / GIB:>7.2f}  {SAID[name]}"
    yield f"{'at most':<11}{outcome['peak_bytes'] / GIB:>7.2f}"
    yield from verdict(outcome)
    yield from screen_of_time(outcome)
    yield from screen_of_layouts(outcome["layouts"])


def verdict(outcome: dict) -> Iterator[str]:
    peak, memory = outcome["peak_bytes"], outcome["memory_bytes"]
    spare = f"{abs(memory - peak) / GIB:.2f} GiB"
    if outcome["fits"]:
        yield f"\nfits into {memory / GIB:g} GiB: {spare} to spare"
        return
    yield f"\ndoes NOT fit into {memory / GIB:g} GiB: {spare} too much"
    if outcome["changes"] is None:
        yield "nothing that this program can change makes it fit: take more GPUs, or a smaller max_seq_len"
        return
    flags = " ".join(f"--{name} {json.dumps(value).strip(chr(34))}" for name, value in outcome["changes"].items())
    yield f"cheapest change that fits ({outcome['peak_bytes_with_changes'] / GIB:.2f} GiB): {flags}"


def layout_of(outcome: dict) -> str:
    parts = [f"tensor parallelism {outcome['tensor_parallel']}"]
    if outcome["sequence_parallel"]:
        parts.append("sequence parallel")
    if outcome["pipeline"] > 1:
        parts.append(f"pipeline of {outcome['pipeline']}")
    if outcome["sharding"]:
        parts.append(f"sharding {outcome['sharding']} over {outcome['sharded_ranks']}")
    if outcome["data_parallel"] > 1:
        parts.append(f"data parallelism {outcome['data_parallel']}")
    return ", ".join(parts)


def screen_of_time(outcome: dict) -> Iterator[str]:
    seconds, sent = outcome["seconds"], outcome["sent"]
    yield f"\nan update of {outcome['tokens_of_update']:,} tokens, {outcome['micro_batches']} micro-batches a rank"
    yield f"{'seconds':<11}{'GB':>8}"
    yield f"{seconds['compute']:<11.3f}{'':>8}  products with weights at the peak rate"
    if seconds["bubble"]:
        yield f"{seconds['bubble']:<11.3f}{'':>8}  waiting for other stages of the pipeline"
    for group in GROUPS:
        if any(transfer["group"] == group for transfer in sent):
            size = sum(transfer["payload"] for transfer in sent if transfer["group"] == group) / 1e9
            kinds = ", ".join(dict.fromkeys(transfer["kind"] for transfer in sent if transfer["group"] == group))
            yield f"{seconds[group]:<11.3f}{size:>8.2f}  {NAMES[group]}: {kinds}"
    yield f"{seconds['least']:<11.3f}{'':>8}  at least; {seconds['one_by_one']:.3f} if sending and computing take turns"
