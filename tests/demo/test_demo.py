"""The demo's parts: a tokenizer that behaves as Mistral's, a base model that learns to read, an outcome in one line."""

import json

import numpy as np
import pytest

from llm.core.paths import REPOSITORY
from llm.core.text.reward_tokens import ids_in_context
from llm.data.generate_arithmetic import right_solutions, solution_text, texts, write
from llm.demo import run_demo, tiny_model
from llm.demo.run_demo import OF_BASE
from llm.finetune import run_finetune
from tests.runs import history


def test_placeholder_and_reward_tokens_are_single_in_context_and_other_ids_when_glued(tokenizer):
    for text in ("ки", "+", "-"):
        alone = ids_in_context(tokenizer, " " + text)
        assert len(alone) == 1
        assert tokenizer.convert_ids_to_tokens(alone) == ["▁" + text]
    assert ids_in_context(tokenizer, "ки") != ids_in_context(tokenizer, " ки")
    assert tokenizer.convert_ids_to_tokens(ids_in_context(tokenizer, "\n")) == ["<0x0A>"]


def test_equal_seeds_make_equal_weights():
    one, same, other = (tiny_model.random_model(320, seed).state_dict() for seed in (1, 1, 2))
    name = "llama.layers.0.self_attn.q_proj.weight"
    assert np.array_equal(one[name].numpy(), same[name].numpy())
    assert not np.array_equal(one[name].numpy(), other[name].numpy())


@pytest.mark.runs
def test_the_base_model_learns_to_predict_the_texts(tmp_path, monkeypatch):
    """With the demo's own configuration, from its own model and texts."""
    monkeypatch.chdir(tmp_path)
    settings = json.loads((REPOSITORY / OF_BASE).read_text())
    tiny_model.make(tmp_path / settings["model_name_or_path"])
    assert write(tmp_path / settings["train_dataset_path"], texts(100)) == 400
    flags = ["--max_steps", "40", "--logging_steps", "10", "--warmup_steps", "10"]
    run_finetune.main([str(REPOSITORY / OF_BASE), *flags])
    losses = [values["loss"] for values in history(tmp_path / settings["output_dir"]).values()]
    assert losses[-1] < losses[0] - 1


def test_texts_ask_nothing_and_are_solutions_as_reward_models_read_them_and_pages():
    first, *pages = [text["response"] for text in texts(1)]
    question, steps = next(right_solutions(1))
    assert first == solution_text(question, steps) and first.count(" ки") == len(steps)
    assert [len(page.splitlines()) for page in pages] == [8, 8, 8] and {text["prompt"] for text in texts(3)} == {""}


def test_the_outcome_is_one_json_line_of_what_the_run_wrote(tmp_path):
    (tmp_path / "train_results.json").write_text('{"train_seconds": 12.5}')
    metrics = {"eval_loss": 0.1, "eval_accuracy": 0.97, "eval_error_f1": 0.95, "eval_auc": 0.99}
    (tmp_path / "eval_results.json").write_text(json.dumps(metrics))
    assert run_demo.outcome(tmp_path) == {"train_seconds": 12.5, **metrics, "output_dir": str(tmp_path)}


def test_three_solutions_are_right_wrong_in_the_middle_and_wrong_at_the_end(tmp_path):
    from llm.data.generate_arithmetic import records

    write(tmp_path / "dev.jsonl", records(200, split="dev"))
    chosen = run_demo.three_solutions(tmp_path / "dev.jsonl")
    right, middle, end = ("".join(chosen[title]["labels"]) for title in chosen)
    assert len({chosen[title]["src"][0] for title in chosen}) == 1
    assert "-" not in right and middle.count("-") == 1 and "-" not in (middle[0], middle[-1])
    assert end.count("-") == 1 and end[-1] == "-"
