"""python -m llm VERB [arguments], or paddle-reward VERB: the verbs, each imported when it is asked for."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module, metadata
from pathlib import Path

from llm.core import library_in_parts
from llm.core.console import plain_errors, refuse

VERBS = {
    "train": (
        "llm.alignment.rm.flashmask.run_reward",
        "train and evaluate a reward model from CONFIG.json",
    ),
    "sft": ("llm.finetune.run_finetune", "fine-tune and evaluate a language model on answers from CONFIG.json"),
    "dpo": ("llm.alignment.dpo.run_dpo", "train a language model on pairs of answers (DPO) from CONFIG.json"),
    "reference-logprobs": (
        "llm.alignment.dpo.reference_logprobs",
        "what the reference of a DPO training says of its data, ahead of it",
    ),
    "demo": ("llm.demo.run_demo", "generate data, train a tiny process reward model on a CPU, score three solutions"),
    "demo-dpo": (
        "llm.demo.run_dpo_demo",
        "after demo: fine-tune a policy, train it on pairs that the reward model ranks, measure its answers",
    ),
    "generate": ("llm.data.generate_arithmetic", "write arithmetic word problems with labelled solutions"),
    "convert": ("llm.data.convert.convert", "write other data sets' files as this project's records"),
    "check": ("llm.check.check", "what training would refuse, drop or cut of a data set; with --config a dry run"),
    "tokenize": ("llm.tasks.build_cache", "tokenise and pack the data of a run ahead of it"),
    "batch-size": (
        "llm.tasks.batch_size",
        "which token budget gives updates of about so many solutions",
    ),
    "split": ("llm.data.split.split", "divide a data set by question into training, held-out and test data"),
    "inspect": ("llm.inspection.inspect_row", "show a row of training data as the model gets it: tokens, labels, mask"),
    "estimate": (
        "llm.estimate.estimate",
        "whether a training run fits into its GPUs' memory, and what would make it fit",
    ),
    "score": ("llm.scoring.score", "score the solutions in a file with a trained model"),
    "evaluate": ("llm.evaluation.evaluate", "how good reward models are: ProcessBench, PRMBench, best-of-N, ..."),
    "calibrate": ("llm.evaluation.calibrate", "fit the scores of a reward model to labels: temperature or platt"),
    "audit": ("llm.evaluation.audit", "what a model's scores depend on besides the truth, and suspect labels"),
    "search": ("llm.search.search", "best-of-N, beam search and DVTS with a reward model over any generator"),
    "label": ("llm.search.label", "labels of steps without people, by completions that reach the answer"),
    "rewards": ("llm.rewards.rewards", "rewards of rollouts for steps and tokens; functions for verl and OpenRLHF"),
    "serve": ("llm.serving.serve", "scores over HTTP, with a page for people"),
    "export": ("llm.export.export", "write a reward model as transformers, TRL or vLLM read it"),
    "merge-lora": ("llm.export.merge_lora", "write LoRA adapters and their base as one model"),
    "schema": ("llm.tasks.schema", "print a JSON schema of the settings, for editors"),
    "benchmark": (
        "llm.benchmark.run_benchmark",
        "measure packing, attention, training, layouts; compare with TRL",
    ),
}
CLASH = """PyPI's package llm is installed in this environment, too. Its files lie in the same folder as those of this
project and replace some of them. Use an environment without it, or uninstall both and install paddle-reward again."""


def main(argv: list[str] | None = None) -> None:
    if argv is None:
        argv = sys.argv[1:]
        command = "python -m llm" if Path(sys.argv[0]).name == "__main__.py" else "paddle-reward"
        sys.argv[0] = " ".join([command, *argv[:1]])  # which --help of a verb names
    if _is_installed("llm"):
        refuse(CLASH)
    if argv in (["--version"], ["-V"]):
        print(f"paddle-reward {version()}")
        return
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        raise SystemExit(0 if argv else 2)
    if argv[0] not in VERBS:
        near = difflib.get_close_matches(argv[0], VERBS, n=1)
        refuse(f"unknown verb {argv[0]!r}{f'; did you mean {near[0]}?' if near else ''}\n{usage()}")
    library_in_parts.prepare()
    with plain_errors():
        work = import_module(VERBS[argv[0]][0]).main
        if argv[0] in ("train", "sft", "dpo"):
            from llm.core.parallel import ranks

            ranks.run(work, argv[1:])
        else:
            work(argv[1:])


def usage() -> str:
    width = max(map(len, VERBS)) + 2
    verbs = (f"  {verb:<{width}}{meaning}" for verb, (_, meaning) in VERBS.items())
    return "\n".join(["usage: python -m llm VERB [arguments]; VERB --help says more", *verbs])


def version() -> str:
    return metadata.version("paddle-reward") if _is_installed("paddle-reward") else "of this clone, not installed"


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
