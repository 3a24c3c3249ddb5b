"""Records of reward data -> packed rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from llm.alignment.rm.flashmask.reward_argument import DataArgument
from llm.alignment.rm.flashmask.reward_format import RewardFormat
from llm.core.console import count_of
from llm.core.paths import find_files
from llm.core.records.records import ReadCounts, find_form, iter_records
from llm.core.records.reward_records import FIELDS, LABELLED, PREFERENCES, Preference, Record
from llm.core.run import packed_rows, row_cache
from llm.core.run.packed_rows import PackedRows
from llm.core.text.encoding import StepEncoder


def check_labels_are_hard(rows: PackedRows) -> None:
    """ValueError where a label is between right and wrong."""
    if soft := rows.encoded.soft:
        raise ValueError(
            f"prm_loss pqm ranks right steps above wrong ones, and {count_of(soft, 'label')} of the training data "
            f"{'is' if soft == 1 else 'are'} neither 0 nor 1 (first in {rows.encoded.first_soft}). Write prm_loss "
            "reward_tokens, or give data with labels that are right or wrong."
        )


def form_of_data(data_sets: dict[str, list[str]], process_reward: bool) -> str:
    """LABELLED or PREFERENCES, by the fields of the first records; ValueError where the data sets, {setting: its
    paths}, differ, or a process reward model is asked of preferences."""
    by_set = {name: find_form(paths) for name, paths in data_sets.items()}
    found = {name: of_set for name, of_set in by_set.items() if of_set} or {next(iter(data_sets)): (LABELLED, "")}
    forms = {form for form, _ in found.values()}
    if len(forms) > 1:
        each = "; ".join(f"{name}: {place} is a {form} ({FIELDS[form]})" for name, (form, place) in found.items())
        raise ValueError(f"training and held-out data have different forms. {each}. Give data of one form.")
    if PREFERENCES in forms and process_reward:
        name, (_, place) = next(iter(found.items()))
        raise ValueError(
            f"process_reward true asks for a score per step, but {name}: {place} is a {PREFERENCES} "
            f"({FIELDS[PREFERENCES]}). A process reward model learns from {LABELLED}s ({FIELDS[LABELLED]}). "
            "Write process_reward false for an outcome reward model, or give other data."
        )
    return forms.pop()


def load_rows(
    paths: list[str], data: DataArgument, reward_format: RewardFormat, form: str, margin: float, bar: bool = False
) -> PackedRows:
    """`margin` is that of preferences without one of their own."""
    source = RewardRecords(find_files(paths), reward_format, data.skip_bad_records, form)
    encode = partial(StepEncoder.encode_pair, default_margin=margin) if form == PREFERENCES else StepEncoder.encode
    return packed_rows.load_rows(source, reward_format.encoder(), encode, data, bar)


def rows_of(
    paths: list[str], data: DataArgument, reward_format: RewardFormat, form: str, margin: float, bar: bool = False
) -> PackedRows:
    """From the cache, if the settings name one."""
    of_format = {"format": asdict(reward_format.values), "tokens": asdict(reward_format.tokens)}
    origin = {"form": form, "margin": margin, **of_format}
    build = partial(load_rows, paths, data, reward_format, form, margin, bar)
    return row_cache.rows_of(paths, data, reward_format.tokenizer, origin, build)


@dataclass(frozen=True)
class RewardRecords:
    files: list[Path]
    reward_format: RewardFormat
    skip_bad: bool
    form: str

    def read(self, counts: ReadCounts, progress: Callable[[int], object]) -> Iterator[Record | Preference]:
        reward_tokens = self.reward_format.reward_tokens
        for record in iter_records(self.files, reward_tokens, counts, self.skip_bad, self.form, progress):
            yield self.reward_format.scored_part(record) if isinstance(record, Record) else record
