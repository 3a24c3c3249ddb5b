"""The demo's parts: a tokenizer that behaves as Mistral's, a warm-up that lowers the loss, an outcome in one line."""

import json

import numpy as np
import pytest

from llm.core.rows.batch import collate
from llm.core.rows.prefix_tree import lone_tree
from llm.core.rows.row import make_row
from llm.core.text.reward_tokens import ids_in_context
from llm.demo import run_demo
from llm.demo.tiny_model import random_model
from llm.demo.warm_up import as_sequence, next_token_loss, warm_up


def test_placeholder_and_reward_tokens_are_single_in_context_and_other_ids_when_glued(tokenizer):
    for text in ("ки", "+", "-"):
        alone = ids_in_context(tokenizer, " " + text)
        assert len(alone) == 1
        assert tokenizer.convert_ids_to_tokens(alone) == ["▁" + text]
    assert ids_in_context(tokenizer, "ки") != ids_in_context(tokenizer, " ки")
    assert tokenizer.convert_ids_to_tokens(ids_in_context(tokenizer, "\n")) == ["<0x0A>"]


def test_equal_seeds_make_equal_weights():
    one, same, other = (random_model(320, seed).state_dict() for seed in (1, 1, 2))
    name = "llama.layers.0.self_attn.q_proj.weight"
    assert np.array_equal(one[name].numpy(), same[name].numpy())
    assert not np.array_equal(one[name].numpy(), other[name].numpy())


def test_warm_up_lowers_the_loss_of_text_it_has_not_read(tokenizer):
    from llm.core import patches
    from llm.core.model import attention

    patches.apply_to_models(attention.block_attention)
    model = random_model(len(tokenizer), seed=0)
    text = as_sequence(tokenizer, "In the morning Ben has 9 shells. He pays 5, so 9 - 5 = 4.")
    batch = collate([make_row([lone_tree(text)])], 0)
    before = float(next_token_loss(model, batch))
    warm_up(model, tokenizer, tokens=20_000, seed=3)
    assert float(next_token_loss(model, batch)) < before - 1


def test_next_token_loss_never_looks_into_the_next_text(tokenizer):
    """Two packed texts have the loss of each alone, weighted by their tokens."""
    from llm.core import patches
    from llm.core.model import attention

    patches.apply_to_models(attention.block_attention)
    model = random_model(len(tokenizer), seed=0)
    texts = [as_sequence(tokenizer, text) for text in ("4+3=7 right", "He pays 5, so 9 - 5 = 4.")]
    alone = [float(next_token_loss(model, collate([make_row([lone_tree(text)])], 0))) for text in texts]
    together = float(next_token_loss(model, collate([make_row([lone_tree(text) for text in texts])], 0)))
    assert together == pytest.approx(np.average(alone, weights=[len(text) - 1 for text in texts]), rel=1e-5)


def test_the_outcome_is_one_json_line_of_what_the_run_wrote(tmp_path):
    (tmp_path / "train_results.json").write_text('{"train_seconds": 12.5}')
    metrics = {"eval_loss": 0.1, "eval_accuracy": 0.97, "eval_error_f1": 0.95, "eval_auc": 0.99}
    (tmp_path / "eval_results.json").write_text(json.dumps(metrics))
    assert run_demo.outcome(tmp_path) == {"train_seconds": 12.5, **metrics, "output_dir": str(tmp_path)}


def test_three_solutions_are_right_wrong_in_the_middle_and_wrong_at_the_end(tmp_path):
    from llm.data.generate_arithmetic import records, write

    write(tmp_path / "dev.jsonl", records(200, split="dev"))
    chosen = run_demo.three_solutions(tmp_path / "dev.jsonl")
    right, middle, end = ("".join(chosen[title]["labels"]) for title in chosen)
    assert len({chosen[title]["src"][0] for title in chosen}) == 1
    assert "-" not in right and middle.count("-") == 1 and "-" not in (middle[0], middle[-1])
    assert end.count("-") == 1 and end[-1] == "-"
