"""A run's settings: resolved against the machine, the model and the data, then frozen. No paddle here."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

from llm.core.checkpoint import output_folder
from llm.core.cpu import environment
from llm.core.model.folder import find_model
from llm.core.model.sizes import Sizes
from llm.core.parallel import layout, ranks
from llm.core.paths import find_files
from llm.core.run import checks
from llm.core.run.arguments import IDENTITY, DataArgument, ModelArgument, TrainingArguments
from llm.core.run.packed_rows import PackedRows
from llm.core.settings.display import render
from llm.core.settings.settings import Settings


@dataclass(frozen=True)
class Run:
    """What is done, with typed settings. `settings` says where each value came from, for the screen and the files."""

    settings: Settings
    training: TrainingArguments
    data: DataArgument
    model: ModelArgument
    model_path: str
    sizes: Sizes
    ranks: int
    form: str = ""  # of the data, where there are several
    steps: int = 0  # updates of the whole run, known once the data is packed
    steps_per_pass: int | None = None  # None for a stream
    late_changes: tuple[str, ...] = ()  # of defaults, since the settings were shown
    identity_settings: ClassVar[tuple[str, ...]] = IDENTITY

    @property
    def data_sets(self) -> dict[str, list[str]]:
        return data_sets(self.training, self.data)

    @property
    def values(self) -> dict[str, Any]:
        """Every setting by name, for what looks at many of them alike."""
        return asdict(self.training) | asdict(self.data) | asdict(self.model)

    @property
    def data_ranks(self) -> int:
        """How many ranks see rows of their own."""
        return layout.layout_of(self.values, self.ranks).data_ranks

    @property
    def rows_per_update(self) -> int:
        training = self.training
        return training.per_device_train_batch_size * training.gradient_accumulation_steps * self.data_ranks

    @property
    def weight_dtype(self) -> str:
        return "bfloat16" if self.training.bf16 and self.training.fp16_opt_level == "O2" else "float32"

    @property
    def precision(self) -> str:
        """What one model's numbers depend on, besides its weights."""
        has_narrow_products = self.training.bf16 and self.training.fp16_opt_level == "O1"
        return f"{self.weight_dtype}, products in bfloat16" if has_narrow_products else self.weight_dtype

    @property
    def bf16_on_a_cpu(self) -> bool:
        """With O2 frozen matrices under adapters are held in 16 bits and computed with in float32; with O1 products are
        in bfloat16 and all weights in float32. What trains is in float32 with both, and Paddle knows nothing of it."""
        return self.training.bf16 and not environment.paddle_has_cuda()

    @property
    def trained_dtype(self) -> str:
        return "float32" if self.bf16_on_a_cpu else self.weight_dtype

    @property
    def keeps_checkpoints(self) -> bool:
        return not (self.data.benchmark or self.data.autotuner_benchmark)

    @property
    def writes_model(self) -> bool:
        return self.training.do_train and self.keeps_checkpoints

    @property
    def settings_file(self) -> str:
        """One that names a run without a model is never taken for the settings of a model in the same folder."""
        if self.writes_model:
            return output_folder.SETTINGS_FILE
        return output_folder.SETTINGS_OF_BENCHMARK if self.training.do_train else output_folder.SETTINGS_OF_EVALUATION

    @property
    def row_multiple(self) -> int:
        """What the tokens of a row must be divisible by."""
        return max(self.training.tensor_parallel_degree, 1) if self.training.sequence_parallel else 1

    @property
    def output_dir(self) -> Path:
        """Absolute, so that the curves of a resumed run are found from another working directory."""
        return output_folder.absolute(self.training.output_dir)

    def identity(self, base_weights: str | None, data_fingerprint: str | None) -> dict[str, Any]:
        """What a checkpoint must share with a run that resumes it. `base_weights` are those under adapters, which a
        checkpoint does not hold."""
        values = self.values
        same = {name: values[name] for name in self.identity_settings}
        same |= {"model_name_or_path": self.model_path, "base_weights": base_weights, "data": data_fingerprint}
        same["rows of an update"] = self.rows_per_update
        return {**same, "layout": layout.of_checkpoints(values, self.ranks)}

    @property
    def identity_defaults(self) -> dict[str, Any]:
        return {name: self.settings.parameters[name].default for name in self.identity_settings}

    def without_effect(self) -> list[str]:
        """Lines about what this run does not do although one might expect it."""
        training, lines = self.training, []
        if self.data_ranks == 1 and training.sharding:
            lines.append(f"sharding {training.sharding}: only one process has rows of its own, so nothing is divided")
        elif training.sharding and training.sharding_parallel_degree == 1:
            lines.append(f"sharding {training.sharding}: sharding_parallel_degree is 1, so nothing is divided")
        if self.settings.is_written("fp16_opt_level") and not training.bf16:
            lines.append(f"fp16_opt_level {training.fp16_opt_level}: training is in float32, so it changes nothing")
        return lines

    @property
    def best_metric(self) -> str:
        return checks.best_metric(self.training.metric_for_best_model)

    @property
    def more_is_better(self) -> bool:
        given = self.training.greater_is_better
        return self.best_metric not in checks.LESS_IS_BETTER if given is None else given

    @property
    def shows_bars(self) -> bool:
        """The launcher shows what its first rank writes to a file."""
        disabled = self.training.disable_tqdm
        return (sys.stderr.isatty() or ranks.is_launched()) if disabled is None else not disabled

    def screen(self) -> str:
        return render(self.settings, self.training.verbose)


SomeRun = TypeVar("SomeRun", bound=Run)


class Machine(NamedTuple):
    ranks: int
    has_cuda: bool


def this_machine() -> Machine:
    return Machine(ranks.count(), environment.paddle_has_cuda())


def machine_for(settings: Settings) -> Machine:
    """One that could run any settings: as many GPUs as the degrees of parallelism need."""
    degrees = (layout.TENSOR, layout.PIPELINE, layout.SHARDING)
    return Machine(math.prod(layout.degree(settings, name) for name in degrees), has_cuda=True)


def fit(settings: Settings, sizes: Sizes | None) -> None:
    """`sizes` None: no model whose limits apply."""
    if sizes is None:
        checks.fit_lengths(settings)
    else:
        checks.fit_to_model(settings, sizes)
    settings.check()


def look_up_paths(settings: Settings) -> str:
    """The model's folder or name; what is not there is noted with the other problems."""
    found = ""
    try:
        test_sets(settings["test_dataset_dir"], settings["test_files"])
    except ValueError as error:
        settings.problems.append(str(error))
        settings.misread.add("test_dataset_dir")
    wanted = {"train_dataset_path": settings["do_train"], "dev_dataset_path": settings["do_eval"]}
    wanted |= {"model_name_or_path": True, "tokenizer_name_or_path": True}
    for name, is_needed in wanted.items():
        if not is_needed or name in settings.misread or not settings[name]:
            continue
        try:
            if name.endswith("dataset_path"):
                find_files(settings[name])
            else:
                path = find_model(settings[name], name)
                found = path if name == "model_name_or_path" else found
        except ValueError as error:
            text = str(error)
            settings.problems.append(text if text.startswith(name) else f"{name}: {text}")
    return found


def test_sets(folder: str | None, names: list[str] | None) -> dict[str, Path]:
    """The test files by their names; ValueError where there is no such folder or file."""
    if not folder:
        return {}
    files = {path.name: path for path in find_files([folder])}
    wanted = [name.strip() for written in names or files for name in written.split(",")]
    if unknown := [name for name in wanted if name not in files]:
        raise ValueError(f"test_files: {folder} has no {', '.join(unknown)}; it has {', '.join(files)}")
    return {name: files[name] for name in wanted}


def data_sets(training: TrainingArguments, data: DataArgument) -> dict[str, list[str]]:
    """The data that this run needs, by the names of its settings."""
    needed = {
        "train_dataset_path": data.train_dataset_path if training.do_train else None,
        "dev_dataset_path": data.dev_dataset_path if training.do_eval else None,
        "test_dataset_dir": [str(path) for path in test_sets(data.test_dataset_dir, data.test_files).values()],
    }
    return {name: paths for name, paths in needed.items() if paths}


def read_data_sets(
    run: Run, rows_of: Callable[[list[str], bool], PackedRows]
) -> tuple[PackedRows | None, PackedRows | None]:
    """(training rows, held-out rows), None where the run needs none; `rows_of` (paths, whether a bar is shown)."""
    found = {}
    bar = ranks.rank() == 0 and run.shows_bars
    for name, title in (("train_dataset_path", "training data"), ("dev_dataset_path", "held-out data")):
        if paths := run.data_sets.get(name):
            rows = rows_of(paths, bar)
            if name == "dev_dataset_path":
                rows.read_through(bar)
            ranks.say("\n".join(rows.describe(title, run.data.max_seq_len)))
            found[name] = rows
    return found.get("train_dataset_path"), found.get("dev_dataset_path")


def read_test_sets(run: Run, rows_of: Callable[[list[str], bool], PackedRows]) -> dict[str, PackedRows]:
    """The rows of every test file."""
    found = {}
    bar = ranks.rank() == 0 and run.shows_bars
    for name, path in test_sets(run.data.test_dataset_dir, run.data.test_files).items():
        found[name] = rows_of([str(path)], bar)
        found[name].read_through(bar)
        ranks.say("\n".join(found[name].describe(f"test data {name}", run.data.max_seq_len)))
    return found


def fit_to_data(run: SomeRun, train: PackedRows | None) -> SomeRun:
    """The run with its number of updates, once the data is packed."""
    training = run.training
    if train is None or run.data.lazy:
        steps, per_pass = max(training.max_steps, 0), None
    else:
        per_pass = -(-train.counted.rows // run.rows_per_update)
        steps = training.max_steps if training.max_steps > 0 else int(per_pass * training.num_train_epochs)
    shown = len(run.settings.changes)
    checks.fit_to_steps(run.settings, steps, per_pass)
    training, data, model = run.settings.build()
    late = tuple(run.settings.changes[shown:])
    return replace(
        run, training=training, data=data, model=model, steps=steps, steps_per_pass=per_pass, late_changes=late
    )
