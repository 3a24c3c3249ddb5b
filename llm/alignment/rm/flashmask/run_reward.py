"""Train and evaluate a reward model.

    python -u -m paddle.distributed.launch [--gpus "0,1,2,3"] llm/alignment/rm/flashmask/run_reward.py CONFIG.json
    python llm/alignment/rm/flashmask/run_reward.py CONFIG.json [--key value ...]

The configuration is a JSON object; the command line overrides it. --help lists every setting.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[4])

from llm.alignment.rm.flashmask.data import RewardRows, check_labels_are_hard, weighed
from llm.alignment.rm.flashmask.reward_format import RewardFormat, make_format
from llm.alignment.rm.flashmask.reward_run import RewardRun, fit_to_data, fit_to_tokenizer, resolve_run
from llm.alignment.rm.flashmask.row_cache import rows_of
from llm.core.checkpoint import output_folder
from llm.core.console import plain_errors
from llm.core.cpu import environment
from llm.core.model.config import check_vocabulary
from llm.core.model.folder import find_model
from llm.core.parallel import ranks
from llm.core.parallel.ranks import say
from llm.core.rows.label_weights import weigh_labels, weigh_solutions
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.reward_tokens import add_placeholder

if TYPE_CHECKING:
    from llm.alignment.rm.flashmask.reward_start import Start


def main(argv: list[str]) -> dict:
    """Runs what the settings say; returns the results."""
    threads = environment.prepare()
    with plain_errors(ValueError, OSError):
        run = resolve_run(argv, __doc__)
        say(run.screen())
        reward_format = read_format(run)
        train, dev = read_data(run, reward_format)
        run = fit_to_data(run, train)
        rows = train and training_rows(run, train)

        # Paddle takes seconds to import. What a user can get wrong is known by now.
        from llm.alignment.rm.flashmask.reward_model import build_model
        from llm.alignment.rm.flashmask.reward_start import (
            begin_run,
            carry_out,
            find_start,
            make_trainer,
            meet_ranks,
        )
        from llm.core import patches
        from llm.core.model import attention
        from llm.core.parallel import rank_failure
        from llm.core.train.resumable_trainer import SaveError

        with rank_failure.reported():
            patches.apply_to_processes()
            arguments = meet_ranks(run)
    with plain_errors(SaveError, OSError, ValueError), rank_failure.reported(), output_folder.locked(run.output_dir):
        start = find_start(run, reward_format, arguments, train, dev)
        attend, why = attention.choose(run.model.use_flash_attention, run.model.flash_mask)
        show_start(run, start, why, threads)
        model = build_model(run, reward_format, attend, arguments)
        trainer = make_trainer(run, reward_format, start, model, rows, dev and dev.rows)
        begin_run(run, start)
        return carry_out(run, start, trainer)


def read_format(run: RewardRun) -> RewardFormat:
    """The tokenizer, known to belong to the model, and the three tokens of the settings in it."""
    name = run.model.tokenizer_name_or_path
    tokenizer = load_tokenizer(find_model(name, "tokenizer_name_or_path") if name else run.model_path)
    if run.sizes:
        check_vocabulary(run.sizes, tokenizer)
    if run.model.add_placeholder_token:
        say(add_placeholder(tokenizer, run.model.placeholder_token))
        if run.sizes:
            fit_to_tokenizer(run, len(tokenizer))
    if note := tokenizer.note_on_saving():
        say(note)
    return make_format(run.format_values, tokenizer)


def read_data(run: RewardRun, reward_format: RewardFormat) -> tuple[RewardRows | None, RewardRows | None]:
    """(training rows, held-out rows), None where the run needs none."""
    found = {}
    bar = ranks.rank() == 0 and run.shows_bars
    for name, title in (("train_dataset_path", "training data"), ("dev_dataset_path", "held-out data")):
        if paths := run.data_sets.get(name):
            rows = rows_of(paths, run.data, reward_format, run.form, run.training.reward_margin, bar)
            say("\n".join(rows.describe(title, run.data.max_seq_len)))
            found[name] = rows
    return found.get("train_dataset_path"), found.get("dev_dataset_path")


def training_rows(run: RewardRun, train: RewardRows):
    """The rows with what their labels count in training."""
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


def show_start(run: RewardRun, start: Start, attention_choice: str, threads: dict[str, str]) -> None:
    for line in run.late_changes:
        say(f"changed default: {line}")
    if run.training.do_train:
        say(f"updates to run: {run.steps:,}")
    say(f"attention: {attention_choice}")
    say(f"threads: {' '.join(f'{name}={value}' for name, value in threads.items()) or 'as the environment has them'}")
    for line in run.without_effect():
        say(line)
    say(f"starts from: {start.checkpoint or run.model_path}")


if __name__ == "__main__":
    ranks.run(main, sys.argv[1:])
