"""A merged model scores as its adapters do, has the weights that arithmetic says, and is a plain causal LM."""

import json

import numpy as np
import paddle
import pytest
from safetensors.numpy import load_file

from llm.alignment.rm.flashmask.run_reward import main as train
from llm.core.text.load_tokenizer import load_tokenizer
from llm.export.merge_lora import main
from llm.scoring.scorer import Scorer
from tests.factories import random_model, read_lines, save_model
from tests.runs import refusal

pytestmark = pytest.mark.runs

BASES = {
    "Llama": ("Llama", {}),
    "Llama, tied": ("Llama", {"tie_word_embeddings": True}),
    "Mistral": ("Mistral", {}),
    "Qwen2": ("Qwen2", {"tie_word_embeddings": False}),
    "Qwen3": ("Qwen3", {}),
    "Qwen2, tied": ("Qwen2", {"tie_word_embeddings": True}),
}
RANK, ALPHA = 4, 6


@pytest.fixture(params=BASES)
def base(request, tokenizer, tmp_path):
    """A folder with random weights, biases included."""
    family, changes = BASES[request.param]
    model = random_model(family, len(tokenizer), seed=11, **changes)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.set_value(paddle.randn(parameter.shape) * 0.1)
    tokenizer.save_pretrained(str(tmp_path / "base"))
    return save_model(model, tmp_path / "base")


@pytest.fixture
def adapter(base, settings_of, tmp_path):
    """The output_dir of a short training with a high rate."""
    return trained(base, settings_of, tmp_path / "adapter")


def trained(base, settings_of, out, **changes):
    train(lora(settings_of, base, out, **{"do_eval": False, "save_strategy": "no", **changes}))
    return out


def lora(settings_of, base, out, **changes) -> list[str]:
    return settings_of(
        model_name_or_path=base,
        output_dir=out,
        lora=True,
        lora_rank=RANK,
        lora_alpha=ALPHA,
        max_steps=4,
        learning_rate=0.02,
        warmup_steps=0,
        load_best_model_at_end=False,
        **changes,
    )


def scores_of_dev(folder, tiny) -> list:
    return [scores.steps for scores in Scorer.load(folder).score(read_lines(tiny / "dev.jsonl")[:6])]


def weights_of(folder, pattern="model*.safetensors") -> dict:
    return {name: array for file in folder.glob(pattern) for name, array in load_file(file).items()}


def differs(one: list, other: list) -> float:
    return max(abs(a - b) for first, second in zip(one, other, strict=True) for a, b in zip(first, second, strict=True))


def test_merged_and_unmerged_score_the_same_and_otherwise_than_the_base(base, adapter, tiny, tmp_path, capsys):
    expected = scores_of_dev(adapter, tiny)
    main([str(adapter), str(tmp_path / "merged")])
    assert differs(scores_of_dev(tmp_path / "merged", tiny), expected) < 1e-5
    (base / "settings.json").write_text((adapter / "settings.json").read_text())
    assert differs(scores_of_dev(base, tiny), expected) > 0.02, "the adapters do too little for this test"


def test_the_merged_weights_are_those_of_arithmetic(base, adapter, tokens, tmp_path, capsys):
    """W + alpha / rank * A @ B of every adapter, the two reward rows in the head, everything else as in the base: also
    the input embedding, which a tied base shares with its head."""
    main([str(adapter), str(tmp_path / "merged")])
    said = capsys.readouterr().out
    old, new = weights_of(base), weights_of(tmp_path / "merged")
    trained = weights_of(adapter, "peft_model*.safetensors")
    config = json.loads((base / "config.json").read_text())
    is_tied = config.get("tie_word_embeddings") is True
    (embedding,) = [name for name in old if "embed_tokens" in name]
    expected = {name: array for name, array in old.items() if name != "lm_head.weight"}
    for name in {name.rpartition(".")[0] for name in trained if "lora" in name}:
        product = trained[f"{name}.lora_A"].astype("float64") @ trained[f"{name}.lora_B"].astype("float64")
        expected[f"{name}.weight"] = old[f"{name}.weight"] + ALPHA / RANK * product
        assert np.abs(product).max() > 1e-3
    head = (old[embedding].T if is_tied else old["lm_head.weight"]).copy()
    head[:, [tokens.positive, tokens.negative]] = trained["reward_rows"].T
    assert np.abs(trained["reward_rows"] - old[embedding][[tokens.positive, tokens.negative]]).max() > 1e-3
    expected["lm_head.weight"] = head
    assert new.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(new[name], array, rtol=1e-6, atol=1e-7, err_msg=name)
    merged_config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert merged_config["architectures"] == config["architectures"]
    assert merged_config.get("tie_word_embeddings") is False
    assert ("tie_word_embeddings false" in said) == is_tied


def test_a_merged_model_is_trained_further_from_where_the_adapters_were(base, adapter, settings_of, tmp_path, capsys):
    """Its evaluation before any update is that of the adapters, and a run starts from it like from any other."""
    expected = train(lora(settings_of, base, adapter, save_steps=4, eval_steps=4, overwrite_output_dir=True))
    main([str(adapter), str(tmp_path / "merged")])
    found = train(settings_of(model_name_or_path=tmp_path / "merged", output_dir=tmp_path / "again", do_train=False))
    for name in ("eval_loss", "eval_accuracy", "eval_auc"):
        assert found[name] == pytest.approx(expected[name], rel=1e-4)
    for number, changes in enumerate(({}, {"lora": True})):
        results = train(
            settings_of(
                model_name_or_path=tmp_path / "merged",
                output_dir=tmp_path / str(number),
                max_steps=1,
                do_eval=False,
                **changes,
            )
        )
        assert results["train_steps"] == 1


def test_the_folder_is_complete_and_its_settings_are_of_a_model_without_adapters(tiny, settings_of, tmp_path, capsys):
    adapter = trained(tiny / "model", settings_of, tmp_path / "adapter", unified_checkpoint=False)
    main([str(adapter), str(tmp_path / "merged")])
    names = {path.name for path in (tmp_path / "merged").iterdir()}
    assert {"config.json", "model.safetensors", "settings.json", "tokenizer_config.json"} <= names
    assert not [name for name in names if "lora" in name or "unfinished" in name]
    before, after = (json.loads((folder / "settings.json").read_text()) for folder in (adapter, tmp_path / "merged"))
    changed = {name: value for name, value in after.items() if value != before[name]}
    assert changed == {"lora": False, "lora_rank": 8, "lora_alpha": 16}
    assert differs(scores_of_dev(tmp_path / "merged", tiny), scores_of_dev(adapter, tiny)) < 1e-5
    assert len(load_tokenizer(str(tmp_path / "merged"))) == len(load_tokenizer(str(adapter)))


def test_the_new_placeholders_embedding_is_merged(tiny, settings_of, tmp_path, capsys):
    """One that is a token already is no new one: its row stays as frozen as the others."""
    for name, placeholder in (("known", "ки"), ("new", "<|step|>")):
        adapter = trained(
            tiny / "model",
            settings_of,
            tmp_path / f"{name} adapter",
            add_placeholder_token=True,
            placeholder_token=placeholder,
        )
        main([str(adapter), str(tmp_path / name)])
    old = weights_of(tiny / "model")["llama.embed_tokens.weight"]
    np.testing.assert_array_equal(weights_of(tmp_path / "known")["llama.embed_tokens.weight"], old)
    new = weights_of(tmp_path / "new")["llama.embed_tokens.weight"]
    np.testing.assert_array_equal(new[:-1], old)
    own = weights_of(adapter, "peft_model*.safetensors")["placeholder_row"]
    np.testing.assert_array_equal(new[-1], own[0])
    assert np.abs(new[-1] - old.mean(axis=0)).max() > 1e-4  # it has trained
    assert differs(scores_of_dev(tmp_path / "new", tiny), scores_of_dev(adapter, tiny)) < 1e-5


def test_what_is_no_adapter_and_what_is_no_empty_folder_are_refused(tiny, settings_of, tmp_path, capsys):
    new = tmp_path / "merged"
    message = refusal(capsys, [str(tiny / "model"), str(new)], main)
    for text in ("ADAPTER_DIR", str(tiny / "model"), "lora_config.json", "settings.json", "lora true"):
        assert text in message
    assert "ADAPTER_DIR" in refusal(capsys, [str(tmp_path / "nowhere"), str(new)], main)
    adapter = trained(tiny / "model", settings_of, tmp_path / "adapter")
    for full in (adapter, tiny / "model", adapter / "settings.json"):
        assert f"OUTPUT_DIR: {full} exists already" in refusal(capsys, [str(adapter), str(full)], main)
    (adapter / "peft_model-00001-of-00001.safetensors").unlink()
    assert "Copy the folder again" in refusal(capsys, [str(adapter), str(new)], main)
    assert not new.exists()
