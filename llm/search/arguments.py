"""Flags and rows that search and label share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from llm.core.console import ArgumentParser
from llm.core.files import checksum
from llm.core.records.json_stream import no_progress, read_values
from llm.core.records.problem import Problem, excerpt
from llm.search import arithmetic
from llm.search.generator import Generator
from llm.search.openai_server import PROMPT, SEPARATOR, ServerGenerator

ARITHMETIC = "arithmetic"


def add_generator_flags(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--generator",
        required=True,
        help="arithmetic (the problems of python -m llm generate), or the URL of an OpenAI-compatible server, "
        "such as http://127.0.0.1:8000/v1",
    )
    parser.add_argument("--generator_model", default="", help="the name of the server's model")
    parser.add_argument("--prompt", default=PROMPT, help="what the server is given, with {question} and {steps}")
    parser.add_argument("--separator", default=SEPARATOR, help="what ends a step in the server's texts")
    parser.add_argument("--temperature", type=float, default=0.7, help="of the server (default 0.7)")
    parser.add_argument(
        "--error", type=float, default=0.25, help="of arithmetic: chance of a wrong step (default 0.25)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of arithmetic (default 0)")


def generator_of(options: argparse.Namespace, questions: list[str]) -> Generator:
    if options.generator == ARITHMETIC:
        return arithmetic.for_questions(questions, options.error, options.seed)
    if not options.generator.startswith(("http://", "https://")):
        raise ValueError(f"--generator {options.generator!r}: write arithmetic, or a URL that begins with http")
    return ServerGenerator(
        options.generator, options.generator_model, options.prompt, options.separator, options.temperature
    )


def made_of(options: argparse.Namespace, files: list[Path]) -> dict:
    """What results depend on, for a run that continues."""
    kept = {name: value for name, value in vars(options).items() if name not in ("OUTPUT", "device")}
    return {**kept, "INPUT": {str(file): checksum(file) for file in files}}


def rows_of(files: list[Path], progress: Callable[[int], object] = no_progress) -> Iterator[tuple[str, str, dict]]:
    """(place, question, row); ValueError at a row without a question."""
    for file in files:
        for place, value in read_values(file, progress=progress):
            if isinstance(value, Problem):
                raise ValueError(str(value))
            question = _question(value)
            if not question:
                raise ValueError(f"{place}: no question in {excerpt(value)}. A row has question, or src of one turn.")
            assert isinstance(value, dict)
            yield place, question, value


def _question(value: object) -> str | None:
    if not isinstance(value, dict):
        return None
    question = value.get("question", value.get("src"))
    if isinstance(question, list) and len(question) == 1:
        (question,) = question
    return question if isinstance(question, str) and question.strip() else None
