"""Where Paddle and PaddleNLP are patched: nothing by an import, all of it when it is asked for, twice as once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import paddle
import pytest

from llm.core import patches

REPOSITORY = Path(__file__).resolve().parents[2]
ASKED_FOR_AND_LACKING = {"paddle.distributed:ParallelEnv._device_id"}  # what a CPU build of Paddle does not have

# In a process of its own, with the state of all targets at each moment: absent, or which object is there
WATCH = """
import importlib, json, pkgutil, sys
import llm

KEPT = []  # so that no object gets the number of one that is gone

def state(names):
    found = {}
    for name in names:
        module, _, path = name.partition(":")
        owner = importlib.import_module(module)
        for part in path.split("."):
            owner = getattr(owner, part, None)
        KEPT.append(owner)
        made_of = getattr(owner, "__module__", None), getattr(owner, "__qualname__", type(owner).__name__)
        found[name] = None if owner is None else [id(owner), *made_of]
    return found

names = json.loads(sys.argv[1])
moments = [state(names)]  # nothing of this project is imported yet
for module in pkgutil.walk_packages(llm.__path__, "llm."):
    of_other_environments = ("answers_trl", "peer_trl", "scoring_peer")
    if not module.name.endswith(("__main__", *of_other_environments)):
        importlib.import_module(module.name)
moments.append(state(names))

from llm.core import patches
from llm.core.model import attention, load
try:
    load.load_model("a model", None, "float32")
except AssertionError as error:
    print(error, file=sys.stderr)
for _ in range(2):
    patches.apply_to_processes()
    patches.apply_to_models(attention.block_attention, compiled=False)
    moments.append(state(names))
print(json.dumps({"moments": moments, "filters": len(patches.logger.logger.filters)}))
"""


def all_patches() -> list[patches.Patch]:
    attend = patches.attention.block_attention
    models = [*patches._attention(attend), *patches._stages(), *patches._cpu_layers(compiled=False)]
    return [*patches._pickles(), *patches._checkpoints(), *models, *patches._processes()]


@pytest.fixture(scope="module")
def watched() -> dict:
    names = [patch.target for patch in all_patches()]
    done = subprocess.run(
        [sys.executable, "-c", WATCH, json.dumps(names)],
        cwd=REPOSITORY,
        env=os.environ | {"PADDLE_TRAINERS_NUM": "2", "PADDLE_TRAINER_ID": "0"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"stderr": done.stderr}


@pytest.mark.runs
def test_importing_all_of_the_project_patches_nothing(watched):
    before, after_imports, *_ = watched["moments"]
    assert after_imports == before


@pytest.mark.runs
def test_what_is_patched_is_there(watched):
    """Where a version of a library has renamed it, a patch would change nothing and say nothing."""
    before = watched["moments"][0]
    assert {name for name, found in before.items() if found is None} == ASKED_FOR_AND_LACKING


@pytest.mark.runs
def test_every_patch_is_applied_and_a_second_time_changes_nothing(watched):
    before, _, once, twice = watched["moments"]
    for name in before:
        assert once[name] != before[name], name
        assert twice[name][1:] == once[name][1:], name  # made anew perhaps, but by the same function
    assert watched["filters"] == 1


@pytest.mark.runs
def test_a_model_is_not_loaded_before_its_attention_is_in_place(watched):
    """It would attend across the packed solutions without a word."""
    assert "call llm.core.patches.load_model" in watched["stderr"]


def test_every_patch_has_a_target_of_its_own_and_a_reason():
    found = all_patches()
    assert len({patch.target for patch in found}) == len(found)
    assert all(patch.reason for patch in found)


def test_the_versions_that_the_patches_were_tested_with_are_installed():
    """With others, read all patches again, and then write them there."""
    assert {"paddle": paddle.__version__, "paddlenlp": version("paddlenlp")} == patches.TESTED
