"""The package as it is installed: complete, and usable away from the repository."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.runs
REPOSITORY = Path(__file__).resolve().parents[1]
TRAINS_AND_SCORES = """
import sys
from pathlib import Path

import llm
assert Path(llm.__file__).is_relative_to(sys.prefix), llm.__file__
from llm.alignment.rm.flashmask.run_reward import main
main([sys.argv[1]])
from llm.scoring.scorer import Scorer
solution = {"question": "Ben has 3 pens. He finds 4.", "steps": ["Step 1: 3 + 4 = 7."]}
print(Scorer.load(sys.argv[2]).score([solution])[0].steps)
from llm.core.cpu.kernels.build import kernels
print("kernels:", kernels()[1] or "compiled")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from the files that git knows, beside folders that a user's clone has, too."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((REPOSITORY / name).read_bytes())
    for folder in ("data", "checkpoints"):
        (source / folder).mkdir()
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(source)], out)
    (built,) = out.glob("paddle_reward-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """Its bin folder. Empty but for the wheel; what the wheel depends on is seen in the environment of the tests, not
    installed anew."""
    folder = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder)
    python = folder / "bin" / "python"
    site = run([str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], folder).strip()
    install = ["install", "--quiet", "--no-deps", str(wheel)]
    run([sys.executable, "-m", "pip", "--python", str(python), *install], folder)
    Path(site, "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin"


def run(command: list[str], folder: Path, **variables: str) -> str:
    """In an environment that finds no other copy of this project."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=own | variables)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def test_the_wheel_holds_the_kernels_and_configurations_and_no_tests(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    kernels = {f"llm/core/cpu/kernels/{path.name}" for path in (REPOSITORY / "llm/core/cpu/kernels").glob("*.[ch]*")}
    configurations = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "llm/config").rglob("*.json")}
    assert kernels | configurations <= held and len(kernels) >= 4
    assert {name.split("/")[0] for name in held if ".dist-info" not in name} == {"llm"}


def test_it_answers_trains_and_scores_away_from_the_repository(environment, settings_of, tmp_path):
    """Through the compiled kernels, with one update."""
    away = tmp_path / "away"
    away.mkdir()
    assert "usage: python -m llm VERB" in run([str(environment / "paddle-reward"), "--help"], away)
    assert "paddle-reward 0" in run([str(environment / "python"), "-m", "llm", "--version"], away)
    config = settings_of(max_steps=1, do_eval=False, save_strategy="no")[0]
    command = [str(environment / "python"), "-c", TRAINS_AND_SCORES, config, str(tmp_path / "out")]
    shown = run(command, away, XDG_CACHE_HOME=str(tmp_path / "cache")).splitlines()
    assert shown[-1] == "kernels: compiled"
    (score,) = map(float, shown[-2].strip("[]").split(","))
    assert 0 < score < 1


def test_a_configuration_of_the_package_is_found_from_anywhere(environment, tmp_path):
    command = [str(environment / "paddle-reward"), "estimate", "llm/config/mistral/prm_flashmask_argument.json"]
    assert "parameters" in run(command, tmp_path)
