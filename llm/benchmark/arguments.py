"""The arguments of every kind of benchmark. No paddle here: --help and a wrong argument are answered at once."""

from __future__ import annotations

import argparse
from pathlib import Path

from llm.benchmark.answers.workloads import WORKLOADS
from llm.benchmark.scaling.layouts import LAYOUTS
from llm.core.console import ArgumentParser, bounded
from llm.core.cpu import environment
from llm.core.model.families import FAMILIES, GRANULARITIES
from llm.core.paths import REPOSITORY

TRL_OF_PRM, TRL_OF_ANSWERS = "0.21.0", "1.16.0"  # the last that trains PRMs in its main part; the newest
MODEL_SIZES = {
    "vocab_size": 32000,
    "hidden_size": 512,
    "intermediate_size": 1376,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
}
PADDED_BATCH = 8  # solutions that are padded to the longest of them; packed rows come one at a time


def attention(parser: ArgumentParser) -> None:
    parser.add_argument("--lengths", type=wholes, default=[1024, 2048, 4096], help="tokens of a row (1024,2048,4096)")
    parser.add_argument("--documents", type=wholes, default=[1, 4, 16, 64], help="documents of a row (1,4,16,64)")
    parser.add_argument("--heads", type=whole, default=8, help="(default: %(default)s)")
    parser.add_argument("--head_dim", type=whole, default=64, help="(default: %(default)s)")
    parser.add_argument("--repetitions", type=whole, default=5, help="of each, taking turns (default: %(default)s)")
    parser.add_argument(
        "--memory",
        action="store_true",
        help="peak memory too, each measured in a process of its own: some seconds each",
    )


def packing(parser: ArgumentParser, solutions: int | None = None, data_needed: bool = True) -> None:
    parser.add_argument(
        "DATA", nargs="+" if data_needed else "*", help="records as for training: files, folders or patterns"
    )
    parser.add_argument(
        "--solutions",
        type=whole,
        default=solutions,
        help=f"number of records, from the first (default: {solutions or 'all'})",
    )
    parser.add_argument("--tokenizer", help="folder of a tokenizer (default: one is trained on the data's own text)")
    parser.add_argument("--max_seq_len", type=whole, default=4096, help="tokens of a row (default: %(default)s)")
    parser.add_argument(
        "--max_prompt_len", type=whole, help="tokens of a prompt (default: 2048, at most half of max_seq_len)"
    )
    parser.add_argument("--placeholder_token", default="ки", help="as in training (default: %(default)s)")
    parser.add_argument("--reward_tokens", default="+,-", help="as in training (default: %(default)s)")
    parser.add_argument("--skip_bad_records", action="store_true", help="drop and count records that cannot be used")


def training(parser: ArgumentParser) -> None:
    _measured_model(parser, seconds=5.0)
    parser.add_argument("--lora_rank", type=whole, default=8, help="of the adapters (default: %(default)s)")


def forests(parser: ArgumentParser) -> None:
    counts = [5_000, 50_000, 500_000, 5_000_000]
    parser.add_argument(
        "--solutions", type=wholes, default=counts, help="how many to simulate (5000,50000,500000,5000000)"
    )
    parser.add_argument("--max_seq_len", type=whole, default=4096, help="tokens of a row (default: %(default)s)")


def length(parser: ArgumentParser) -> None:
    lengths = [4096, 8192, 16384, 32768]
    parser.add_argument("--lengths", type=wholes, default=lengths, help="tokens of the row (4096,8192,16384,32768)")
    parser.add_argument(
        "--solutions", type=wholes, default=[1, 16], help="that fill the row in equal parts: each is measured (1,16)"
    )
    _model_sizes(parser)


def peer(parser: ArgumentParser) -> None:
    _measured_model(parser, seconds=10.0)
    _peer_environment(parser)
    parser.add_argument("--goal", type=float, help="say of each whether this project is so many times as fast")


def answers(parser: ArgumentParser) -> None:
    parser.add_argument("--workload", choices=WORKLOADS, default="sft", help=_described_workloads())
    parser.add_argument("--prompts", type=whole, default=32, help="how many (default: %(default)s)")
    parser.add_argument("--max_seq_len", type=whole, default=4096, help="tokens of a row (default: %(default)s)")
    parser.add_argument("--rounds", type=whole, default=2, help="times that each is measured (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="least time of a measurement (default: %(default)s)")
    _model_sizes(parser)
    _peer_environment(parser, TRL_OF_ANSWERS)
    parser.add_argument("--goal", type=float, help="say of each whether this project is so many times as fast")


def all_of_them(parser: ArgumentParser) -> None:
    parser.add_argument("DATA", nargs="*", help="files of records, each trained and scored by both sides")
    parser.add_argument(
        "--output", default="results", help="folder for them; what it has is not measured again (default: %(default)s)"
    )
    parser.add_argument(
        "--solutions", type=whole, default=64, help="of each file, from its first (default: %(default)s)"
    )
    parser.add_argument("--updates", type=whole, default=2, help="of SFT and DPO (default: %(default)s)")
    parser.add_argument("--rounds", type=whole, default=1, help="times that each is measured (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="least time of a measurement (default: %(default)s)")
    _model_sizes(parser)
    _float32_only(parser)


def _described_workloads() -> str:
    described = (f"{name}: {workload.about}" for name, workload in WORKLOADS.items())
    return f"{'; '.join(described)} (default: %(default)s)"


def scoring(parser: ArgumentParser) -> None:
    _measured_model(parser, seconds=5.0, data_needed=False)
    _peer_environment(parser)
    parser.add_argument("--candidates", type=whole, help="instead of DATA, so many made-up candidates of one question")
    parser.add_argument("--goal", type=float, help="how many times the fastest way of transformers is aimed at")


def serving(parser: ArgumentParser) -> None:
    parser.add_argument("MODEL", help="as for `python -m llm serve`")
    parser.add_argument("DATA", nargs="+", help="solutions as for `python -m llm score`: files, folders or patterns")
    parser.add_argument("--solutions", type=whole, default=1024, help="from the first (default: %(default)s)")
    parser.add_argument("--clients", type=whole, default=64, help="that ask at once (default: %(default)s)")
    parser.add_argument("--of_request", type=whole, default=4, help="solutions of a request (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="that the clients ask (default: %(default)s)")


def _peer_environment(parser: ArgumentParser, trl: str = TRL_OF_PRM) -> None:
    parser.add_argument(
        "--peer_python",
        type=lambda text: Path(text).absolute(),  # not resolved: an environment's Python is a link
        default=REPOSITORY / f".venv/trl-{trl}/bin/python",
        help=f"Python of an environment with TRL (default: that of `make peer`, {trl})",
    )
    parser.add_argument("--threads", type=whole, default=environment.threads(), help="(default: %(default)s)")
    _float32_only(parser)


def _float32_only(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--float32_only",
        action="store_true",
        help="leave out its bfloat16, which can take ten times as long on a processor without instructions for it",
    )


def scaling(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--layouts",
        nargs="+",
        metavar="LAYOUT",
        choices=LAYOUTS,
        default=list(LAYOUTS),
        help=f"those to measure (default: all): {', '.join(LAYOUTS)}",
    )
    parser.add_argument(
        "--task", choices=("reward", "sft", "dpo"), default="reward", help="what is trained (default: %(default)s)"
    )
    parser.add_argument("--family", choices=FAMILIES, default="llama", help="of the model (default: %(default)s)")
    parser.add_argument("--tied", action="store_true", help="embedding and head are one matrix")
    parser.add_argument(
        "--recompute", choices=GRANULARITIES, help="recompute_granularity (default: nothing is recomputed)"
    )
    parser.add_argument("--lora", action="store_true", help="train adapters of rank 8")


def data(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--records", type=whole, default=450_000, help="as many as Math-Shepherd has (default: %(default)s)"
    )


def labels(parser: ArgumentParser) -> None:
    parser.add_argument("--problems", type=whole, default=100, help="(default: %(default)s)")
    parser.add_argument("--solutions", type=whole, default=4, help="of each problem (default: %(default)s)")
    parser.add_argument(
        "--n", type=wholes, default=[1, 2, 4, 8, 16, 32], help="completions from a step (1,2,4,8,16,32)"
    )
    parser.add_argument("--error", type=float, default=0.25, help="chance of a wrong step in completions (0.25)")
    parser.add_argument("--solution_error", type=float, default=0.3, help="the same in solutions (0.3)")
    parser.add_argument("--judge", help="a process reward model: also the labels that it agrees with")


# kind, whose module in this folder has the same name: (its arguments, what it measures)
KINDS = {
    "packing": (packing, "tokens that each packing computes for your data"),
    "data": (data, "speed and memory of check, convert, tokenize and of training's own reading"),
    "attention": (attention, "time of attention by length and number of documents"),
    "training": (training, "solutions and tokens a second of each packing, memory, where time goes"),
    "forests": (forests, "time and memory of packing, from thousands to millions of simulated solutions"),
    "length": (length, "time and memory of training on one long row, by its length"),
    "scaling": (scaling, "what every layout of several processes sends and holds, measured"),
    "peer": (peer, "the same solutions through this project and through TRL's PRMTrainer"),
    "labels": (labels, "how right labels of steps are that are made without people"),
    "answers": (answers, "fine-tuning and DPO by this project and by TRL's trainers"),
    "scoring": (scoring, "the same solutions scored by this project and by a batched forward of transformers"),
    "all": (all_of_them, "all comparisons with TRL and transformers, on one page with a picture"),
    "serving": (serving, "throughput of a server under many clients, and whether its answers are right"),
}


def parse(kind: str, argv: list[str]) -> argparse.Namespace:
    add_arguments, meaning = KINDS[kind]
    parser = ArgumentParser(f"python -m llm benchmark {kind}", description=meaning)
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    if kind == "peer":
        if arguments.update % PADDED_BATCH:
            parser.error(f"--update {arguments.update}: TRL accumulates batches of {PADDED_BATCH}; give a multiple")
    if kind == "answers" and arguments.prompts % (of_update := WORKLOADS[arguments.workload].of_update):
        parser.error(f"--prompts {arguments.prompts}: an update of this workload has {of_update}; give a multiple")
    if kind in ("peer", "answers", "scoring") and not arguments.peer_python.is_file():
        parser.error(f"--peer_python: {arguments.peer_python} is not a file; run `make peer`, which installs TRL")
    if kind == "scoring" and bool(arguments.DATA) == bool(arguments.candidates):
        parser.error("give DATA or --candidates, one of the two")
    return arguments


def _measured_model(parser: ArgumentParser, seconds: float, data_needed: bool = True) -> None:
    packing(parser, solutions=64, data_needed=data_needed)
    _model_sizes(parser)
    parser.add_argument("--update", type=whole, default=32, help="solutions of an update (default: %(default)s)")
    parser.add_argument("--rounds", type=whole, default=2, help="times that each is measured (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="least time of a measurement (default: %(default)s)"
    )


def _model_sizes(parser: ArgumentParser) -> None:
    for name, size in MODEL_SIZES.items():
        parser.add_argument(f"--{name}", type=whole, default=size, help="of the model (default: %(default)s)")


whole = bounded(int, 1)


def wholes(text: str) -> list[int]:
    return [whole(number) for number in text.split(",")]
