"""What the tests of whole runs share: reading what a run left."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from llm.alignment.rm.flashmask.run_reward import main

SCRIPT = Path(__file__).resolve().parents[3] / "llm/alignment/rm/flashmask/run_reward.py"


def history(output_dir: Path) -> dict:
    """{(step, is evaluation): logged values without the speeds}"""
    logs = json.loads((output_dir / "trainer_state.json").read_text())["log_history"]
    timed = ("tokens_per_second", "solutions_per_second")
    return {
        (log["step"], "eval_loss" in log): {name: value for name, value in log.items() if name not in timed}
        for log in logs
    }


def weights(output_dir: Path) -> dict:
    return load_file(output_dir / "model-00001-of-00001.safetensors")


def assert_same_runs(one: Path, other: Path, tolerance: float = 1e-6) -> None:
    first, second = history(one), history(other)
    assert first.keys() == second.keys()
    for step, values in first.items():
        for name, value in values.items():
            assert second[step][name] == pytest.approx(value, rel=tolerance, abs=tolerance), (step, name)


def refusal(capsys, flags: list[str]) -> str:
    """The message of a run that must end with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        main(flags)
    assert stop.value.code == 2
    return capsys.readouterr().err


def launch(flags: list[str], folder: Path, ranks: int = 2) -> None:
    """A run of several processes over gloo."""
    command = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", str(ranks), "--log_dir",
               str(folder / "logs"), str(SCRIPT), *flags]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
