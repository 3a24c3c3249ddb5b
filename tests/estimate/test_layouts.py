"""--layouts shows layouts that training takes, with the figures that each has by itself, the fastest that fit first."""

from __future__ import annotations

import json

import pytest

from tests.estimate.test_estimate import outcome_of

LLAMA = "llm/config/llama/prm_flashmask_argument.json"
MISTRAL = "llm/config/mistral/prm_flashmask_argument.json"
DEGREES = "tensor_parallel_degree", "pipeline_parallel_degree"


@pytest.fixture
def every_layout(capsys):
    def of(config: str, *flags) -> list[dict]:
        return outcome_of(capsys, config, "--gpus", 4, "--layouts", 1000, *flags)[0]["layouts"]

    return of


def test_every_layout_is_accepted_and_has_the_figures_that_are_shown(every_layout, capsys):
    found = every_layout(LLAMA)
    assert len({json.dumps(layout["settings"]) for layout in found}) == len(found) > 20
    one_of_a_kind = {
        tuple(layout["settings"][name] > 1 for name in DEGREES)
        + (layout["settings"]["sharding"], layout["settings"]["sequence_parallel"]): layout
        for layout in found
    }
    for layout in one_of_a_kind.values():
        words = [word for name, value in layout["settings"].items() for word in (f"--{name}", value)]
        outcome, _ = outcome_of(capsys, LLAMA, "--gpus", 4, *words)
        shown = layout["bytes"], layout["fits"], layout["least"], layout["seconds"]
        seconds = outcome["seconds"]
        assert shown == (outcome["peak_bytes"], outcome["fits"], seconds["least"], seconds["one_by_one"])
        assert outcome["tokens_of_update"] == 4 * 8 * 4096


def test_the_fastest_that_fit_stand_first(every_layout):
    found = every_layout(LLAMA)
    order = [(not layout["fits"], layout["seconds"] if layout["fits"] else 0, layout["bytes"]) for layout in found]
    assert order == sorted(order) and found[0]["fits"] and not found[-1]["fits"]


def test_what_a_model_or_its_training_cannot_have_is_left_out(every_layout):
    for layout in every_layout(MISTRAL):
        settings = layout["settings"]
        assert settings["pipeline_parallel_degree"] == 1 and not settings["sequence_parallel"]
        assert settings["recompute_granularity"] == "full"
    adapters = every_layout(LLAMA, "--lora", "true")
    assert {layout["settings"]["pipeline_parallel_degree"] for layout in adapters} == {1}
    assert {layout["settings"]["sharding"] for layout in adapters} == {"", "stage1", "stage2"}
    whole = every_layout(LLAMA, "--prm_loss", "vocabulary")
    assert {layout["settings"]["tensor_parallel_degree"] for layout in whole} == {1}
