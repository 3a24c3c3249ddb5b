"""python -m llm VERB [arguments]: everything that is not a training script."""

import sys
from importlib import import_module

VERBS = {
    "train": (
        "llm.alignment.rm.flashmask.run_reward",
        "train and evaluate a reward model from a configuration",
    ),
    "schema": ("llm.alignment.rm.flashmask.reward_schema", "print a JSON schema of the settings, for editors"),
    "benchmark": ("llm.benchmark.run_benchmark", "measure packing, attention and training here, and beside TRL"),
    "demo": ("llm.demo.run_demo", "generate data, train a tiny process reward model on a CPU, score three solutions"),
    "estimate": ("llm.estimate.estimate", "does a training run fit into its GPUs' memory, and what would make it fit"),
    "inspect": ("llm.inspection.inspect_row", "show a row of training data as the model gets it: tokens, labels, mask"),
    "merge-lora": ("llm.export.merge_lora", "write LoRA adapters and their base as one model"),
    "convert": ("llm.data.convert.convert", "write other data sets' files as this project's records"),
}


def main(argv: list[str]) -> None:
    if not argv or argv[0] not in VERBS:
        wanted = bool(argv) and argv[0] not in ("-h", "--help")
        print(*([f"unknown verb {argv[0]!r}"] if wanted else []), "usage: python -m llm VERB [arguments]", sep="\n")
        for verb, (_, meaning) in VERBS.items():
            print(f"  {verb:<12}{meaning}")
        raise SystemExit(2 if wanted or not argv else 0)
    module, _ = VERBS[argv[0]]
    import_module(module).main(argv[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
