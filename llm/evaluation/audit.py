"""python -m llm audit SUITE MODEL DATA --output DIR: what a model's scores depend on besides the truth.

    python -m llm audit steps checkpoints/tiny/prm data/tiny/dev.jsonl --output audit
    python -m llm audit processbench checkpoints/tiny/prm processbench/gsm8k.json --output audit

- how often the last step has the lowest score, also where nothing is wrong with it
- what position, length and digits explain of the scores among steps with the same label, and how well they would
  predict the labels by themselves
- how many verdicts change when the same solution is written in another way
- right answer, wrong process: how often the wrong step is found (processbench, by final_answer_correct)
- steps whose label a confident score contradicts: DIR/suspects.jsonl, to look through

SUITE says what DATA is, as for python -m llm evaluate: steps (labelled records), processbench or prmbench.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.core.console import ArgumentParser, bounded, count_of, plain_errors
from llm.core.files import write_json, write_text
from llm.core.records.reward_records import Record
from llm.evaluation import audits, processbench
from llm.evaluation.evaluate import SUITES
from llm.evaluation.report.page import page_of, section_of
from llm.evaluation.report.tables import text_of
from llm.evaluation.scored import by_steps_model
from llm.evaluation.suite import Item, Judged, Suite, Table
from llm.scoring.score import add_reading_flags
from llm.scoring.scores import THRESHOLD, Scores

if TYPE_CHECKING:
    from llm.scoring.scorer import Scorer

LABELLED = [name for name, suite in SUITES.items() if suite.labels]


def main(argv: list[str]) -> None:
    options = _parser().parse_args(argv)
    suite = SUITES[options.SUITE]
    with plain_errors(ValueError, OSError):
        scorer, judged = by_steps_model(suite, options, "the audits are")
        print(report(suite, judged, partial(_score, scorer), options))


def _score(scorer: Scorer, records: list[Record]) -> list[Scores | None]:
    groups = scorer.score_groups([[record] for record in records])
    return [None if isinstance(scores, str) else scores[0] for scores in groups]


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("SUITE", choices=LABELLED, help="what the data is")
    parser.add_argument("MODEL", help="a process reward model")
    add_reading_flags(parser)
    parser.add_argument("DATA", help="a file, a folder or a pattern")
    parser.add_argument("--output", type=Path, required=True, help="folder for scores and results")
    parser.add_argument(
        "--threshold", type=bounded(float, 0, 1), default=THRESHOLD, help="a step is right above it (default 0.5)"
    )
    parser.add_argument(
        "--confident",
        type=bounded(float, 0.5, 1),
        default=audits.CONFIDENT,
        help="a suspect label has a score this far on the other side (default 0.95)",
    )
    return parser


def report(suite: Suite, judged: list[Judged], score: audits.Score, options: argparse.Namespace) -> str:
    """Writes audit.json, audit.html and suspects.jsonl; returns the tables."""
    assert suite.labels
    found: dict[str, Any] = {
        "lowest_at_end": audits.lowest_at_end(judged, suite.labels),
        "explained": audits.explained(judged, suite.labels),
        "sensitivity": audits.sensitivity(judged, score, options.threshold),
        "right_answer_wrong_process": audits.right_answer_wrong_process(judged, _is_hidden, options.threshold),
        "without_scores": sum(not scores for _, scores in judged),
    }
    suspects = audits.suspects(judged, suite.labels, options.confident)
    found["suspects"] = len(suspects)
    lines = (json.dumps(one, ensure_ascii=False) + "\n" for one in suspects)
    write_text(options.output / "suspects.jsonl", "".join(lines))
    write_json(options.output / "audit.json", found)
    tables = tables_of(found)
    notes = [
        f"{count_of(len(suspects), 'step')} whose label a score above {options.confident:g} or below "
        f"{1 - options.confident:.2g} contradicts: suspects.jsonl",
    ]
    if found["without_scores"]:
        notes.append(f"{count_of(found['without_scores'], 'row')} could not be scored")
    for name, one in found["sensitivity"].items():
        if one["too long"]:
            notes.append(f"{name}: {count_of(one['too long'], 'solution')} too long when written so, and left out")
    write_text(options.output / "audit.html", page_of(f"audit of {options.MODEL}", notes, [section_of("", tables)]))
    return "\n\n".join([*map(text_of, tables), *notes, f"results: {options.output}/audit.json and audit.html"])


def _is_hidden(item: Item) -> bool:
    """Of ProcessBench: the final answer is right, and a step is wrong."""
    return item.truth != -1 and item.known.get(processbench.ANSWER) is True


def tables_of(found: dict) -> list[Table]:
    tables = [
        Table(
            "how often the last step has the lowest score",
            ("among solutions", "share"),
            list(found["lowest_at_end"].items()),
        ),
        Table(
            "what else explains the scores, among steps with the same label",
            ("property", "variance explained", "AUC of the property alone"),
            [(name, one["explained"], one["auc"]) for name, one in found["explained"].items()],
        ),
        Table(
            "the same solution, written in another way",
            ("writing", "verdicts changed", "steps changed", "mean change of a score"),
            [(name, one["verdicts"], one["steps"], one["mean change"]) for name, one in found["sensitivity"].items()],
        ),
    ]
    if found["right_answer_wrong_process"]["solutions"]:
        row = tuple(found["right_answer_wrong_process"].values())
        tables.append(Table("right answer, wrong process", ("", "error found", "solutions"), [("all", *row)]))
    return tables
