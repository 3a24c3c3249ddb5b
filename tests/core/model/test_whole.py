"""A finished model, or a checkpoint that is read as a model, is what was saved, or is refused with the file's name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.core import file_list
from llm.core.checkpoint.checkpoints import mark_complete
from llm.core.files import read_json, write_json
from llm.core.model.folder import find_model
from llm.core.model.replacement import staged
from llm.core.model.whole import FILES, LIST, WEIGHTS, problem_of, read_whole

LORA = json.dumps({"r": 4, "lora_alpha": 8, "base_model_name_or_path": "/old/place"})
MODEL = {"config.json": "{}", "model.safetensors": "weights", "tokenizer.json": "[1]", "lora_config.json": LORA}
LOG, RESULTS = "trainer_state.json", "train_results.json"


def put(folder: Path) -> Path:
    with staged(folder) as unfinished:
        for name, text in (MODEL | {LOG: "[]", RESULTS: "[]"}).items():
            (unfinished / name).write_text(text)
    return folder


def checkpoint(folder: Path, files: dict[str, str] | None = None) -> Path:
    folder.mkdir(parents=True)
    for name, text in (files or MODEL | {"optimizer-00001-of-00001.safetensors": "moments"}).items():
        (folder / name).write_text(text)
    return folder


@settings(max_examples=20)
@given(data=st.data())
def test_a_file_that_has_changed_is_named_with_what_to_do(tmp_path_factory, data):
    folder = put(tmp_path_factory.mktemp("model"))
    assert problem_of(folder) is None
    name = data.draw(st.sampled_from(sorted(set(MODEL) - {"lora_config.json"})))
    content = bytearray((folder / name).read_bytes())
    kind = data.draw(st.sampled_from(["flip", "cut", "missing"]))
    if kind == "missing":
        (folder / name).unlink()
    elif kind == "cut":
        (folder / name).write_bytes(content[:-1])
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        (folder / name).write_bytes(content)
    with pytest.raises(ValueError) as refusal, read_whole(folder):
        pass
    said = {"flip": "has changed since it was saved", "cut": "bytes instead of", "missing": "is missing"}[kind]
    assert f"{name} {said}" in str(refusal.value).replace(f"has {len(content) - 1:,} bytes", "bytes")
    assert "Copy the folder again" in str(refusal.value) and f"delete {LIST}" in str(refusal.value)
    (folder / LIST).unlink()
    assert problem_of(folder) is None, "a folder without a list is read as it is"


def test_what_changes_after_the_model_was_finished_is_no_fault(tmp_path):
    """The log, to which an evaluation is added; files of other commands; and where the base of adapters is now."""
    folder = put(tmp_path)
    (folder / LOG).write_text('["more"]')
    (folder / RESULTS).write_text("{}")
    (folder / "calibration.json").write_text("{}")
    moved = json.loads(LORA) | {"base_model_name_or_path": "/new/place"}
    write_json(folder / "lora_config.json", moved)
    assert problem_of(folder) is None
    write_json(folder / "lora_config.json", moved | {"lora_alpha": 9})
    assert "lora_config.json has changed" in (problem_of(folder) or "")
    (folder / "lora_config.json").write_text(LORA)
    (folder / LOG).unlink()
    assert f"{LOG} is missing" in (problem_of(folder) or "")


def test_the_list_of_an_early_version_has_the_names_alone(tmp_path):
    folder = put(tmp_path)
    write_json(folder / LIST, {FILES: sorted(read_json(folder / LIST)[FILES])})
    (folder / "model.safetensors").write_text("others")
    assert problem_of(folder) is None
    (folder / "model.safetensors").unlink()
    assert "model.safetensors is missing" in (problem_of(folder) or "")


@pytest.mark.parametrize("fact", [None, 7.0, True, "x", [], {}, {"size": 7}, {"size": "7", "checksum": "x"}, {"a": 1}])
def test_a_list_that_says_something_else_of_a_file_is_refused(tmp_path, fact):
    folder = put(tmp_path)
    facts = read_json(folder / LIST)[FILES]
    write_json(folder / LIST, {FILES: facts | {"model.safetensors": fact}})
    assert f"{LIST} has no size and checksum for model.safetensors" in (problem_of(folder) or "")


def test_a_checkpoint_is_read_as_a_model_if_the_files_of_its_model_are_those_of_its_list(tmp_path):
    folder = checkpoint(tmp_path / "out/checkpoint-5")
    mark_complete(folder)
    (folder / "optimizer-00001-of-00001.safetensors").unlink()  # its model is whole without
    assert problem_of(folder) is None
    shutil.copytree(folder, tmp_path / "copied")
    for place in (folder, tmp_path / "copied"):
        (place / "model.safetensors").write_text("weighty")
        with pytest.raises(ValueError, match="damaged checkpoint: model.safetensors has changed"), read_whole(place):
            pass


@pytest.mark.parametrize("sign", ["checkpoint-5/reward_format.json", "run-in-progress/settings.json", "settings.json"])
def test_a_half_written_checkpoint_is_refused_and_one_of_another_program_is_not(tmp_path, sign, monkeypatch):
    folder = checkpoint(tmp_path / "checkpoint-5", MODEL | {"trainer_state.json": "{}"})
    assert problem_of(folder) is None
    (tmp_path / sign).parent.mkdir(exist_ok=True)
    (tmp_path / sign).write_text("{}")
    (tmp_path / "newest").symlink_to(folder)
    monkeypatch.chdir(folder)
    for place in (folder, tmp_path / "newest", Path(".")):
        assert "half-written" in (problem_of(place) or "")


def test_a_setting_that_names_a_model_reads_all_but_the_weights_and_one_that_names_a_tokenizer_that_alone(tmp_path):
    """The weights are read when they are loaded."""
    folder = checkpoint(tmp_path / "model", {})
    with staged(folder) as unfinished:
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (unfinished / name).write_text(MODEL[name])
    (folder / "model.safetensors").write_text("weighty")
    assert find_model(str(folder)) == str(folder)
    (folder / "model.safetensors").write_text("w")
    with pytest.raises(ValueError, match="model_name_or_path: .* model.safetensors has 1 bytes instead of 7"):
        find_model(str(folder))
    assert find_model(str(folder), "tokenizer_name_or_path") == str(folder)
    (folder / "tokenizer.json").write_text("[2]")
    with pytest.raises(ValueError, match="tokenizer_name_or_path: .*: tokenizer.json has changed"):
        find_model(str(folder), "tokenizer_name_or_path")


def test_files_that_are_not_to_be_read_are_looked_at_for_their_size(tmp_path):
    folder = put(tmp_path)
    (folder / "model.safetensors").write_text("weighty")
    assert problem_of(folder, unread=WEIGHTS) is None and problem_of(folder)
    assert problem_of(folder, only=("config.json",)) is None
    assert file_list.faults(folder, {"..": {"changes": True}}, "list") == [".. is missing"]
