"""What a checkpoint must hold for a run to go on from it: the state, and every tensor in its shape and type."""

from __future__ import annotations

import json
from dataclasses import replace

import ml_dtypes
import numpy as np
import paddle
import pytest
from safetensors.numpy import load_file, save_file

from llm.core.checkpoint import checkpoints
from llm.core.checkpoint.contents import STATE, TALLY, Needed, faults
from llm.core.checkpoint.loop_state import SCHEDULE
from llm.core.files import read_json, write_json
from llm.core.model import shapes
from llm.core.model.adapters import lora
from llm.core.model.sizes import Sizes

SIZES = Sizes("qwen2", 24, 8, 12, 2, 2, 1, False, 64)
SUMS = ("steps", "loss")
WHOLE = Needed(
    weights=shapes.of_model(SIZES),
    is_adapter=False,
    is_tied=False,
    bfloat16=False,
    unified=True,
    sums=SUMS,
    best_at_end=False,
)
ADAPTERS = replace(WHOLE, weights=lora.shapes_of_trained(SIZES, 2, ["q_proj"], True), is_adapter=True)
HALVES = replace(WHOLE, bfloat16=True)
OWN = replace(WHOLE, unified=False)
FORMS = {"whole": WHOLE, "adapters": ADAPTERS, "bfloat16": HALVES, "own": OWN}
STATE_VALUES = {
    "best_metric": 0.5,
    "best_model_checkpoint": None,
    "consumed_samples": 8,
    "epoch": 0.25,
    "global_step": 4,
    "log_history": [{"step": 1, "loss": 1.0}],
    "max_steps": 4,
    "num_train_epochs": 1,
}
SUM_VALUES = {"total": {"steps": 4.0, "loss": 3.0}, "seconds": 1.5, "since_last_log": {"steps": 0.0, "loss": 0.0}}


def tensors_of(needed: Needed) -> dict[str, dict[str, np.ndarray]]:
    """{kind of file: tensors}"""
    number = ml_dtypes.bfloat16 if needed.bfloat16 else np.float32
    weights = {name: np.zeros(shape, number) for name, shape in needed.weights.items()}
    moments = {
        f"{name}/{kind}": np.zeros(shape, "float32")
        for name, shape in needed.weights.items()
        for kind in ("moment1_0", "moment2_0")
    }
    powers = {f"{name}/beta{n}_pow_acc_0": np.ones([1], "float32") for name in needed.weights for n in (1, 2)}
    kinds = {"peft_model" if needed.is_adapter else "model": weights, "optimizer": moments | powers}
    if needed.bfloat16:
        kinds["master_weights"] = {name: np.zeros(shape, "float32") for name, shape in needed.weights.items()}
    return kinds


def make(folder, needed: Needed, parts: int = 2):
    folder.mkdir()
    write_json(folder / STATE, STATE_VALUES)
    write_json(folder / TALLY, SUM_VALUES)
    write_json(folder / SCHEDULE, {"last_epoch": 4, "last_lr": 0.001})
    kinds = tensors_of(needed)
    if not needed.unified:
        paddle.save(kinds["model"], str(folder / "model_state.pdparams"))
        numbers = {name: f"linear_{number}.w_0" for number, name in enumerate(needed.weights)}
        state = {
            "_".join([numbers[name.split("/")[0]], name.split("/")[1]]): a for name, a in kinds["optimizer"].items()
        }
        paddle.save(state | {"LR_Scheduler": {"last_epoch": 4}}, str(folder / "optimizer.pdopt"))
        return folder
    for kind, tensors in kinds.items():
        files = [f"{kind}-{part:05d}-of-{parts:05d}.safetensors" for part in range(1, parts + 1)]
        places = {name: files[number % parts] for number, name in enumerate(tensors)}
        for file in files:
            save_file({name: tensors[name] for name in places if places[name] == file}, folder / file)
        more = {"master_weights": needed.bfloat16} if kind == "optimizer" else {}
        write_json(folder / f"{kind}.safetensors.index.json", {"metadata": {}, "weight_map": places} | more)
    return folder


def change(file, edit) -> None:
    tensors = load_file(file) if file.suffix == ".safetensors" else paddle.load(str(file), return_numpy=True)
    edit(tensors)
    save_file(tensors, file) if file.suffix == ".safetensors" else paddle.save(tensors, str(file))


def first_of(folder, kind: str):
    return sorted(path for path in folder.glob(f"{kind}*") if path.suffix != ".json")[0]


def kinds_of(form: str) -> list[str]:
    return list(tensors_of(FORMS[form]))


KINDS = [(form, kind) for form in FORMS for kind in kinds_of(form)]


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_one_has_no_faults(tmp_path, form):
    assert faults(make(tmp_path / "whole", FORMS[form]), FORMS[form]) == []


# ---- tensors


@pytest.mark.slow
@pytest.mark.parametrize(("form", "kind"), KINDS)
def test_a_missing_tensor_is_a_fault_whichever_it_is(tmp_path, form, kind):
    needed = FORMS[form]
    folder = make(tmp_path / "whole", needed)
    file = first_of(folder, kind)
    for name in [name for name in read(file) if name != "LR_Scheduler"]:
        content = file.read_bytes()
        change(file, lambda tensors, name=name: tensors.pop(name))
        found = faults(folder, needed)
        assert found and file.name in " ".join(found), name
        file.write_bytes(content)
    assert faults(folder, needed) == []


def read(file) -> list[str]:
    return list(load_file(file) if file.suffix == ".safetensors" else paddle.load(str(file), return_numpy=True))


@pytest.mark.slow
@pytest.mark.parametrize(("form", "kind"), KINDS)
@pytest.mark.parametrize("becomes", ["float16", "int32", "longer", "flat"])
def test_a_tensor_of_another_shape_or_type_is_a_fault(tmp_path, form, kind, becomes):
    needed = FORMS[form]
    folder = make(tmp_path / "whole", needed)
    file = first_of(folder, kind)

    def edit(tensors):
        name = next(name for name, tensor in tensors.items() if getattr(tensor, "ndim", 0) == 2)
        tensor = tensors[name]
        changed = {"longer": lambda: np.concatenate([tensor, tensor]), "flat": lambda: tensor.reshape(-1)}
        tensors[name] = changed.get(becomes, lambda: np.zeros(tensor.shape, becomes))()

    change(file, edit)
    found = faults(folder, needed)
    assert len(found) == 1 and (file.name in found[0] or f"{kind}.safetensors.index.json" in found[0])


@pytest.mark.slow
@pytest.mark.parametrize(("form", "kind"), KINDS)
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_single_number_that_is_nan_or_infinite_is_a_fault_by_its_tensors_name(tmp_path, form, kind, number):
    needed = FORMS[form]
    folder = make(tmp_path / "whole", needed)
    file = first_of(folder, kind)
    names = []

    def edit(tensors):
        name, tensor = next((name, tensor) for name, tensor in tensors.items() if getattr(tensor, "ndim", 0) == 2)
        tensor = tensor.copy()
        tensor[-1, -1] = number
        tensors[name] = tensor
        names.append(name)

    change(file, edit)
    assert faults(folder, needed) == [f"{file.name} holds NaN or infinite numbers in {names[0]}"]


@pytest.mark.slow
@pytest.mark.parametrize(("form", "kind"), [(form, kind) for form, kind in KINDS if form != "own"])
@pytest.mark.parametrize(
    "damage", ["missing", "named", "not named", "elsewhere", "no map", "not JSON", "list", "number"]
)
def test_an_index_that_does_not_lead_to_all_tensors_is_a_fault(tmp_path, form, kind, damage):
    needed = FORMS[form]
    folder = make(tmp_path / "whole", needed)
    path = folder / f"{kind}.safetensors.index.json"
    index = read_json(path)
    places = index["weight_map"]
    first = next(iter(places))
    named = {
        "named": places[first].replace("00001-of", "00003-of"),
        "elsewhere": f"../whole/{places[first]}",
        "number": 7,
    }
    if damage in named:
        places[first] = named[damage]
    elif damage == "not named":
        del places[first]
    elif damage == "no map":
        del index["weight_map"]
    path.write_text("{" if damage == "not JSON" else json.dumps([index] if damage == "list" else index))
    if damage == "missing":
        path.unlink()
    found = faults(folder, needed)
    assert found and all(path.name in fault or "-of-" in fault for fault in found)


def test_weights_of_a_smaller_model_are_named_with_both_shapes(tmp_path):
    folder = make(tmp_path / "small", replace(WHOLE, weights=shapes.of_model(replace(SIZES, hidden_size=4))))
    found = faults(folder, WHOLE)
    assert "qwen2.norm.weight of model.safetensors.index.json has the shape [4] instead of [8]" in found


def test_a_tied_head_has_its_optimizer_state_under_one_name_or_both(tmp_path):
    """A pipeline keeps it under both, one process under one of them."""
    sizes = replace(SIZES, tie_word_embeddings=True)
    needed = replace(WHOLE, weights=shapes.of_model(sizes), is_tied=True)
    assert faults(make(tmp_path / "both", needed), needed) == []
    for number, lost in enumerate(("lm_head.weight", "qwen2.embed_tokens.weight", "qwen2.norm.weight")):
        folder = make(tmp_path / str(number), needed, parts=1)
        index = read_json(folder / "optimizer.safetensors.index.json")
        index["weight_map"] = {name: file for name, file in index["weight_map"].items() if not name.startswith(lost)}
        write_json(folder / "optimizer.safetensors.index.json", index)
        assert bool(faults(folder, needed)) == (lost == "qwen2.norm.weight")


def test_what_stage3_has_cut_is_in_the_files_of_all_ranks(tmp_path):
    """In flat slices, filled up at the end; vectors are whole in all of them."""
    folder = make(tmp_path / "cut", OWN)
    state = paddle.load(str(folder / "optimizer.pdopt"), return_numpy=True)
    (folder / "optimizer.pdopt").unlink()
    for rank in range(2):
        shard = {}
        for name, tensor in state.items():
            cut = getattr(tensor, "ndim", 0) == 2
            shard[f"slice@{name}" if cut else name] = np.zeros(-(-tensor.size // 2), "float32") if cut else tensor
        paddle.save(shard, str(folder / f"optimizer.shard{rank:02d}.pdopt"))
    assert faults(folder, OWN) == []
    (folder / "optimizer.shard01.pdopt").unlink()
    assert "optimizer.shard00.pdopt: moment1_0 is not there for every parameter" in faults(folder, OWN)[0]


# ---- the state of the training


@pytest.mark.slow
@pytest.mark.parametrize("file", [STATE, TALLY, SCHEDULE])
@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "7", "[" * 100_000, "\xff"])
def test_a_state_that_is_no_object_is_a_fault_by_its_files_name(tmp_path, file, text):
    folder = make(tmp_path / "whole", WHOLE)
    (folder / file).write_bytes(text.encode("latin-1"))
    (fault,) = faults(folder, WHOLE)
    assert fault.startswith(file)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*STATE_VALUES, "misspelt"])
@pytest.mark.parametrize("value", [..., "x", [], {}, True, [1], [{"step": "1"}]])
def test_a_wrong_type_in_the_state_is_a_fault_by_its_name(tmp_path, name, value):
    folder = make(tmp_path / "whole", WHOLE)
    state = {**STATE_VALUES, name: value}
    write_json(folder / STATE, {key: value for key, value in state.items() if value is not ...})
    right = (name, repr(value)) in {("log_history", "[]"), ("best_model_checkpoint", "'x'"), ("misspelt", "Ellipsis")}
    found = faults(folder, WHOLE)
    assert found == [] if right else found == [f"{STATE} has a wrong or missing value of {name}"]


@pytest.mark.slow
@pytest.mark.parametrize("group", ["total", "since_last_log", "seconds", "seconds_since_last_log"])
@pytest.mark.parametrize("value", [..., "x", [], None, {}, {"steps": 1.0}, {"steps": 1.0, "loss": "x"}])
def test_a_wrong_sum_is_a_fault_by_its_name(tmp_path, group, value):
    folder = make(tmp_path / "whole", WHOLE)
    sums = {**SUM_VALUES, group: value}
    write_json(folder / TALLY, {key: value for key, value in sums.items() if value is not ...})
    found = faults(folder, WHOLE)
    if (group, value) == ("seconds_since_last_log", ...):
        assert found == []
    else:
        (fault,) = found
        assert fault.startswith(f"{TALLY} has a wrong or missing value of ") and group in fault


# ---- the best model


def test_the_best_model_so_far_must_be_whole_if_the_run_ends_with_it(tmp_path):
    best, folder = make(tmp_path / "best", WHOLE), make(tmp_path / "last", WHOLE)
    checkpoints.mark_complete(best)
    write_json(folder / STATE, {**STATE_VALUES, "best_model_checkpoint": str(best)})
    needed = replace(WHOLE, best_at_end=True)
    assert faults(folder, needed) == []
    optimizer, model = first_of(best, "optimizer"), first_of(best, "model")
    optimizer.write_bytes(b"")  # which is not loaded again
    assert faults(folder, needed) == []
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    (fault,) = faults(folder, needed)
    assert str(best) in fault and model.name in fault
    assert faults(folder, WHOLE) == []
