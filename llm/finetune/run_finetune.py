"""Fine-tune a language model on answers (SFT).

    python -u -m paddle.distributed.launch [--gpus "0,1,2,3"] llm/finetune/run_finetune.py CONFIG.json
    python llm/finetune/run_finetune.py CONFIG.json [--key value ...]

The configuration is a JSON object; the command line overrides it. --help lists every setting.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from llm.core.parallel import ranks
from llm.core.run.answer_format import AnswerFormat, read_format
from llm.core.run.packed_rows import PackedRows
from llm.core.run.start import Script, carry_out_task
from llm.finetune.sft_data import rows_of
from llm.finetune.sft_run import SftRun, resolve_run


def main(argv: list[str]) -> dict:
    """Runs what the settings say; returns the results."""
    resolve = partial(resolve_run, description=__doc__)
    return carry_out_task(Script(resolve, read_format, rows_of_run, learner_of), argv)


def rows_of_run(run: SftRun, answer_format: AnswerFormat, paths: list[str], bar: bool) -> PackedRows:
    return rows_of(paths, run.data, answer_format, bar)


def learner_of(run: SftRun, answer_format: AnswerFormat):
    from llm.finetune import sft_learner

    return sft_learner.learner_of(run, answer_format)


if __name__ == "__main__":
    ranks.run(main, sys.argv[1:])
