"""What the tests of whole runs share: reading what a run left."""

import contextlib
import json
import os
import socket
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
    """A run of several processes over gloo, which are told what Paddle's launcher would tell them: that one takes three
    seconds to start by itself. start_launch starts it."""
    endpoints = [f"127.0.0.1:{port}" for port in free_ports(ranks + 1)]
    own = {
        "PADDLE_TRAINERS_NUM": ranks,
        "PADDLE_LOCAL_SIZE": ranks,
        "PADDLE_GLOBAL_SIZE": ranks,
        "PADDLE_MASTER": endpoints.pop(),
        "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints),
        "PADDLE_DISTRI_BACKEND": "gloo",
    }
    (folder / "logs").mkdir(exist_ok=True)
    processes = []
    for rank, endpoint in enumerate(endpoints):
        own |= {
            "PADDLE_TRAINER_ID": rank,
            "PADDLE_LOCAL_RANK": rank,
            "PADDLE_GLOBAL_RANK": rank,
            "PADDLE_RANK_IN_NODE": rank,
            "PADDLE_CURRENT_ENDPOINT": endpoint,
        }
        variables = os.environ | {name: str(value) for name, value in own.items()}
        with (folder / f"logs/workerlog.{rank}").open("w") as log:
            command = [sys.executable, "-u", str(SCRIPT), *flags]
            processes.append(subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT))
    try:
        codes = [process.wait(240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert not any(codes), logs_of(folder)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def start_launch(flags: list[str], folder: Path, ranks: int, *node: str) -> subprocess.Popen:
    """`node` says where a launcher stands among others."""
    command = [
        sys.executable,
        "-m",
        "paddle.distributed.launch",
        "--nproc_per_node",
        str(ranks),
        *node,
        "--log_dir",
        str(folder / "logs"),
        str(SCRIPT),
        *flags,
    ]
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
    files = [*folder.glob("log"), *sorted(folder.glob("logs/workerlog.*"))]
    return "".join(f"\n---- {file.name}\n{file.read_text()[-2000:]}" for file in files)
