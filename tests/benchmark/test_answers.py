"""The comparison of training on answers: the workloads, what TRL is asked for, and this project's side for real."""

import sys

import numpy as np
import pytest

from llm.benchmark import children
from llm.benchmark.answers import answers
from llm.benchmark.answers.workloads import END, SPECIAL, WORKLOADS, Group, groups_of, pairs_of
from llm.benchmark.arguments import parse

SIZES = {
    "vocab_size": 500,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_prompts_and_answers_have_the_lengths_that_a_workload_says(name):
    workload = WORKLOADS[name]
    for group in groups_of(workload, 12, 500):
        assert workload.prompt[0] <= len(group.prompt) <= workload.prompt[1] and len(group.answers) == workload.answers
        assert all(workload.answer[0] < len(ids) <= workload.answer[1] + 1 and ids[-1] == END for ids in group.answers)
        assert min(min(ids[:-1]) for ids in [[*group.prompt, END], *group.answers]) >= SPECIAL


def test_every_answer_is_paired_with_every_worse_one():
    assert pairs_of(Group([5], [[6], [7], [8]])) == [([6], [7]), ([6], [8]), ([7], [8])]


def arguments_of(name: str, *flags: str):
    return parse("answers", ["--workload", name, "--peer_python", sys.executable, *flags])


@pytest.mark.parametrize(
    ("name", "counted", "accumulation"), [("sft", 64, 4), ("pairs", 64, 2), ("groups", 64 * 28, 7)]
)
def test_trl_has_as_many_rows_in_an_update(name, counted, accumulation):
    arguments = arguments_of(name, "--prompts", "64")
    job, found = answers.job_of(WORKLOADS[name], arguments, SIZES)
    assert found == counted and sum(map(len, job["updates"])) == 64
    ways = answers.ways_of_trl(WORKLOADS[name], counted, arguments)
    assert {way["gradient_accumulation_steps"] for way in ways.values()} == {accumulation}
    assert sum("packing" in way for way in ways.values()) == sum(
        "train_sampling_strategy" in way for way in ways.values()
    )
    assert [way["bf16"] for way in ways.values()].count(True) == len(ways) // 2


def test_prompts_that_fill_no_update_are_refused(capsys):
    with pytest.raises(SystemExit):
        arguments_of("sft", "--prompts", "40")
    assert "an update of this workload has 32" in capsys.readouterr().err


@pytest.mark.runs
def test_this_projects_side_computes_a_prompt_and_each_answer_once(first_in_a_process):
    for name in ("sft-groups", "groups"):
        workload = WORKLOADS[name]
        job, _ = answers.job_of(workload, arguments_of(name, "--prompts", "4", "--seconds", "0.01"), SIZES)
        result = children.run(answers.CHILD, job)
        groups = [group for update in job["updates"] for group in update]
        own = sum(len(group.prompt) + sum(map(len, group.answers)) for group in groups)
        assert own - 20 < result["computed"] <= own  # answers may begin with the same token by chance
        assert result["first_loss"] == pytest.approx(np.log(2 if workload.task == "dpo" else 500), rel=0.02)
