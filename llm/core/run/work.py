"""A run from its start to its results, whatever it learns: which checkpoint it resumes from, its trainer, training and
evaluation. Its settings are resolved and its data is packed by now; from here on paddle is needed."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from llm.core import patches
from llm.core.checkpoint import compatibility, contents, output_folder
from llm.core.console import UserError, plain_errors
from llm.core.cpu.bfloat16 import choice
from llm.core.files import write_json
from llm.core.model import attention, pipeline
from llm.core.model.adapters import lora_config
from llm.core.model.load import fingerprint
from llm.core.parallel import rank_failure, ranks, same_run
from llm.core.parallel.ranks import say
from llm.core.rows.batch import collate
from llm.core.run.packed_rows import PackedRows, Rows
from llm.core.run.run import Run
from llm.core.settings import display
from llm.core.train.evaluator import evaluate_at_end, evaluate_tests
from llm.core.train.exact_trainer import ExactTrainer, names_of_sums
from llm.core.train.library_arguments import LibraryArguments, library_arguments
from llm.core.train.objective import Objective
from llm.core.train.tally import COUNTED_BY_ALL

TRAIN_RESULTS = "train_results.json"
OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)


class Learner(NamedTuple):
    """What a task brings to a run."""

    text_format: Any  # how text became rows: `save_pretrained(folder)` puts it next to the weights
    payload: type  # of its rows
    objective: Objective
    weights: dict[str, list[int]]  # names and shapes of what a checkpoint holds
    build_model: Callable[[Any, LibraryArguments], Any]  # (attention, arguments) -> the model that trains
    identity: Mapping[str, Any] = MappingProxyType(
        {}
    )  # what a run that resumes a checkpoint must share, besides settings


@dataclass(frozen=True)
class Start:
    """Where a run begins; all of its processes agree on it."""

    arguments: LibraryArguments
    identity: dict
    checkpoint: Path | None
    base_weights: str | None  # under adapters
    needed: contents.Needed  # of every checkpoint


def carry_out(
    run: Run,
    learner: Learner,
    train: PackedRows | None,
    dev: PackedRows | None,
    rows: Rows | None,
    threads: dict,
    tests: Mapping[str, PackedRows] = MappingProxyType({}),
) -> dict:
    """Training and evaluation, as far as they are asked for; the results. `rows` are those of `train` with what they
    count in training, `tests` those of test files."""
    with plain_errors(ValueError, OSError), rank_failure.reported():
        patches.apply_to_processes()
        arguments = meet_ranks(run)
    with contextlib.ExitStack() as until_the_end:
        with plain_errors(ValueError, OSError), rank_failure.reported():
            until_the_end.enter_context(output_folder.locked(run.output_dir))
            start = find_start(run, learner, arguments, train, dev)
            attend, why = attention.choose(run.model.use_flash_attention, run.model.flash_mask)
            show_start(run, start, why, threads)
            model = learner.build_model(attend, arguments)
            trainer = make_trainer(run, learner, start, model, rows, dev.rows if dev else None)
            begin_run(run, start)
        # From here on an error that is not meant for users is a fault of the code, and its stack is shown.
        with plain_errors(UserError), rank_failure.reported(), disk_reported(), contextlib.closing(trainer.curves):
            results = _train_and_evaluate(run, start, trainer, tests)
    if train and not train.seen.is_whole:
        say("\n".join(train.seen.describe("training data, as far as it was read", run.data.max_seq_len)))
    return results


@contextlib.contextmanager
def disk_reported() -> Iterator[None]:
    """UserError for what only the user can mend."""
    try:
        yield
    except OSError as error:
        if error.errno not in OF_DISK:
            raise
        raise UserError(
            f"{error}. Free some space (or make the folder writable) and start the same command again."
        ) from error


def meet_ranks(run: Run) -> LibraryArguments:
    """PaddleNLP's arguments, with which the processes of a run connect."""
    return library_arguments(
        run.training,
        output_dir=str(run.output_dir),
        logging_dir=str(_folder_of_curves(run)),
        metric_for_best_model=run.training.metric_for_best_model and run.best_metric,
        greater_is_better=run.more_is_better,
        disable_tqdm=not run.shows_bars,
        pipeline_parallel_config=pipeline.CONFIG,
        bf16=run.training.bf16 and not run.bf16_on_a_cpu,
        release_grads=run.ranks == 1,  # after an update; it would fill them with zeros, and add the next ones to these
    )


def find_start(
    run: Run,
    learner: Learner,
    arguments: LibraryArguments,
    train: PackedRows | None,
    dev: PackedRows | None,
) -> Start:
    """ValueError where a checkpoint is damaged or of another run, or where the processes do not belong to one run."""
    base = fingerprint(run.model_path, run.sizes.model_type) if run.model.lora else None
    identity = {**run.identity(base, train.fingerprint if train else None), **learner.identity}
    needed = needed_of_checkpoint(run, learner)
    checkpoint = ranks.decided_by_first(
        lambda: output_folder.find_checkpoint(
            run.output_dir,
            run.training,
            identity,
            run.identity_defaults,
            lambda folder: contents.faults(folder, needed),
            run.writes_model,
        )
    )
    compatibility.check_stages(checkpoint, run.training.pipeline_parallel_degree, run.sizes.tie_word_embeddings)
    same_run.check(run.output_dir, checkpoint, identity, dev.fingerprint if dev else None, run.values)
    return Start(arguments, identity, checkpoint, base, needed)


def needed_of_checkpoint(run: Run, learner: Learner) -> contents.Needed:
    return contents.Needed(
        weights=learner.weights,
        is_adapter=run.model.lora,
        is_tied=run.sizes.tie_word_embeddings,
        bfloat16=run.trained_dtype == "bfloat16",
        unified=run.training.unified_checkpoint,
        sums=(*COUNTED_BY_ALL, *names_of_sums(learner.objective)),
        best_at_end=run.training.load_best_model_at_end,
    )


def _folder_of_curves(run: Run) -> Path:
    """Of this run alone, which replaces what is in it. VisualDL and TensorBoard show the runs below one folder."""
    written = run.training.logging_dir
    return output_folder.absolute(written) / run.output_dir.name if written else run.output_dir / "runs"


def make_trainer(
    run: Run, learner: Learner, start: Start, model: Any, train: Rows | None, dev: Rows | None
) -> ExactTrainer:
    return ExactTrainer(
        objective=learner.objective,
        model=model,
        args=start.arguments,
        train_dataset=train,
        eval_dataset=dev,
        tokenizer=learner.text_format,
        # any id that the model has will do for padding, which is seen by itself alone
        collate=partial(collate, pad_id=0, multiple=run.row_multiple, kind=learner.payload),
        keeps_checkpoints=run.keeps_checkpoints,
        identity=start.identity,
        needed=start.needed,
        unified=run.training.unified_checkpoint,
        steps=run.steps,
        steps_per_pass=run.steps_per_pass,
        nan_policy=run.training.nan_policy,
        reports=run.training.report_to or ["visualdl"],
    )


def begin_run(run: Run, start: Start) -> None:
    """The settings of a run that trains are kept apart until its model is there; by the first rank."""
    if ranks.rank() > 0:
        return
    if run.training.overwrite_output_dir and run.training.do_train:
        output_folder.delete_checkpoints(run.output_dir)
    folder = run.output_dir
    if run.writes_model:
        folder /= output_folder.IN_PROGRESS
        folder.mkdir(exist_ok=True)
    display.save(run.settings, (start.arguments,), folder / run.settings_file)


def _train_and_evaluate(run: Run, start: Start, trainer: ExactTrainer, tests: Mapping[str, PackedRows]) -> dict:
    results: dict = {}
    if trainer.args.do_train:
        trainer.train(resume_from_checkpoint=str(start.checkpoint) if start.checkpoint else None)
        if trainer.stopped_by:
            say(trainer.where_stopped())
            return results
        results |= end_training(run, start, trainer)
    if trainer.args.do_eval:
        metrics = evaluate_at_end(trainer)
        write_results(trainer, "eval", metrics)
        results |= metrics
    if tests:
        results["test"] = evaluate_tests(trainer, {name: packed.rows for name, packed in tests.items()})
        write_results(trainer, "test", results["test"])
    if trainer.args.do_train:
        trainer.save_state()
    say(f"{'results and model' if run.writes_model else 'results'}: {trainer.args.output_dir}")
    return results


def end_training(run: Run, start: Start, trainer: ExactTrainer) -> dict:
    trainer.weights.check_end()
    results = {f"train_{name}": value for name, value in trainer.train_totals().items()}
    if trainer.args.load_best_model_at_end and trainer.state.best_model_checkpoint is None:
        say(f"no evaluation had a {trainer.args.metric_for_best_model}, so the final model is the last one")
    if run.writes_model:
        trainer.save_final_model(partial(leave_with_model, run, start, trainer, results))
        if trainer.is_world_process_zero():
            output_folder.end_run(run.output_dir, is_new=start.checkpoint is None)
    else:
        write_results(trainer, "train", results)
    return results


def leave_with_model(run: Run, start: Start, trainer: ExactTrainer, results: dict, folder: Path) -> None:
    """What belongs to the model: by which settings, on which base, and with which results it was made."""
    display.save(run.settings, (start.arguments,), folder / run.settings_file)
    if start.base_weights:
        write_json(folder / lora_config.BASE_FILE, {"weights": start.base_weights})
    write_json(folder / TRAIN_RESULTS, results)
    trainer.state.save_to_json(str(folder / "trainer_state.json"))


def write_results(trainer: ExactTrainer, name: str, values: dict) -> None:
    if trainer.is_world_process_zero():
        write_json(Path(trainer.args.output_dir) / f"{name}_results.json", values)


def show_start(run: Run, start: Start, attention_choice: str, threads: dict[str, str]) -> None:
    for line in run.late_changes:
        say(f"changed default: {line}")
    if run.training.do_train:
        say(f"updates to run: {run.steps:,}")
    say(f"attention: {attention_choice}")
    if run.bf16_on_a_cpu and run.weight_dtype == "float32":
        say(f"bfloat16 products: {choice.choose()[1]}")
    say(f"threads: {' '.join(f'{name}={value}' for name, value in threads.items()) or 'as the environment has them'}")
    for line in run.without_effect():
        say(line)
    say(f"starts from: {start.checkpoint or run.model_path}")
