"""bf16 with O1 on a CPU: float32 weights, products of numbers that are rounded to bfloat16."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llm.alignment.dpo.run_dpo import main as dpo
from llm.alignment.rm.flashmask.reward_model import as_reward_model
from llm.alignment.rm.flashmask.run_reward import main as reward
from llm.core import patches
from llm.core.cpu.bfloat16 import choice
from llm.core.model import attention, config
from llm.core.model.bfloat16_products import multiply_in_bfloat16
from llm.finetune.run_finetune import main as sft
from tests.alignment.rm.forests import PACKINGS, outcome, random_solutions
from tests.alignment.rm.layout_runs import log_of
from tests.alignment.rm.test_invariance import label_loss
from tests.core.cpu.bfloat16.onednn_in_float32 import OneDnnInFloat32
from tests.factories import data_of, pairs_of, six_updates, write_config
from tests.runs import kill_at, refusal, train_ranks

NEAR = 1e-2  # relative, of losses to those in float32, as docs/training.md says


@pytest.fixture(scope="module")
def runs(tiny, made_once):
    """The same run in float32 and in bfloat16."""

    def make(folder):
        for name, bf16 in (("float32", False), ("bfloat16", True)):
            reward(six_updates(tiny, folder / name, bf16=bf16))

    return made_once("bfloat16 runs", make)


def losses_of(folder) -> list[float]:
    return [line[name] for line in log_of(folder / "out") for name in ("loss", "eval_loss") if name in line]


@pytest.mark.runs
def test_losses_stay_near_those_in_float32(runs):
    narrow, wide = losses_of(runs / "bfloat16"), losses_of(runs / "float32")
    assert len(narrow) == 8 and narrow == pytest.approx(wide, rel=NEAR) and narrow != wide


@pytest.mark.runs
def test_what_is_kept_of_weights_is_renewed_by_an_update(runs, tiny, tmp_path, monkeypatch):
    """By oneDNN in float32, whose packed weights serve two micro-batches and evaluations."""
    monkeypatch.setenv(choice.SWITCH, choice.FLOAT32)
    monkeypatch.setitem(choice.WAYS, choice.FLOAT32, OneDnnInFloat32)
    reward(six_updates(tiny, tmp_path, bf16=True))
    assert losses_of(tmp_path) == pytest.approx(losses_of(runs / "float32"), rel=1e-5)


@pytest.mark.runs
def test_a_killed_run_resumes_to_the_losses_of_the_one_that_was_not(runs, tiny, tmp_path, capsys):
    flags = six_updates(tiny, tmp_path, bf16=True)
    kill_at(tmp_path / "out" / "checkpoint-3" / "checkpoint_files.json", flags, tmp_path)
    reward(flags)
    assert "bfloat16 products: " in capsys.readouterr().out
    straight, resumed = (log_of(folder / "out") for folder in (runs / "bfloat16", tmp_path))
    assert [line for line in straight if line["step"] > 3] == [line for line in resumed if line["step"] > 3]


@pytest.mark.runs
@pytest.mark.distributed
def test_ranks_make_the_same_products(runs, tiny, tmp_path):
    settings = {"sharding": "stage2", "gradient_accumulation_steps": 2, "per_device_train_batch_size": 2}
    train_ranks(six_updates(tiny, tmp_path, bf16=True, **settings), tmp_path)
    assert losses_of(tmp_path) == pytest.approx(losses_of(runs / "bfloat16"), rel=NEAR)


def answers_of(tiny, folder) -> dict:
    rows = [json.loads(line) for line in (tiny / "train.jsonl").read_text().splitlines()[:20]]
    answers = [{"prompt": row["src"][0] + "\n", "response": "\n".join(row["responses"])} for row in rows]
    (folder / "answers.jsonl").write_text("\n".join(map(json.dumps, answers)))
    return data_of(tiny) | dict.fromkeys(("train_dataset_path", "dev_dataset_path"), folder / "answers.jsonl")


TASKS = {
    "adapters": (reward, lambda tiny, folder: data_of(tiny) | {"lora": True, "fp16_opt_level": "O1"}),
    "answers": (sft, answers_of),
    "pairs": (dpo, lambda tiny, folder: pairs_of(tiny) | {"process_reward": ...}),
}


@pytest.mark.runs
@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_them(task, tiny, tmp_path):
    main, settings_of = TASKS[task]
    settings = settings_of(tiny, tmp_path) | {"max_steps": 2, "eval_steps": 2, "warmup_steps": 0}
    for name, bf16 in (("float32", False), ("bfloat16", True)):
        main(write_config(tmp_path / name, **settings, bf16=bf16))
    narrow, wide = losses_of(tmp_path / "bfloat16"), losses_of(tmp_path / "float32")
    assert narrow == pytest.approx(wide, rel=NEAR) and narrow != wide


@pytest.fixture(scope="module")
def model(tiny, tokens):
    folder = str(tiny / "model")
    loaded = patches.load_model(folder, config.load_config(folder), attention.block_attention, "float32")
    multiply_in_bfloat16(loaded)
    return as_reward_model(loaded, tokens)


@pytest.mark.parametrize("seed", range(4))
def test_packed_equals_separate_as_far_as_rounding_allows(model, seed):
    """A shared prefix has one rounded gradient, which is the sum of several where the solutions are separate."""
    solutions = random_solutions(seed)
    loss, gradients, _ = outcome(model, solutions, (False, False, False), 1, label_loss)
    for packing in PACKINGS:
        mine, my_gradients, _ = outcome(model, solutions, packing, 3, label_loss)
        assert mine == pytest.approx(loss, rel=NEAR), packing
        assert np.linalg.norm(my_gradients - gradients) < NEAR * np.linalg.norm(gradients), packing


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"fp16_opt_level": "O2"}, "weights that train are in float32, and with O1 their products are in bfloat16"),
        ({"tensor_parallel_degree": 2}, "tensor_parallel_degree divides them"),
        ({"pipeline_parallel_degree": 2}, "pipeline_parallel_degree divides them"),
        ({"sharding": "stage3"}, "sharding stage3 divides them"),
    ],
)
def test_what_a_cpu_does_not_do_is_refused(settings, reason, tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    assert reason in refusal(capsys, write_config(tmp_path, **data_of(tiny), bf16=True, **settings))
