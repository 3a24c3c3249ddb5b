"""A rank that is killed, at any moment of a run under sharding stage 3: the other one says so once and ends with the
exit code for it, soon and by itself."""

from __future__ import annotations

import pytest

from tests.factories import twelve_updates
from tests.runs import STACK, ends_of_ranks

pytestmark = [pytest.mark.runs, pytest.mark.distributed]

TRAINER = "llm.core.train.exact_trainer:ExactTrainer"
STAGE3 = "paddle.distributed.fleet.meta_parallel.sharding.group_sharded_stage3"
REDUCTION = "paddle.distributed:all_reduce"
SAVES = "llm.core.checkpoint.stage3_checkpoint"
MOMENTS = {
    "start": {"inside": "llm.core.parallel.same_run:check", "step": -1},
    "before training": {"inside": f"{TRAINER}.wait_for_ranks"},
    "gather in a forward pass": {"inside": f"{STAGE3}:ForwardPreHooks", "step": 1, "call": 9},
    "gather in the backward pass": {"inside": f"{STAGE3}:ForwardPostHooks.backward", "step": 1, "call": 9},
    "gradient of a matrix": {"inside": REDUCTION, "step": 1, "call": 5},
    "gradients left uncut": {"inside": f"{STAGE3}:GroupShardedStage3._update_params", "step": 1},
    "evaluation": {"inside": f"{TRAINER}.evaluate", "step": 3},
    "save": {"inside": f"{SAVES}:save_model", "step": 3},
    "list of the files": {"inside": "llm.core.checkpoint.checkpoints:mark_complete", "step": 3, "rank": 0},
    "model at the end": {"inside": f"{TRAINER}.save_final_model", "step": 4},
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_other_rank_says_so_and_ends(tiny, tmp_path, moment):
    flags = twelve_updates(tiny, tmp_path, sharding="stage3", max_steps=4, eval_steps=3)
    faults = {"rank": 1, **MOMENTS[moment]}
    ends = ends_of_ranks(flags, tmp_path, seconds=60, sigkill=faults)
    killed, other = ends[faults["rank"]], ends[1 - faults["rank"]]
    assert killed.code == -9
    assert other.code == 3, other
    assert other.shown.count("cannot continue: another rank has ended") == 1
    assert STACK not in other.shown
