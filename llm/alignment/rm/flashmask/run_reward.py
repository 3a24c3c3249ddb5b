"""Train and evaluate a reward model.

    python -u -m paddle.distributed.launch [--gpus "0,1,2,3"] llm/alignment/rm/flashmask/run_reward.py CONFIG.json
    python llm/alignment/rm/flashmask/run_reward.py CONFIG.json [--key value ...]

The configuration is a JSON object; the command line overrides it. --help lists every setting.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[4])

from llm.alignment.rm.flashmask.data import check_labels_are_hard, rows_of
from llm.alignment.rm.flashmask.reward_format import RewardFormat, make_format
from llm.alignment.rm.flashmask.reward_run import RewardRun, fit_to_tokenizer, resolve_run
from llm.core.parallel import ranks
from llm.core.parallel.ranks import say
from llm.core.rows.label_weights import weigh_labels, weigh_solutions
from llm.core.run.packed_rows import PackedRows, weighed
from llm.core.run.start import Script, carry_out_task, note_on_saving, read_tokenizer
from llm.core.text.reward_tokens import add_placeholder


def main(argv: list[str]) -> dict:
    """Runs what the settings say; returns the results."""
    resolve = partial(resolve_run, description=__doc__)
    return carry_out_task(Script(resolve, read_format, rows_of_run, learner_of, training_rows), argv)


def learner_of(run: RewardRun, reward_format: RewardFormat):
    from llm.alignment.rm.flashmask import reward_start

    return reward_start.learner_of(run, reward_format)


def read_format(run: RewardRun) -> RewardFormat:
    """The tokenizer, and the three tokens of the settings in it."""
    tokenizer = read_tokenizer(run)
    if run.model.add_placeholder_token:
        say(add_placeholder(tokenizer, run.model.placeholder_token))
        if run.sizes:
            fit_to_tokenizer(run, len(tokenizer))
    note_on_saving(tokenizer)
    return make_format(run.format_values, tokenizer)


def rows_of_run(run: RewardRun, reward_format: RewardFormat, paths: list[str], bar: bool) -> PackedRows:
    return rows_of(paths, run.data, reward_format, run.form, run.training.reward_margin, bar)


def training_rows(run: RewardRun, train: PackedRows):
    """The rows with what their labels count in training. What depends on all labels needs a pass over a stream."""
    if run.training.prm_loss == "pqm" or run.training.balance_labels:
        _read_through(run, train)
    if run.training.prm_loss == "pqm":
        check_labels_are_hard(train)
        return weighed(train.rows, weigh_solutions)
    weight = run.positive_weight(train)
    if run.training.balance_labels:
        say(f"balance_labels: the positive part of a label has weight {weight:.4g}, the negative part 1")
    if weight == 1.0 and not run.training.label_smoothing:
        return train.rows
    weigh = partial(weigh_labels, smoothing=run.training.label_smoothing, positive_weight=weight)
    return weighed(train.rows, weigh)


def _read_through(run: RewardRun, train: PackedRows) -> None:
    if not train.seen.is_whole:
        say("prm_loss pqm and balance_labels need all labels, so the training data is read once before training")
        train.read_through(bar=ranks.rank() == 0 and run.shows_bars)
        say("\n".join(train.describe("training data", run.data.max_seq_len)))


if __name__ == "__main__":
    ranks.run(main, sys.argv[1:])
