"""Settings of reward models from flags, as a run resolves them."""

import json
from pathlib import Path

import pytest

from llm.alignment.rm.flashmask import reward_checks
from llm.alignment.rm.flashmask.reward_argument import CLASSES
from llm.alignment.rm.flashmask.reward_run import RewardRun
from llm.core.model.sizes import KNOWN
from llm.core.run.arguments import MISPRINTS, is_unobeyed
from llm.core.run.packed_rows import PackedRows
from llm.core.run.run import fit_to_data
from llm.core.run.seen import RowCounts, Seen
from llm.core.settings.parse import parse
from llm.core.settings.settings import SettingsError

LLAMA = KNOWN["meta-llama/Meta-Llama-3.1-8B"]
NEEDED = ["--model_name_or_path", "m", "--train_dataset_path", "t", "--dev_dataset_path", "d"]


def settings_from(*flags: str):
    settings = parse(CLASSES, [*NEEDED, *flags], "", MISPRINTS, is_unobeyed)
    settings.check()
    return settings


def run_of(*flags: str, **machine) -> RewardRun:
    settings = resolved(*flags, **machine)
    return RewardRun(settings, *settings.build(), "m", LLAMA, machine.get("ranks", 1))


def steps_of(run: RewardRun, rows: int) -> tuple[int, int | None]:
    """(updates of the run, updates in a pass) with so many rows of data."""
    fitted = fit_to_data(run, PackedRows([], Seen(counted=RowCounts(rows=rows)), ""))
    return fitted.steps, fitted.steps_per_pass


def resolved(*flags: str, ranks: int = 1, has_cuda: bool = False):
    settings = settings_from(*flags)
    reward_checks.resolve(settings, ranks, has_cuda)
    return settings


def refusal(*flags: str, **machine) -> str:
    with pytest.raises(SettingsError) as error:
        resolved(*flags, **machine)
    return str(error.value)


def logs(output_dir: Path) -> list[dict]:
    return json.loads((output_dir / "trainer_state.json").read_text())["log_history"]
