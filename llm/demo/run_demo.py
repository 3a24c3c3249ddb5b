"""From nothing to a trained and tried process reward model on a CPU: what `make demo` runs.

Every part is a command of its own, printed before it is run, so that a reader can repeat it or change it. The files
are where the tiny configuration looks for them; an earlier demo's are written over.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from llm.command_line import VERBS
from llm.core.console import ArgumentParser
from llm.core.paths import REPOSITORY, WORKSPACE

CONFIG, OF_BASE = "llm/config/tiny/prm_flashmask_argument.json", "llm/config/tiny/sft_base_argument.json"
TEXTS = 4100  # problems; with the exercises 1.4 million tokens
RESULTS = {
    "train_seconds": "train",
    "eval_loss": "eval",
    "eval_accuracy": "eval",
    "eval_error_f1": "eval",
    "eval_auc": "eval",
}


def main(argv: list[str]) -> None:
    description = f"What it does: {VERBS['demo'][1]}. The settings are those of {OF_BASE} and {CONFIG}."
    ArgumentParser("python -m llm demo", description=description).parse_args(argv)
    begin = time.perf_counter()
    of_base, settings = (json.loads((REPOSITORY / file).read_text(encoding="utf-8")) for file in (OF_BASE, CONFIG))
    train, dev, base = (settings[name] for name in ("train_dataset_path", "dev_dataset_path", "model_name_or_path"))
    problems = ("--problems", "4000", "--dev_problems", "250")
    run("problems and labelled solutions", "generate", "--output", train, "--dev_output", dev, *problems)
    make_base(of_base["train_dataset_path"], of_base["model_name_or_path"])
    run("the process reward model", "train", CONFIG, "--overwrite_output_dir", "true")
    output_dir = (WORKSPACE / settings["output_dir"]).resolve()
    show_scores(output_dir, WORKSPACE / dev)
    report = f"{settings['output_dir']}/report"
    shutil.rmtree(WORKSPACE / report, ignore_errors=True)  # of an earlier demo, whose scores are not continued
    run("a report on the held-out data", "evaluate", "steps", settings["output_dir"], dev, "--output", report)
    print(f"\ndata {Path(train).parent}, base model {base}, reward model and its log {settings['output_dir']}")
    print(f"picture: {settings['output_dir']}/demo.svg, report: {report}/report.html")
    print(f"curves: {Path(sys.executable).parent / 'visualdl'} --logdir {settings['output_dir']}/runs")
    print(f"total time {time.perf_counter() - begin:.0f} s")
    print(json.dumps(outcome(output_dir)))


def make_base(texts: str, random: str) -> None:
    """A model that knows the task's language: reward models start from models that have read a lot."""
    run("texts to read", "generate", "--labels", "texts", "--problems", str(TEXTS), "--output", texts)
    run("a tokenizer, and random weights", "llm.demo.tiny_model", "--output", random)
    run("the base model: it learns to predict the texts", "sft", OF_BASE, "--overwrite_output_dir", "true")


def run(what: str, verb: str, *arguments: str) -> None:
    """A verb of the command line, or a module."""
    command = ["llm", verb, *arguments] if verb in VERBS else [verb, *arguments]
    print(f"\n== {what}\n$ python -m {' '.join(command)}", flush=True)
    done = subprocess.run([sys.executable, "-u", "-m", *command], cwd=WORKSPACE)
    if done.returncode:
        raise SystemExit(done.returncode)


def outcome(output_dir: Path) -> dict:
    results = {file: json.loads((output_dir / f"{file}_results.json").read_text()) for file in ("train", "eval")}
    return {name: results[file][name] for name, file in RESULTS.items()} | {"output_dir": str(output_dir)}


def show_scores(output_dir: Path, dev: Path) -> None:
    """Print each step of three held-out solutions with its score and its label."""
    from llm.demo.picture import draw
    from llm.scoring.scorer import Scorer

    scorer = Scorer.load(output_dir)
    print("\n== its scores for three solutions to a question that it has not seen")
    judged: dict[str, list] = {}
    for title, record in three_solutions(dev).items():
        question, steps = record["src"][0], record["responses"]
        if title == "right":
            print(question)
        print(f"\n{title}\n  score  says  label")
        (scores,) = scorer.score([record])
        judged[title] = list(zip(steps, record["labels"], scores.steps, strict=True))
        for step, label, score in judged[title]:
            print(f"  {score:.3f}  {'+' if score > 0.5 else '-':^4}  {label:^5}  {step}")
    draw(output_dir, question, judged, output_dir / "demo.svg")


def three_solutions(dev: Path) -> dict[str, dict]:
    """Of the first question that has them: a right solution, one wrong in the middle, one wrong at the end."""
    found: dict[str, dict] = {}
    question = None
    with dev.open(encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            if record["src"] != question:
                question, found = record["src"], {}
            labels = "".join(record["labels"])
            if "-" not in labels:
                found.setdefault("right", record)
            elif labels.count("-") == 1 and labels[0] == "+":
                found.setdefault("wrong at the end" if labels[-1] == "-" else "wrong in the middle", record)
            if len(found) == 3:
                return {title: found[title] for title in ("right", "wrong in the middle", "wrong at the end")}
    raise ValueError(f"{dev}: no question has all three kinds of solutions; generate more problems")
