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
    process = start_launch(flags, folder, ranks)
    assert exit_code(process, 240) == 0, logs_of(folder)


def start_launch(flags: list[str], folder: Path, ranks: int, *node: str) -> subprocess.Popen:
    """`node` says where a launcher stands among others."""
    command = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", str(ranks), *node, "--log_dir",
               str(folder / "logs"), str(SCRIPT), *flags]  # fmt: skip
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)


def exit_code(launcher: subprocess.Popen, seconds: float) -> int:
    """TimeoutExpired if it is still there then; it is ended in any case, and with it its ranks."""
    try:
        return launcher.wait(seconds)
    finally:
        launcher.terminate()
        launcher.wait()


def logs_of(folder: Path) -> str:
    """Ends of what a launcher and its ranks wrote."""
    files = [folder / "log", *sorted(folder.glob("logs/workerlog.*"))]
    return "".join(f"\n---- {file.name}\n{file.read_text()[-2000:]}" for file in files)
