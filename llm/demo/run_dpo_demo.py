"""A policy around the demo's reward model: what `make demo-dpo` runs, after `make demo`.

The base model is fine-tuned on right solutions, writes eight solutions to each of some new problems, and is trained on
pairs of them: those that the demo's own process reward model takes for right with those that it takes for wrong. Before
and after each training the share of held-out problems that are answered rightly is measured. Every part is a command of
its own, as in the demo.
"""

from __future__ import annotations

import json
import time

from llm.command_line import VERBS
from llm.core.console import ArgumentParser, refuse
from llm.core.paths import REPOSITORY, WORKSPACE
from llm.demo.run_demo import run

SFT, DPO = "llm/config/tiny/sft_argument.json", "llm/config/tiny/dpo_argument.json"
JUDGE = "checkpoints/tiny/prm"
QUESTIONS, HELD_OUT = "data/tiny/questions.jsonl", "data/tiny/questions_dev.jsonl"
# a policy reads a question and its line break, and a step ends with one, as in its training
WRITES = ("--prompt", "{question}\n{steps}", "--separator", "\n", "--max_tokens", "128")
LEARNS_ANSWERS = ("--max_steps", "600", "--learning_rate", "0.001", "--eval_steps", "300", "--save_steps", "300")
LEARNS_PAIRS = ("--max_steps", "60", "--per_device_train_batch_size", "4", "--learning_rate", "0.00002")
AFRESH = ("--overwrite_output_dir", "true")


def main(argv: list[str]) -> None:
    description = f"What it does: {VERBS['demo-dpo'][1]}. The settings begin with those of {SFT} and {DPO}."
    ArgumentParser("python -m llm demo-dpo", description=description).parse_args(argv)
    begin = time.perf_counter()
    sft, dpo = (json.loads((REPOSITORY / file).read_text(encoding="utf-8")) for file in (SFT, DPO))
    base, tuned, trained = sft["model_name_or_path"], sft["output_dir"], dpo["output_dir"]
    if missing := [folder for folder in (base, JUDGE) if not (WORKSPACE / folder).is_dir()]:
        refuse(f"{' and '.join(missing)}: not there. Run make demo first, which makes them.")
    make_problems(sft["train_dataset_path"], sft["dev_dataset_path"])
    run("a policy that learns right solutions", "sft", SFT, *LEARNS_ANSWERS, *AFRESH)
    sampled = ("--n", "8", "--temperature", "1")
    groups = write("eight of its solutions to each problem, judged", tuned, QUESTIONS, "groups", *sampled)
    ranked = ("--model_name_or_path", tuned, "--train_dataset_path", groups, "--do_eval", "false")
    run("what it learns from them", "dpo", DPO, *ranked, *LEARNS_PAIRS, *AFRESH)
    found = {name: exact_match(folder) for name, folder in (("base", base), ("sft", tuned), ("dpo", trained))}
    print("\nheld-out problems answered rightly, by each model's likeliest solution")
    for name, share in found.items():
        print(f"  {name:<5} {share:.3f}")
    print(f"total time {time.perf_counter() - begin:.0f} s")
    print(json.dumps({f"exact_match_{name}": share for name, share in found.items()}))


def make_problems(train: str, dev: str) -> None:
    answers = ("--output", train, "--problems", "4000", "--dev_output", dev, "--dev_problems", "100")
    run("right solutions", "generate", "--labels", "answers", *answers)
    questions = ("--output", QUESTIONS, "--problems", "120", "--dev_output", HELD_OUT, "--dev_problems", "60")
    run("problems to solve", "generate", "--labels", "none", "--solutions_per_problem", "1", *questions)


def write(what: str, policy: str, questions: str, keep: str, *sampling: str) -> str:
    """Where the solutions of a policy are."""
    output = f"data/tiny/{keep}.jsonl"
    (WORKSPACE / output).unlink(missing_ok=True)  # and with it, what is known of it
    asked = ("--generator", policy, *WRITES, *sampling)
    run(what, "search", JUDGE, questions, output, "--keep", keep, *asked)
    return output


def exact_match(policy: str) -> float:
    """The share of the held-out problems that it answers rightly with its likeliest solution."""
    output = write(f"what {policy} answers", policy, HELD_OUT, "candidates", "--n", "1", "--temperature", "0")
    rows, asked = ((WORKSPACE / file).read_text(encoding="utf-8").splitlines() for file in (output, HELD_OUT))
    return sum(json.loads(row)["candidates"][0]["correct"] for row in rows) / len(asked)
