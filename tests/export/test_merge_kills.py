"""merge-lora is all or nothing: killed at any file operation, the same command then makes the whole model."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from llm.alignment.rm.flashmask.reward_format import load_format
from llm.alignment.rm.flashmask.run_reward import main as train
from llm.core.model.whole import LIST, read_whole
from llm.export import merging
from llm.export.merge_lora import main
from llm.export.merging import merge
from llm.scoring.conventions.find import is_of_this_project
from tests.factories import six_updates
from tests.kills import kills
from tests.runs import refusal

pytestmark = pytest.mark.runs


@pytest.fixture
def adapter(made_once, tiny, tmp_path) -> Path:
    """A copy of the output_dir of a run with lora true."""
    settings = {"lora": True, "max_steps": 1, "do_eval": False, "save_strategy": "no"}
    made = made_once("adapter to merge", lambda folder: train(six_updates(tiny, folder, **settings)))
    return Path(shutil.copytree(made / "out", tmp_path / "adapter"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_kill_at_any_file_operation_leaves_nothing_or_the_whole_model(adapter, tmp_path, monkeypatch):
    merge(adapter, tmp_path / "expected")
    expected, out = files(tmp_path / "expected"), tmp_path / "out"
    merged = merging.load_merged(adapter, load_format(adapter).tokens)
    monkeypatch.setattr(merging, "load_merged", lambda *_: merged)  # what takes time, and writes nothing
    monkeypatch.setattr(os, "fsync", lambda file: None)

    outcomes = []
    for _ in kills(lambda: merge(adapter, out), ready=lambda: shutil.rmtree(out, ignore_errors=True)):
        outcomes.append(is_whole(out))
        if outcomes[-1]:
            assert {name: content for name, content in files(out).items() if name[0] != "."} == expected
        merge(adapter, out)
        assert files(out) == expected
    assert len(outcomes) > 30 and outcomes == sorted(outcomes)


def is_whole(folder: Path) -> bool:
    """Whether the Scorer takes it."""
    try:
        with read_whole(folder):
            if is_of_this_project(folder):
                load_format(folder)
            return (folder / LIST).exists()
    except ValueError as error:
        assert "files of two models" in str(error)
        return False


DAMAGES = {
    "lora_config.json": [
        {"r": "4"},
        {"r": True},
        {"r": 1 << 40},
        {"r": 0},
        {"r": 5},
        {"lora_alpha": None},
        {"lora_alpha": [1]},
        {"target_modules": "q_proj"},
        {"target_modules": []},
        {"target_modules": [[1]]},
        {"target_modules": ["(a+)+$"]},
        {"trainable_modules": 7},
        {"base_model_name_or_path": None},
        {"base_model_name_or_path": ["x"]},
        {"do_qat": True},
        {"lora_dropout": "0"},
        {"unheard_of": 1},
    ],
    "lora_base.json": [{"weights": 7}, {"weights": None}, {"weights": "crc32 b8d1w0d3"}],
    "settings.json": [{"max_steps": "3"}, {"lora": 1}, {"train_dataset_path": 7}],
    "reward_format.json": [{"max_seq_len": "9"}, {"max_seq_len": 3}, {"process_reward": 1}, {"reward_tokens": "+"}],
    "finished-model.json": [{"files": 7}, {"files": ["nowhere.json"]}],
}


@pytest.mark.parametrize("name", DAMAGES)
def test_wrong_values_get_a_message_with_the_files_name_and_write_nothing(adapter, tmp_path, capsys, name):
    file, out = adapter / name, tmp_path / "out"
    if name != LIST:
        (adapter / LIST).unlink()  # which would say that the file has changed
    right = json.loads(file.read_text())
    for text in [*(json.dumps(right | change) for change in DAMAGES[name]), "[]", "7", "{", "\xff", '{"a": NaN}', "{}"]:
        file.write_text(text, encoding="latin-1")
        message = refusal(capsys, [str(adapter), str(out)], main)
        assert name in message and "Traceback" not in message, text
        assert not out.exists()
    file.write_text(json.dumps(right))
    main([str(adapter), str(out)])


def test_a_folder_without_a_file_of_its_tokenizer_is_not_scored(adapter, tmp_path, capsys):
    main([str(adapter), str(tmp_path / "out")])
    (tmp_path / "out/tokenizer.json").unlink()
    assert not (tmp_path / "out/tokenizer.json").exists()
    with pytest.raises(ValueError, match="tokenizer.json is missing"), read_whole(tmp_path / "out"):
        pass
