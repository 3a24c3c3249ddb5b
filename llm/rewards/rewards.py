"""python -m llm rewards INPUT OUTPUT.jsonl --model MODEL | --url URL: rewards of rollouts, for steps and tokens.

    python -m llm rewards rollouts.jsonl rewarded.jsonl --model checkpoints/tiny/prm --form min

A row of INPUT has prompt and response, and may have tokens: the texts of the response's tokens. Added are the scores of
the steps, the rewards by --form (min: PURE's, sum: the scores themselves), where each step ends (character), rewards of
tokens if there are any, and the advantage of the response among those to the same prompt (GRPO).
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from pathlib import Path

from llm.core.console import ArgumentParser, bounded, count_of, plain_errors
from llm.core.files import write_text
from llm.core.paths import find_files
from llm.core.records.json_stream import read_values
from llm.core.records.problem import Problem, excerpt
from llm.rewards.credit import FORMS, group_advantages, min_form, on_tokens, split
from llm.rewards.judges import TOKEN, InProcess, Judge, Server


def main(argv: list[str]) -> None:
    options = _parser().parse_args(argv)
    with plain_errors(ValueError, OSError):
        if (options.model is None) == (options.url is None):
            raise ValueError("give --model FOLDER, or --url of a server of `python -m llm serve`")
        if not options.separator:
            raise ValueError("--separator is empty, and separates nothing. Give the text between two steps.")
        if options.OUTPUT.exists():
            raise ValueError(f"OUTPUT: {options.OUTPUT} exists. Give another file, or delete this one.")
        rows = [_checked(place, value) for file in find_files(options.INPUT) for place, value in read_values(file)]
        judge: Judge = (
            InProcess(options.model, options.separator)
            if options.model
            else Server(options.url, os.environ.get(TOKEN), options.separator)
        )
        write_text(options.OUTPUT, _lines(rewarded(rows, judge, options)))
        print(f"{count_of(len(rows), 'response')}: {options.OUTPUT}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("INPUT", help="rollouts: a file, a folder or a pattern")
    parser.add_argument("OUTPUT", type=Path, help="where they are written with their rewards")
    parser.add_argument("--model", help="a reward model, in this process")
    parser.add_argument("--url", help="a server of python -m llm serve")
    parser.add_argument("--form", choices=FORMS, default="min", help="default min")
    parser.add_argument(
        "--temperature", type=bounded(float, 1e-6, 1e6), default=0.1, help="of the min form (default 0.1)"
    )
    parser.add_argument("--separator", default="\n\n", help="what separates steps (default a blank line)")
    return parser


def _checked(place: str, value: object) -> dict:
    if isinstance(value, Problem):
        raise ValueError(str(value))
    texts = [value.get(name) for name in ("prompt", "response")] if isinstance(value, dict) else []
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{place}: {excerpt(value)} has no prompt and response. Both are texts.")
    tokens = value.get("tokens", [])
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError(f"{place}: tokens are {excerpt(tokens)}. They are the texts of the response's tokens.")
    text = "".join(tokens)
    if tokens and not text.startswith(value["response"]):  # more may follow: the mark that ends it
        raise ValueError(
            f"{place}: the tokens together are {excerpt(text)}, and the response is {excerpt(value['response'])}. Give "
            "the text that each token adds to it."
        )
    return value


def rewarded(rows: list[dict], judge: Judge, options: argparse.Namespace) -> list[dict]:
    found, groups = [], defaultdict(list)
    scores = judge([row["prompt"] for row in rows], [row["response"] for row in rows])
    for row, of_steps in zip(rows, scores, strict=True):
        rewards = min_form(of_steps, options.temperature) if options.form == "min" else FORMS[options.form](of_steps)
        ends = [end for _, end in split(row["response"], options.separator)]
        ends = ends[len(ends) - len(of_steps) :]  # the one score of an answer is at its end
        one = {**row, "scores": of_steps, "rewards": rewards, "ends": ends}
        if row.get("tokens"):
            one["token_rewards"] = on_tokens(rewards, ends, row["tokens"])
        found.append(one)
        groups[row["prompt"]].append(one)
    for group in groups.values():
        totals = [sum(one["rewards"]) for one in group]
        for one, advantage in zip(group, group_advantages(totals), strict=True):
            one["advantage"] = advantage
    return found


def _lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
