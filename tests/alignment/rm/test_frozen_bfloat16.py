"""bf16 with lora on a CPU: the frozen weights are held in 16 bits. A run is that in float32 of a model whose weights
were rounded to bfloat16 before."""

import json
import shutil

import numpy as np
import paddle
import pytest
from ml_dtypes import bfloat16
from safetensors.numpy import load_file, save_file

from llm.alignment.dpo.run_dpo import main as dpo
from llm.alignment.rm.flashmask.run_reward import main as reward
from llm.core.model import widen
from llm.finetune.run_finetune import main as sft
from tests.alignment.rm.layout_runs import log_of
from tests.factories import data_of, pairs_of, random_model, save_model, write_config
from tests.runs import kill_at, refusal

RUN = {"lora": True, "max_steps": 6, "eval_steps": 3, "save_steps": 3, "warmup_steps": 1, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def models(tiny, made_once):
    """model, and rounded: in float32, but each weight is a number of bfloat16."""

    def make(folder):
        save_model(random_model("Qwen2", 640, seed=3), folder / "model", tiny / "model")
        shutil.copytree(folder / "model", folder / "rounded")
        file = folder / "rounded" / "model.safetensors"
        file = file if file.is_file() else next((folder / "rounded").glob("*.safetensors"))
        weights = {name: array.astype(bfloat16).astype("float32") for name, array in load_file(file).items()}
        save_file(weights, file, metadata={"format": "np"})

    return made_once("frozen in bfloat16", make)


def sft_data(tiny, folder):
    rows = [json.loads(line) for line in (tiny / "train.jsonl").read_text().splitlines()[:40]]
    answers = [{"prompt": row["src"][0] + "\n", "response": "\n".join(row["responses"])} for row in rows]
    file = folder / "answers.jsonl"
    file.write_text("\n".join(map(json.dumps, answers)))
    return {"train_dataset_path": file, "dev_dataset_path": file}


TASKS = {
    "steps": (reward, {}),
    "new placeholder": (reward, {"add_placeholder_token": True, "placeholder_token": "<step>"}),
    "head": (reward, {"reward_head": "linear", "init_reward_head": True}),
    "answers": (sft, {}),
    "pairs": (dpo, {}),
}


@pytest.fixture(params=TASKS)
def logs_and_adapters(request, models, tiny, tmp_path):
    """(task, logs of both runs, what both trained)"""
    main, settings = TASKS[request.param]
    of_pairs = pairs_of(tiny) | {"process_reward": ...}
    data = {"answers": sft_data(tiny, tmp_path), "pairs": of_pairs}.get(request.param) or data_of(tiny)
    runs = {"held": {"model_name_or_path": models / "model", "bf16": True}}
    runs["rounded"] = {"model_name_or_path": models / "rounded", "bf16": False}
    for name, own in runs.items():
        main(write_config(tmp_path / name, **data | RUN | settings | own))
    outs = [tmp_path / name / "out" for name in runs]
    return request.param, *zip(*((log_of(out), adapters_of(out)) for out in outs), strict=True)


def adapters_of(out) -> dict[str, np.ndarray]:
    return load_file(next(out.glob("peft_model*.safetensors")))


@pytest.mark.runs
def test_a_run_is_that_in_float32_of_the_rounded_model(logs_and_adapters):
    """Where the run itself makes rows for the model, these are rounded, too: its losses are near."""
    task, logs, adapters = logs_and_adapters
    assert all(array.dtype == np.float32 for array in adapters[0].values())
    if task in ("new placeholder", "head"):
        losses = [[line[name] for line in log for name in ("loss", "eval_loss") if name in line] for log in logs]
        assert losses[0] == pytest.approx(losses[1], rel=2e-2) and losses[0] != losses[1]
        return
    for first, second in zip(*logs, strict=True):
        assert first == pytest.approx(second, rel=1e-5, abs=1e-6)
    for name, array in adapters[0].items():
        np.testing.assert_allclose(array, adapters[1][name], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.runs
def test_it_resumes_to_the_losses_of_the_run_that_was_not_killed(models, tiny, tmp_path):
    settings = data_of(tiny) | RUN | {"model_name_or_path": models / "model", "bf16": True}
    reward(write_config(tmp_path / "straight", **settings))
    flags = write_config(tmp_path / "killed", **settings)
    kill_at(tmp_path / "killed" / "out" / "checkpoint-3" / "checkpoint_files.json", flags, tmp_path / "killed")
    reward(flags)
    straight, resumed = (log_of(tmp_path / name / "out") for name in ("straight", "killed"))
    assert [line for line in straight if line["step"] > 3] == [line for line in resumed if line["step"] > 3]


def test_matrices_stay_in_16_bits_and_give_the_gradients_of_wide_ones():
    paddle.seed(0)
    layer = paddle.nn.Sequential(paddle.nn.Linear(6, 5), paddle.nn.Linear(5, 4))
    layer.to(dtype="bfloat16")
    widen.freeze(layer)
    x = paddle.randn([3, 6])
    x.stop_gradient = False
    wide = [(one.weight.astype("float32"), one.bias.astype("float32")) for one in layer]
    widen.compute_in_float32(layer)
    assert [one.weight.dtype for one in layer] == [paddle.bfloat16] * 2
    assert [one.bias.dtype for one in layer] == [paddle.float32] * 2
    (layer(x) ** 2).sum().backward()
    found = x.grad.numpy()
    x.clear_gradient()
    (((x @ wide[0][0] + wide[0][1]) @ wide[1][0] + wide[1][1]) ** 2).sum().backward()
    np.testing.assert_allclose(found, x.grad.numpy(), rtol=1e-6)


def test_divided_weights_are_refused(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    settings = data_of(tiny) | RUN | {"bf16": True, "tensor_parallel_degree": 2}
    assert "tensor_parallel_degree divides them" in refusal(capsys, write_config(tmp_path, **settings))
