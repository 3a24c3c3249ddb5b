"""Runs that find a damaged checkpoint: they go on from the last whole one as if they had been stopped there, or they
end and say what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import paddle
import pytest
from safetensors.numpy import load_file

from llm.alignment.rm.flashmask.reward_run import resolve_run
from llm.alignment.rm.flashmask.reward_start import learner_of
from llm.alignment.rm.flashmask.reward_task import read_format
from llm.alignment.rm.flashmask.run_reward import main
from llm.core.checkpoint import checkpoints, contents
from llm.core.run.work import needed_of_checkpoint
from tests.factories import six_updates
from tests.runs import STACK, assert_same_runs, ends_of_ranks, refusal, train_ranks

pytestmark = pytest.mark.runs

KEEP_LAST = {"load_best_model_at_end": False, "max_steps": 4, "save_steps": 2, "eval_steps": 2}
OWN, LORA = {"unified_checkpoint": False}, {"lora": True, "lora_rank": 2}
FORMS = {  # (processes, settings)
    "full": (1, {}),
    "LoRA": (1, LORA),
    "own": (1, OWN),
    "LoRA own": (1, LORA | OWN),
    "stage3": (2, {"sharding": "stage3", "per_device_train_batch_size": 2}),
    "stage3 own": (2, OWN | {"sharding": "stage3", "per_device_train_batch_size": 2}),
}


def flags_of(tiny: Path, folder: Path, form: str, **changes) -> list[str]:
    return six_updates(tiny, folder, **KEEP_LAST | FORMS[form][1] | changes)


def run(tiny: Path, folder: Path, form: str, **changes) -> str:
    """What it showed on the screen."""
    folder.mkdir(exist_ok=True)
    return train_ranks(flags_of(tiny, folder, form, **changes), folder, FORMS[form][0])


@pytest.fixture
def straight(tiny, made_once):
    """straight(form): the output_dir of a run that was not disturbed, with checkpoints 2 and 4."""
    return lambda form: made_once(f"damaged, {form}", lambda folder: run(tiny, folder, form)) / "out"


@pytest.fixture
def copied(straight, tmp_path):
    """The same as a copy that may be damaged."""

    def copy(form: str) -> Path:
        return Path(shutil.copytree(straight(form), tmp_path / "out"))

    return copy


def flip(file: Path, byte: int = -1, bit: int = 0) -> None:
    content = bytearray(file.read_bytes())
    content[byte] ^= 1 << bit
    file.write_bytes(content)


def weights_file(folder: Path) -> Path:
    """Of the model or its adapters."""
    kinds = ("model-*.safetensors", "peft_model-*.safetensors", "model_state.pdparams", "lora_model_state.pdparams")
    return min(path for kind in kinds for path in folder.glob(kind))


@pytest.mark.parametrize("form", FORMS)
def test_what_a_run_saves_is_all_that_it_needs_and_a_flipped_bit_in_any_of_its_files_is_noticed(
    tiny, straight, tmp_path, form
):
    run = resolve_run(flags_of(tiny, tmp_path, form), "")
    needed = needed_of_checkpoint(run, learner_of(run, read_format(run)))
    whole, folder = straight(form) / "checkpoint-4", tmp_path / "checkpoint-4"
    assert checkpoints.faults(whole) == [] and contents.faults(whole, needed) == []
    shutil.copytree(whole, folder)
    files = [path for path in checkpoints.files_in(folder) if path.stat().st_size]
    assert len(files) > 10
    for path in files:
        content = path.read_bytes()
        for byte, bit in ((0, 7), (len(content) // 2, 1), (-1, 0)):
            flip(path, byte, bit)
            found = checkpoints.faults(folder)
            assert found and (path.name == checkpoints.FILE_LIST or str(path.relative_to(folder)) in found[0])
            path.write_bytes(content)


@pytest.mark.distributed
@pytest.mark.parametrize("form", FORMS)
def test_the_run_goes_on_from_the_last_whole_one_as_one_that_was_not_disturbed(tiny, straight, copied, tmp_path, form):
    """All ranks from the same one, also where the file of the last rank is damaged."""
    out = copied(form)
    last = out / "checkpoint-4"
    damaged = weights_file(last) if FORMS[form][0] == 1 else max(last.glob("optimizer*0*"))
    flip(damaged)
    shown = run(tiny, tmp_path, form)
    assert f"ignored checkpoint-4: it is damaged: {damaged.name} has changed since it was saved" in shown
    assert f"starts from: {out / 'checkpoint-2'}" in shown
    assert_same_runs(straight(form), out)
    assert tensors_of(weights_file(straight(form))) == tensors_of(weights_file(out))


def tensors_of(file: Path) -> dict[str, list]:
    if file.suffix == ".safetensors":
        return {name: tensor.tolist() for name, tensor in load_file(file).items()}
    return {name: tensor.tolist() for name, tensor in paddle.load(str(file), return_numpy=True).items()}


@pytest.mark.distributed
def test_all_ranks_are_refused_where_every_checkpoint_is_damaged(tiny, copied, tmp_path):
    out = copied("stage3")
    for folder in checkpoints.all_checkpoints(out):
        flip(weights_file(folder))
    for end in ends_of_ranks(flags_of(tiny, tmp_path, "stage3"), tmp_path):
        assert end.code == 2 and STACK not in end.shown
        assert f"every checkpoint in {out} is damaged" in end.shown


@pytest.mark.parametrize("form", ["full", "LoRA", "own"])
def test_a_run_is_refused_where_every_checkpoint_is_damaged_until_told_what_to_do(tiny, copied, tmp_path, form, capsys):
    out = copied(form)
    for folder in checkpoints.all_checkpoints(out):
        flip(weights_file(folder))
    model = weights_file(out).read_bytes()
    message = refusal(capsys, flags_of(tiny, tmp_path, form))
    name = weights_file(out / "checkpoint-4").name
    assert f"checkpoint-4: {name} has changed" in message and f"checkpoint-2: {name} has changed" in message
    assert weights_file(out).read_bytes() == model
    given = out / "checkpoint-4"
    message = refusal(capsys, flags_of(tiny, tmp_path, form, resume_from_checkpoint=given))
    assert f"resume_from_checkpoint: {given} is not a whole checkpoint of this script: {name} has" in message
    assert main(flags_of(tiny, tmp_path, form, overwrite_output_dir=True, max_steps=1))["train_steps"] == 1


@pytest.mark.parametrize("file", [contents.STATE, contents.TALLY, checkpoints.IDENTITY, checkpoints.FILE_LIST])
def test_a_state_of_wrong_types_gets_a_message_by_its_files_name(tiny, copied, tmp_path, file, capsys):
    """Also where its checksum is right, as in one that was written by hand."""
    out = copied("full")
    for folder in checkpoints.all_checkpoints(out):
        values = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(list(values)))
        if file != checkpoints.FILE_LIST:
            checkpoints.mark_complete(folder)
    assert f"checkpoint-4: {file} is a list, not an object" in refusal(capsys, flags_of(tiny, tmp_path, "full"))


def test_an_index_that_names_a_file_that_is_not_there_does_not_load_nothing(tiny, straight, copied, tmp_path, capsys):
    """One flipped bit in an early checkpoint, whose list has sizes alone."""
    out = copied("full")
    folder = out / "checkpoint-4"
    index = folder / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00001-of", "model-00000-of"))
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.name != checkpoints.FILE_LIST}
    (folder / checkpoints.FILE_LIST).write_text(json.dumps(sizes))
    main(flags_of(tiny, tmp_path, "full"))
    assert "it is damaged: model-00000-of-00001.safetensors is missing" in capsys.readouterr().out
    assert_same_runs(straight("full"), out)


def test_a_run_that_ends_with_its_best_model_goes_on_from_where_that_is_made_again(tiny, tmp_path, capsys):
    changes = {"load_best_model_at_end": True, "learning_rate": 1e-4}
    flags = flags_of(tiny, tmp_path, "full", **changes)
    main(flags)
    out, other = tmp_path / "out", tmp_path / "straight"
    shutil.copytree(out, other)
    state = json.loads((out / "checkpoint-4" / contents.STATE).read_text())
    assert Path(state["best_model_checkpoint"]).name == "checkpoint-4"
    flip(weights_file(out / "checkpoint-4"))
    main(flags)
    assert f"starts from: {out / 'checkpoint-2'}" in capsys.readouterr().out
    assert_same_runs(other, out)
    flip(weights_file(out / "checkpoint-2"))
    state["best_model_checkpoint"] = str(out / "checkpoint-2")
    (out / "checkpoint-4" / contents.STATE).write_text(json.dumps(state))
    checkpoints.mark_complete(out / "checkpoint-4")
    message = refusal(capsys, flags)
    assert f"checkpoint-4: {contents.STATE} names {out / 'checkpoint-2'} as the best so far: there model" in message


def test_a_best_model_that_was_damaged_in_the_meantime_does_not_become_the_final_one(
    tiny, tmp_path, monkeypatch, capsys
):
    changes = {"load_best_model_at_end": True, "learning_rate": 1e-4}
    mark_complete = checkpoints.mark_complete

    def damaged(folder):
        mark_complete(folder)
        flip(weights_file(folder), byte=20)  # in the header, over which a library stumbles

    monkeypatch.setattr(checkpoints, "mark_complete", damaged)
    message = refusal(capsys, flags_of(tiny, tmp_path, "full", **changes))
    assert "load_best_model_at_end: the best model is in" in message and "which is damaged: model" in message
    assert not any((tmp_path / "out").glob("*.safetensors"))
