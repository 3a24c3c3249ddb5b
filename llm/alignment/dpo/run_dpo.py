"""Train a language model on pairs of answers, of which one is better (DPO and its relatives).

    python -u -m paddle.distributed.launch [--gpus "0,1,2,3"] llm/alignment/dpo/run_dpo.py CONFIG.json
    python llm/alignment/dpo/run_dpo.py CONFIG.json [--key value ...]

The configuration is a JSON object; the command line overrides it. --help lists every setting.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from llm.alignment.dpo.dpo_data import rows_of
from llm.alignment.dpo.dpo_run import DpoRun, resolve_run
from llm.alignment.dpo.reference_rows import with_reference
from llm.core.parallel import ranks
from llm.core.run import answer_format
from llm.core.run.answer_format import AnswerFormat
from llm.core.run.packed_rows import PackedRows
from llm.core.run.start import Script, carry_out_task


def main(argv: list[str]) -> dict:
    """Runs what the settings say; returns the results."""
    resolve = partial(resolve_run, description=__doc__)
    return carry_out_task(Script(resolve, read_format, rows_of_run, learner_of), argv)


def read_format(run: DpoRun) -> AnswerFormat:
    """With what makes rewards of log-ratios, if that is what they become."""
    found = answer_format.read_format(run)
    return replace(found, implicit_beta=run.training.beta) if run.of_labels else found


def rows_of_run(run: DpoRun, text_format: AnswerFormat, paths: list[str], bar: bool) -> PackedRows:
    rows = rows_of(paths, run.data, text_format, run.of_labels, bar)
    return with_reference(rows, run.reference_file) if run.reference_file else rows


def learner_of(run: DpoRun, text_format: AnswerFormat):
    from llm.alignment.dpo import dpo_learner

    return dpo_learner.learner_of(run, text_format)


if __name__ == "__main__":
    ranks.run(main, sys.argv[1:])
