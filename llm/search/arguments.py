"""Flags and rows that search and label share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from string import Formatter
from typing import Any, TypeVar

from llm.core.console import ArgumentParser, problem_list
from llm.core.files import checksum
from llm.core.records.json_stream import read_values
from llm.core.records.problem import Problem, excerpt
from llm.scoring.final_answers import compared_by
from llm.search import arithmetic, paddle_generator
from llm.search.generator import Generator, Sampling
from llm.search.openai_server import ServerGenerator

ARITHMETIC, SERVER, FOLDER = "arithmetic", "a server", "a folder"
SAMPLING = asdict(Sampling())
# the flags that each kind of generator has, with their defaults
FLAGS: dict[str, dict[str, Any]] = {
    ARITHMETIC: {"error": 0.25, "seed": 0},
    SERVER: {"generator_model": "", **SAMPLING},
    FOLDER: {"use_chat_template": False, "seed": 0, **SAMPLING},
}
Some = TypeVar("Some")


def add_generator_flags(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--generator",
        required=True,
        help="arithmetic (the problems of python -m llm generate), the URL of an OpenAI-compatible server, such as "
        "http://127.0.0.1:8000/v1, or the folder of a causal language model",
    )
    parser.add_argument("--generator_model", help="of a server: the name of its model")
    parser.add_argument("--prompt", help="of a server or a folder: what it reads, with {question} and {steps}")
    parser.add_argument("--separator", help="of a server or a folder: what ends a step (default a blank line)")
    parser.add_argument("--temperature", type=float, help="of a server or a folder (default 0.7)")
    parser.add_argument("--top_p", type=float, help="of a server or a folder (default 1)")
    parser.add_argument("--max_tokens", type=int, help="of a server or a folder: of a text (default 1024)")
    parser.add_argument(
        "--use_chat_template",
        action="store_true",
        default=None,
        help="of a folder: the question as the tokenizer's chat template writes it, instead of --prompt",
    )
    parser.add_argument("--error", type=float, help="of arithmetic: chance of a wrong step (default 0.25)")
    parser.add_argument("--seed", type=int, help="of arithmetic or a folder (default 0)")


def generator_of(options: argparse.Namespace, questions: list[str]) -> Generator:
    """What `--generator` names, with the flags that `fill_generator_flags` has completed."""
    kind = _kind(options.generator)
    if kind == ARITHMETIC:
        return arithmetic.for_questions(questions, options.error, options.seed)
    sampling = Sampling(**{name: getattr(options, name) for name in SAMPLING})
    if kind == SERVER:
        return ServerGenerator(options.generator, options.generator_model, sampling)
    return paddle_generator.load(
        options.generator, sampling, options.seed, options.use_chat_template, options.dtype, options.device
    )


def _kind(generator: str) -> str:
    if generator == ARITHMETIC:
        return ARITHMETIC
    if generator.startswith(("http://", "https://")):
        return SERVER
    if Path(generator).expanduser().is_dir():
        return FOLDER
    raise ValueError(
        f"--generator {generator!r}: write arithmetic, a URL that begins with http, or the folder of a causal LM"
    )


def fill_generator_flags(options: argparse.Namespace) -> None:
    """Flags that were not given become the defaults of the generator's kind; ValueError with all that cannot hold."""
    kind = _kind(options.generator)
    known = {name for flags in FLAGS.values() for name in flags}
    given = {name for name in known if getattr(options, name) is not None}
    problems = [f"--{name}: {kind} has no such setting; leave it out" for name in sorted(given - FLAGS[kind].keys())]
    if kind == FOLDER and {"use_chat_template", "prompt"} <= given:
        problems.append("--prompt: with --use_chat_template the template writes the prompt; leave one of them out")
    bounds = {"temperature": (0, 100), "top_p": (1e-6, 1), "max_tokens": (1, 1 << 20), "error": (0, 1)}
    for name, (least, most) in bounds.items():
        if name in given and not least <= getattr(options, name) <= most:
            problems.append(f"--{name} {getattr(options, name)}: write a number from {least} to {most}")
    if options.separator == "":
        problems.append("--separator is empty, and ends no step; give the text between two steps")
    if options.prompt is not None and not _is_prompt(options.prompt):
        problems.append(
            f"--prompt {options.prompt!r}: write {{question}} and {{steps}} where they go, and no other braces"
        )
    if problems:
        raise ValueError("\n".join(problems))
    for name in known - given:
        setattr(options, name, FLAGS[kind].get(name))


def _is_prompt(text: str) -> bool:
    try:
        fields = {name for _, name, *_ in Formatter().parse(text) if name is not None}
    except ValueError:
        return False
    return fields == {"question", "steps"}


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """What the generator's texts depend on."""
    return {name: getattr(options, name) for name in FLAGS[_kind(options.generator)]}


def made_of(options: argparse.Namespace, files: list[Path]) -> dict:
    """What results depend on, for a run that continues."""
    kept = {name: value for name, value in vars(options).items() if name not in ("OUTPUT", "device")}
    if _kind(options.generator) == FOLDER:
        from llm.scoring.model import fingerprint_of

        kept["generator_weights"] = fingerprint_of(options.generator)
    return {**kept, "answers": compared_by(), "INPUT": {str(file): checksum(file) for file in files}}


def rows_of(files: list[Path], read: Callable[[str, str, dict], Some]) -> list[Some]:
    """What `read` makes of the place, the question and the row; ValueError with all rows that cannot be used."""
    rows, problems = [], []
    for place, value in (one for file in files for one in read_values(file)):
        try:
            rows.append(read(place, *_question_and_row(place, value)))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError(problem_list(problems))
    return rows


def _question_and_row(place: str, value: object) -> tuple[str, dict]:
    if isinstance(value, Problem):
        raise ValueError(str(value))
    question = value.get("question", value.get("src")) if isinstance(value, dict) else None
    if isinstance(question, list) and len(question) == 1:
        (question,) = question
    if not isinstance(value, dict) or not isinstance(question, str) or not question.strip():
        raise ValueError(f"{place}: no question in {excerpt(value)}. A row has question, or src of one turn.")
    return question, value
