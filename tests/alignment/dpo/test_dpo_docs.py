"""docs/dpo.md has every loss with its formula, every setting and every metric."""

from pathlib import Path

from llm.alignment.dpo import outcome_metrics
from llm.alignment.dpo.dpo_argument import IDENTITY
from llm.alignment.dpo.dpo_metrics import METRICS
from llm.alignment.dpo.loss_kinds import KINDS
from llm.core.run import arguments

PAGE = (Path(__file__).resolve().parents[3] / "docs/dpo.md").read_text(encoding="utf-8")


def test_every_loss_is_there_with_its_formula():
    for name, kind in KINDS.items():
        assert f"| `{name}` | {kind.formula} |" in PAGE


def test_every_setting_and_metric_is_there():
    for name in {*IDENTITY} - {*arguments.IDENTITY}:
        assert f"| `{name}` |" in PAGE
    for name in {*METRICS, *outcome_metrics.METRICS}:
        assert f"`{name}`" in PAGE or name == "loss"
