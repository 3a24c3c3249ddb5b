"""python -m llm evaluate SUITE MODEL [MODEL ...] DATA --output DIR: how good reward models are on a benchmark.

    python -m llm evaluate processbench checkpoints/tiny/prm processbench/ --output results
    python -m llm evaluate steps run-1 run-2 dev.jsonl --output results --fit_threshold train.jsonl
    python -m llm evaluate prmbench prmbench/ --scores scores.jsonl --output results

DATA is a file, a folder or a pattern in the published files' own form; each file of ProcessBench is a subset. Scores
are kept in DIR, so that the same command continues a run that was broken off. DIR/results.json has every figure, and
DIR/report.html tables and charts.

suites:
{suites}
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.core.console import ArgumentParser, bounded, count_of, plain_errors, refuse
from llm.core.files import checksum, write_json, write_text
from llm.core.paths import find_files
from llm.core.records.reading_bar import reading_bar
from llm.evaluation import best_of_n, preference, prmbench, processbench, steps
from llm.evaluation.report.page import page_of, pictures_of, section_of
from llm.evaluation.report.tables import text_of
from llm.evaluation.scored import as_given, by_model
from llm.evaluation.suite import Item, Judged, Suite, Table
from llm.evaluation.threshold import fitted
from llm.scoring.score import add_reading_flags, load
from llm.scoring.scores import THRESHOLD

SUITES = {suite.name: suite for suite in (one.SUITE for one in (steps, processbench, prmbench, best_of_n, preference))}


@dataclass(frozen=True)
class Results:
    """Of one model, or one file of scores."""

    name: str
    about: dict[str, Any]
    judged: list[Judged]
    fit: list[Judged] | None  # of the set that the threshold is fitted on


def main(argv: list[str]) -> None:
    options = _parser().parse_args(argv)
    *models, data = options.names
    suite = SUITES[options.SUITE]
    if not models and not options.scores:
        refuse("give SUITE MODEL DATA, or SUITE DATA with --scores FILE")
    if options.fit_threshold and not suite.has_threshold:
        refuse(f"--fit_threshold: {suite.name} has no threshold, so there is none to fit")
    if options.fit_scores and not options.fit_threshold:
        refuse("--fit_scores: name the data that they are scores of with --fit_threshold")
    if options.fit_threshold and len(options.fit_scores) != len(options.scores):
        refuse("--fit_threshold: give a file of --fit_scores for each of --scores")
    with plain_errors(ValueError, OSError):
        files = find_files(data, suite.suffixes)
        fit_files = find_files(options.fit_threshold, suite.suffixes) if options.fit_threshold else []
        options.output.mkdir(parents=True, exist_ok=True)
        with reading_bar([*files, *fit_files], sys.stderr.isatty()) as progress:
            items = suite.read(files, progress)
            fit_items = suite.read(fit_files, progress) if fit_files else None
        solutions = sum(len(item.solutions) for item in items)
        print(f"{data}: {count_of(len(items), 'row')}, {count_of(solutions, 'solution')}", flush=True)
        names = _names([*models, *(str(file.with_suffix("")) for file in options.scores)])
        data_sets = (files, items), (fit_files, fit_items)
        # first what is given: a bad file is refused before a model has scored anything
        given = _of_scores(names[len(models) :], items, fit_items, options)
        of_models = [
            _of_model(suite, name, model, *data_sets, options) for name, model in zip(names, models, strict=False)
        ]
        print(report(suite, [*of_models, *given], files, options))


def _parser() -> ArgumentParser:
    suites = "\n".join(f"  {name:<13} {suite.fields}" for name, suite in SUITES.items())
    parser = ArgumentParser(
        description=(__doc__ or "").format(suites=suites), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("SUITE", choices=SUITES, help="what is measured")
    parser.add_argument("names", nargs="+", metavar="MODEL ... DATA", help="folders of reward models, then the data")
    parser.add_argument("--output", type=Path, required=True, help="folder for scores and results")
    parser.add_argument("--scores", type=Path, action="append", default=[], help="a file of scores instead of a model")
    parser.add_argument(
        "--threshold", type=bounded(float, 0, 1), default=THRESHOLD, help="a step is right above it (default 0.5)"
    )
    parser.add_argument("--fit_threshold", metavar="DATA", help="data of the same form, to find the best threshold on")
    parser.add_argument(
        "--fit_scores", type=Path, action="append", default=[], help="with --scores: those of that data"
    )
    add_reading_flags(parser)
    return parser


def _names(given: Sequence[str]) -> list[str]:
    """The shortest ends of the paths that differ."""
    parts = [Path(one).absolute().parts for one in given]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["-".join(path[-length:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f"{', '.join(given)}: a model or a file of scores is given twice. Give each once.")


def _of_model(
    suite: Suite, name: str, model: str, data: tuple, fit_data: tuple, options: argparse.Namespace
) -> Results:
    scorer = load(options, model, options.convention)
    if suite.needs_steps and not scorer.convention.of_steps:
        raise ValueError(
            f"{model}: this model scores whole answers, and {suite.name} is about steps. Give a process reward model."
        )
    print(f"{name}: {scorer.describe()}", flush=True)
    judged, fit = (
        by_model(scorer, model, items, files, options.output / f"{name}.{kind}.jsonl") if items else None
        for kind, (files, items) in (("scores", data), ("fit_scores", fit_data))
    )
    return Results(
        name, {"model": model, "convention": scorer.convention.label, "dtype": scorer.dtype}, judged or [], fit
    )


def _of_scores(
    names: Sequence[str], items: list[Item], fit_items: list[Item] | None, options: argparse.Namespace
) -> list[Results]:
    fit = [as_given(file, fit_items) for file in options.fit_scores] if fit_items else [None] * len(options.scores)
    return [
        Results(name, {"scores": str(file)}, as_given(file, items), of_fit)
        for name, file, of_fit in zip(names, options.scores, fit, strict=True)
    ]


def report(suite: Suite, results: list[Results], files: Sequence[Path], options: argparse.Namespace) -> str:
    """Writes results.json and report.html; returns the tables."""
    tables: list[Table] = []
    found, headlines, notes, sections = {}, [], [], []
    for one in results:
        thresholds = {"results": options.threshold} | ({"fitted": fitted(suite, one.fit)} if one.fit else {})
        unscored = sum(not scores for _, scores in one.judged)
        found[one.name] = {**one.about, "rows": len(one.judged), "without_scores": unscored}
        if unscored:
            counted = "left out" if suite is steps.SUITE else "counted as judged wrongly"
            why = one.about.get("scores") or options.output / f"{one.name}.scores.jsonl"
            notes.append(f"{one.name}: {count_of(unscored, 'row')} could not be scored, and {counted}; {why} says why")
        for kind, threshold in thresholds.items():
            outcome = suite.evaluate(one.judged, threshold)
            at = f", threshold {threshold:g}" + " (fitted)" * (kind == "fitted") if suite.has_threshold else ""
            tables += [Table(f"{one.name}{at}: {table.title}", table.columns, table.rows) for table in outcome.tables]
            headlines.append((f"{one.name}{at}", suite.headline(outcome.metrics)))
            found[one.name][kind] = (
                {"threshold": threshold} | outcome.metrics if suite.has_threshold else outcome.metrics
            )
            pictures = pictures_of(suite, one.judged, outcome.metrics, threshold, one.about.get("model"))
            sections.append(section_of(f"{one.name}{at}", outcome.tables, pictures))
    if len(headlines) > 1:
        tables.append(_side_by_side(headlines))
        sections.insert(0, section_of("all models", tables[-1:]))
    data = {str(file): checksum(file) for file in files}
    write_json(options.output / "results.json", {"suite": suite.name, "data": data, "models": found})
    page = page_of(f"{suite.name}: {', '.join(found)}", [f"data: {', '.join(data)}", *notes], sections)
    write_text(options.output / "report.html", page)
    return "\n\n".join([*map(text_of, tables), *notes, f"results: {options.output}/results.json and report.html"])


def _side_by_side(headlines: list[tuple[str, dict[str, float | None]]]) -> Table:
    columns = list(dict.fromkeys(name for _, figures in headlines for name in figures))
    rows = [(label, *(figures.get(name) for name in columns)) for label, figures in headlines]
    return Table("side by side", ("model", *columns), rows)
