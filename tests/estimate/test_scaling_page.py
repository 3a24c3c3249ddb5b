"""The figures of docs/scaling.md are those of the formulas; what was measured is within a fifth of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm.benchmark.scaling import scaling
from llm.core.model.sizes import sizes_of
from llm.estimate import estimate, traffic
from llm.estimate import memory as estimate_memory
from llm.estimate.memory import GIB

PAGE = (Path(__file__).resolve().parents[2] / "docs/scaling.md").read_text(encoding="utf-8")
SCREEN, CHECKED = re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL)
A100 = "--peak_tflops 312 --link_gb 300 --network_gb 25"
ROW = re.compile(r"^(\S.*?)\s{2,}(\d)\s+([\d,]+)\s+([\d,]+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)$", re.MULTILINE)


def judged(flags: str) -> dict:
    return estimate.judged(flags.split())


def test_the_screen_is_what_the_command_prints():
    command = next(line for line in PAGE.splitlines() if line.startswith(".venv/bin/python -m llm estimate"))
    assert "\n".join(estimate.screen(judged(" ".join(command.split()[4:])))) == SCREEN


def test_the_predictions_are_what_is_estimated():
    predictions = PAGE.split("## Two predictions")[1].split("\n## ")[0]
    tables = re.findall(r"^\(`([^`]*)`\):\n\n(.*?)\n\n", predictions, re.DOTALL | re.MULTILINE)
    assert len(tables) == 2
    for command, table in tables:
        for flags, memory, *seconds in re.findall(r"^\| `(.*?)` \| (.*?) \| (.*?) \| (.*?) \|$", table, re.MULTILINE):
            outcomes = [judged(f"{command} {flags} {hardware}") for hardware in ("", A100)]
            room = "" if outcomes[0]["fits"] else ", too many"
            assert memory == f"{outcomes[0]['peak_bytes'] / GIB:.1f}{room}", flags
            assert seconds == [f"{outcome['seconds']['one_by_one']:.2f}" for outcome in outcomes], flags
            said = f"an update of {outcomes[0]['tokens_of_update']:,} tokens"
            assert said in predictions, flags


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_what_was_measured_is_what_is_modelled():
    found = ROW.findall(CHECKED)
    assert {layout for layout, *_ in found} == set(scaling.LAYOUTS)
    sizes = sizes_of({"model_type": "llama", "tie_word_embeddings": False, **scaling.SIZES}, "here")
    rows, tokens = scaling.RUN["per_device_train_batch_size"], int(re.search(r"x (\d+) tokens", CHECKED)[1])
    for layout, stage, *figures in found:
        ranks, settings = scaling.LAYOUTS[layout]
        longer = settings.get("sequence_parallel", False) * (rows * tokens % 4 > 0)  # tokens are divided evenly
        plan = scaling.modelled_plan(scaling.RUN | settings, ranks, rows, tokens + longer, "reward")
        sent = traffic.every_stage(sizes, plan)[int(stage) - 1]
        peak = sum(estimate_memory.every_stage(sizes, plan)[int(stage) - 1].values())
        payload = sum(traffic.sums(sent).values())
        modelled, measured, ratio, memory, measured_memory, memory_ratio = map(number, figures)
        assert (modelled, memory) == (round(payload / 1e3), round(peak / 1e6, 1)), layout
        assert ratio == pytest.approx(modelled / measured, abs=2e-3) and abs(ratio - 1) < 0.2, layout
        assert memory_ratio == pytest.approx(memory / measured_memory, abs=2e-3) and abs(memory_ratio - 1) < 0.2, layout
