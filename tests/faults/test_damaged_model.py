"""Every command that reads a model refuses one whose files are not those that were saved, by the file's name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from llm.alignment.dpo.run_dpo import main as on_pairs
from llm.alignment.rm.flashmask.run_reward import main as train
from llm.core.model.whole import LIST
from llm.evaluation.calibrate import main as calibrate
from llm.evaluation.evaluate import main as evaluate
from llm.export.export import main as export
from llm.export.merge_lora import main as merge
from llm.finetune.run_finetune import main as finetune
from llm.scoring.score import main as score
from llm.search.search import main as search
from llm.serving.serve import main as serve
from tests.factories import six_updates
from tests.faults import forms
from tests.runs import refusal

pytestmark = pytest.mark.runs

COMMANDS = {
    "score": (score, lambda model, data, out: [model, data, out]),
    "serve": (serve, lambda model, data, out: [model]),
    "evaluate": (evaluate, lambda model, data, out: ["steps", model, data, "--output", out]),
    "calibrate": (calibrate, lambda model, data, out: [model, data, "--output", out]),
    "export": (export, lambda model, data, out: [model, out, "--to", "token-classification"]),
    "search": (search, lambda model, data, out: [model, data, out, "--generator", "arithmetic"]),
    "search, as generator": (
        search,
        lambda model, data, out: [data.parents[1] / ".pdparams/out", data, out, "--generator", model],
    ),
}


@pytest.fixture(scope="session")
def base(made_once):
    return made_once("faults", lambda folder: forms.make(folder, ("full", "LoRA", ".pdparams")))


def flip(file: Path) -> str:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    return f"{file.name} has changed since it was saved"


def weights_in(folder: Path) -> Path:
    return next(folder.glob("*model-00001-of-00001.safetensors"))


@pytest.fixture
def copied(base, tmp_path):
    return lambda form: Path(shutil.copytree(base / form / "out", tmp_path / "model"))


@pytest.mark.parametrize("form", ["full", "LoRA"])
@pytest.mark.parametrize("name", COMMANDS)
def test_what_reads_a_finished_model(base, copied, tmp_path, capsys, name, form):
    command, arguments = COMMANDS[name]
    model = copied(form)
    fault = flip(weights_in(model))
    given = arguments(model, base / "tiny/dev.jsonl", tmp_path / "written")
    message = refusal(capsys, list(map(str, given)), command)
    assert fault in message and "Copy the folder again" in message and LIST in message


def test_merge_lora_reads_the_adapters_and_their_base(base, tmp_path, copied, capsys):
    model = copied("LoRA")
    arguments = [str(model), str(tmp_path / "merged")]
    merge(arguments)
    shutil.rmtree(tmp_path / "merged")
    fault = flip(weights_in(model))
    assert fault in refusal(capsys, arguments, merge) and not (tmp_path / "merged").exists()


def test_a_training_on_pairs_reads_its_reference(base, copied, tmp_path, capsys):
    reference, pairs = copied("full"), base / "tiny/pairs.jsonl"
    fault = flip(weights_in(reference))
    settings = {"train_dataset_path": pairs, "dev_dataset_path": pairs, "reference_model_name_or_path": reference}
    assert fault in refusal(capsys, six_updates(base / "tiny", tmp_path, **settings), on_pairs)
    (reference / "config.json").write_text("{}")
    message = refusal(capsys, six_updates(base / "tiny", tmp_path, **settings), on_pairs)
    assert "reference_model_name_or_path: " in message and "config.json has 2 bytes instead of" in message


@pytest.mark.parametrize("command", [train, finetune])
def test_a_training_reads_the_model_or_the_checkpoint_that_it_starts_from(base, copied, tmp_path, capsys, command):
    model = copied("full")
    checkpoint, dialogues = model / "checkpoint-2", tmp_path / "dialogues.jsonl"
    dialogues.write_text('{"src": ["Hi\\n"], "tgt": ["Hello"]}\n')
    data = {"train_dataset_path": dialogues, "dev_dataset_path": dialogues} if command is finetune else {}

    def refused(start: Path) -> str:
        flags = six_updates(base / "tiny", tmp_path, model_name_or_path=start, **data)
        return refusal(capsys, flags, command)

    fault = flip(weights_in(model))
    message = refused(model)
    assert f"{model} is not the model that was saved there: {fault}" in message
    fault = flip(weights_in(checkpoint))
    assert f"{checkpoint} is a damaged checkpoint: {fault}" in refused(checkpoint)
    (checkpoint / "checkpoint_files.json").unlink()
    assert "half-written" in refused(checkpoint)
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_adapters_read_a_base_that_is_a_finished_model(base, copied, tmp_path, capsys):
    """Wherever it is now."""
    model = copied("full")
    flags = six_updates(base / "tiny", tmp_path, model_name_or_path=model, max_steps=1, do_eval=False, lora=True)
    train(flags)
    moved = model.rename(tmp_path / "moved")
    config = tmp_path / "out/lora_config.json"
    config.write_text(config.read_text().replace(str(model), str(moved)))
    merge([str(tmp_path / "out"), str(tmp_path / "merged")])
    (moved / "config.json").write_text((moved / "config.json").read_text() + " ")
    message = refusal(capsys, [str(tmp_path / "out"), str(tmp_path / "again")], merge)
    assert f"{moved} is not the model that was saved there: config.json has" in message
