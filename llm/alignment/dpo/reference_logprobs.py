"""python -m llm reference-logprobs CONFIG.json --reference_logprobs FILE: what the reference says, ahead of a training.

The configuration is that of the training, which then needs no reference in memory. The log-probability of every answer
of the training and the held-out data goes into FILE. A command that was ended goes on from where it was; with other
data it computes what FILE lacks. Under Paddle's launcher the processes share the rows, or the model by tensor
parallelism.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from llm.alignment.dpo.dpo_checks import AHEAD, Reference
from llm.alignment.dpo.dpo_run import resolve_run
from llm.alignment.dpo.dpo_task import rows_of_run
from llm.core.console import count_of, plain_errors, refuse
from llm.core.cpu import environment
from llm.core.parallel import layout, ranks
from llm.core.parallel.ranks import say
from llm.core.run.answer_format import read_format
from llm.core.run.run import read_data_sets, read_test_sets


def main(argv: list[str]) -> None:
    environment.prepare()
    with plain_errors(ValueError, OSError):
        run = resolve_run(argv, __doc__)
        if run.reference is not Reference.FILE or not run.reference_file:
            refuse(f"give --{AHEAD} FILE, or write {AHEAD} in the configuration")
        if layout.degree(run.values, layout.PIPELINE) > 1:
            refuse(f"a pipeline cannot be asked; give --{layout.PIPELINE} -1, which changes no log-probability")
        read = partial(rows_of_run, run, read_format(run))
        data_sets = [*read_data_sets(run, read), *read_test_sets(run, read).values()]
        from llm.alignment.dpo.reference.ask_ahead import ask_reference

        answers = ask_reference(run, [packed.rows for packed in data_sets if packed])
    say(f"{run.reference_file}: log-probabilities of {count_of(answers, 'answer')} by {run.reference_path}")


if __name__ == "__main__":
    ranks.run(main, sys.argv[1:])
