"""Every packing trains the same; shares add up; the floor counts what is multiplied; the command end to end."""

import json
import math
from collections import Counter

import numpy as np
import pytest

from llm.benchmark import children, examples, model, run_benchmark
from llm.benchmark.training import profile, training, training_run
from llm.core.rows.prefix_tree import lone_tree
from llm.core.rows.row import make_row
from llm.core.text.encoding import Sequence

SIZES = {
    "vocab_size": 640,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
FLAGS = [word for name, size in SIZES.items() for word in (f"--{name}", str(size))]
OPTIONS = ["--solutions", "24", "--update", "16", "--rounds", "2", "--seconds", "0.01", "--max_seq_len", "384"]


@pytest.mark.runs
def test_the_command_measures_every_packing_in_turns_on_the_same_updates(tiny, in_this_process, capsys):
    run_benchmark.main(
        [
            "training",
            str(tiny / "train.jsonl"),
            "--tokenizer",
            str(tiny / "model"),
            *OPTIONS,
            *FLAGS,
            "--lora_rank",
            "2",
        ]
    )
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [job["packing"] for job in in_this_process] == [*examples.PACKINGS, "forest"] * 2
    assert [job.get("lora_rank") for job in in_this_process] == [None, None, None, None, 2] * 2
    assert [len(update) for update in in_this_process[0]["updates"]] == [16, 8]
    assert all(job["updates"] == in_this_process[0]["updates"] for job in in_this_process)
    packings = result["packings"]
    losses = [figures["first_loss"] for figures in packings.values()]
    assert losses == pytest.approx([losses[0]] * 5, rel=1e-5), "the packings do not train the same"
    assert losses[0] == pytest.approx(math.log(2), abs=0.2), "that is the loss of a label for a model without a clue"
    for figures in packings.values():
        assert figures["seconds"] == min(figures["seconds_of_rounds"]) and len(figures["seconds_of_rounds"]) == 2
        assert figures["solutions_per_second"] == pytest.approx(24 / figures["seconds"])
        shares = [figures[part] for part in training.PARTS if part != "packing"]
        assert sum(share or 0.0 for share in shares) == pytest.approx(1.0)
        assert 0 < figures["matrices"] < 1 and 0 < figures["optimizer"] < 1
        assert figures["floor_seconds"] > 0
    forest, adapters = packings["forest"], packings["forest, LoRA"]
    assert adapters["trained"] == 2 * 2 * (4 * (32 + 32) + 3 * (32 + 48)) + 2 * 32
    assert forest["trained"] == result["parameters"] and adapters["computed"] == forest["computed"]
    assert forest["computed"] < packings["greedy"]["computed"] < packings["padded"]["computed"]


@pytest.mark.runs
def test_a_measurement_runs_in_a_process_of_its_own_and_knows_its_peak_memory(tiny, tokenizer, tokens):
    record = Sequence(np.arange(3, 23, dtype="int32"), np.array([9, 19]), np.array([1, 0], "float32"), 5)
    solutions = examples.Solutions([], [record] * 3, tokenizer, tokens, [])
    size = SIZES | {"num_key_value_heads": 2, "max_position_embeddings": 64}
    job = training_run.job_of(solutions, size, per_update=2, max_seq_len=64, seconds=0.01) | {"packing": "forest"}
    result = children.run(training.CHILD, job)
    assert (result["updates"], result["computed"]) == (2, 40)
    assert result["peak_bytes"] > 100e6  # Paddle alone takes more


def test_shares_are_of_events_that_do_not_overlap_and_unknown_without_the_compiled_kernels(monkeypatch):
    """What nests in an event that is counted (a kernel in the optimiser's step, a layer around a product) is not
    counted again."""
    seconds = Counter(
        {
            ("DygraphKernelLaunch", "matmul kernel launch"): 2.0,
            ("DygraphKernelLaunch", "matmul_grad kernel launch"): 3.0,
            ("DygraphKernelLaunch", "adamw kernel launch"): 0.4,
            ("Operator", "matmul dygraph"): 2.1,
            ("Operator", "Global_GradNodePyLayer__Attention"): 0.6,
            ("Operator", "Global_GradNodePyLayer__Swiglu"): 0.3,
            ("UserDefined", "attention"): 0.4,
            ("UserDefined", "layers"): 0.1,
            ("Forward", "LlamaRMSNorm"): 0.1,
            ("Forward", "LlamaAttention"): 1.9,
            ("Optimization", "Optimization Step"): 0.5,
        }
    )
    monkeypatch.setattr(profile, "_events", lambda update: (seconds, 10.0))
    shares = {"matrices": 0.5, "attention": 0.1, "layers": 0.05, "optimizer": 0.05, "rest": 0.3}
    assert profile.parts(None, compiled=True) == pytest.approx(shares)
    without = profile.parts(None, compiled=False)
    assert without["attention"] is None and without["layers"] is None
    assert without["rest"] == pytest.approx(0.45)


@pytest.mark.runs
def test_memory_that_was_given_back_counts_for_the_peak():
    code = (
        "import json, numpy; from llm.benchmark.children import peak_bytes, resident_bytes; "
        "numpy.ones(20_000_000); print(json.dumps([peak_bytes(), resident_bytes()]))"
    )
    peak, resident = children.run([training.CHILD[0], "-c", code], {})
    assert 160e6 < peak - resident + 5e6 < 200e6


@pytest.mark.runs
def test_a_child_that_fails_is_an_error_with_its_exit_code():
    with pytest.raises(ValueError, match="ended with exit code 3"):
        children.run([training.CHILD[0], "-c", "raise SystemExit(3)"], {})


def test_multiply_adds_are_those_of_the_matrices_and_of_the_pairs_that_attend():
    """2 layers of width 4 with 6 inside: 4 * 4*4 + 3 * 4*6 = 136 for a token that is computed. Two solutions of 2 and 3
    tokens attend over 1 + 2 and 1 + 2 + 3 pairs, 4 wide, for the scores and again for the values. All of it forward,
    and twice backward."""
    label = np.array([0]), np.array([1.0], "float32")
    rows = [make_row([lone_tree(Sequence(np.arange(length, dtype="int32"), *label))]) for length in (2, 3)]
    size = {"num_hidden_layers": 2, "hidden_size": 4, "intermediate_size": 6}
    assert model.multiply_adds(size, rows, computed=6) == 3 * 2 * (6 * 136 + 2 * 9 * 4)


def test_beside_adapters_the_multiply_adds_of_what_is_frozen_are_left_out():
    """One token that computes no pair but its own. Forward 136, backward 136 for the inputs less 3 * 4*4 of the first
    layer's queries, keys and values; adapters of rank 1: 4 * (4 + 4) + 3 * (4 + 6) = 62 forward, for the inputs less
    3 * 4, and for themselves."""
    row = make_row([lone_tree(Sequence(np.arange(1, dtype="int32"), np.array([0]), np.array([1.0], "float32")))])
    size = {"num_hidden_layers": 2, "hidden_size": 4, "intermediate_size": 6}
    frozen, own, pairs = 2 * 2 * 136 - 48, 3 * 2 * 62 - 12, 3 * 2 * 2 * 4
    assert model.multiply_adds(size, [row], computed=1, lora_rank=1) == frozen + own + pairs


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--vocab_size", "100"], "--vocab_size 100: the tokenizer has"),
        (["--hidden_size", "33"], "--hidden_size 33: --num_attention_heads 2"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_before_anything_is_measured(tiny, in_this_process, capsys, flags, reason):
    with pytest.raises(SystemExit) as ended:
        run_benchmark.main(
            ["training", str(tiny / "train.jsonl"), "--tokenizer", str(tiny / "model"), *OPTIONS, *FLAGS, *flags]
        )
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err
    assert not in_this_process
