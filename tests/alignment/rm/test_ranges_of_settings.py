"""Every number of a run's settings has a range, and numbers that cannot be together are refused."""

import pytest

from llm.alignment.rm.flashmask import reward_checks
from llm.alignment.rm.flashmask.reward_argument import CLASSES
from llm.core.settings.parse import parse
from llm.core.settings.settings import Settings, SettingsError, collect
from llm.core.settings.values import options

NEEDED = ["--model_name_or_path", "m", "--train_dataset_path", "t", "--lora"]
OUTSIDE = [
    ("adam_beta1", 1),
    ("adam_beta2", 0.99999999),  # 1 in float32
    ("adam_epsilon", 0),
    ("adam_epsilon", 1e-300),
    ("eval_steps", 0),
    ("gradient_accumulation_steps", 2**31),
    ("label_smoothing", 1),
    ("learning_rate", 0),
    ("learning_rate", 1e300),
    ("logging_steps", 2**31),
    ("lora_alpha", 0),
    ("lora_rank", 2**31),
    ("lr_end", -1e-9),
    ("max_grad_norm", 1e-40),
    ("max_prompt_len", 0),
    ("dataset_num_proc", 0),
    ("per_device_train_batch_max_tokens", 0),
    ("max_seq_len", 3),
    ("max_steps", 0),
    ("max_steps", -2),
    ("num_cycles", 1e300),
    ("num_train_epochs", 0),
    ("per_device_eval_batch_size", 2**31),
    ("per_device_train_batch_size", 0),
    ("pipeline_parallel_degree", 0),
    ("positive_weight", 0),
    ("power", -1),
    ("pqm_margin", -1),
    ("prefix_sharing_window", 0),
    ("reward_centering", -1),
    ("reward_margin", 1e7),
    ("save_steps", 0),
    ("save_total_limit", -1),
    ("seed", -1),
    ("seed", 2**32),
    ("sharding_parallel_degree", -2),
    ("tensor_parallel_degree", 0),
    ("virtual_pp_degree", 2),
    ("warmup_ratio", 1.5),
    ("warmup_steps", -1),
    ("weight_decay", -1),
]


def problems_of(ranks: int = 1, **values) -> list[str]:
    settings = parse(CLASSES, [*NEEDED, *(f"--{name}={value}" for name, value in values.items())], "")
    return problems_of_settings(settings, ranks)


def problems_of_settings(settings: Settings, ranks: int = 1) -> list[str]:
    try:
        reward_checks.resolve(settings, ranks, has_cuda=False)
    except SettingsError as error:
        return error.problems
    return []


def test_every_number_has_a_range_and_one_outside_is_tried_here():
    numeric = {name: one.range for name, one in collect(CLASSES).items() if {int, float} & set(options(one.hint))}
    assert all(numeric.values()), numeric
    assert numeric.keys() == {name for name, _ in OUTSIDE}


@pytest.mark.parametrize(("name", "value"), OUTSIDE)
def test_a_number_outside_is_refused_with_the_range(name, value):
    (problem,) = problems_of(**{name: value})
    assert f'{name} = "{value}": must be {collect(CLASSES)[name].range}' in problem


def test_all_of_them_are_reported_at_once():
    assert len(problems_of(**dict(OUTSIDE))) == len(dict(OUTSIDE))


@pytest.mark.parametrize(
    ("values", "name", "remedy"),
    [
        ({"learning_rate": 0.5, "weight_decay": 2}, "weight_decay", "write less than 2,"),
        ({"learning_rate": 1e-3, "weight_decay": 1e5}, "weight_decay", "write less than 1000"),
        ({"lr_scheduler_type": "polynomial", "lr_end": 1e-3}, "lr_end", "write less"),
        ({"ranks": 2, "seed": 2**32 - 1}, "seed", "write less"),
    ],
)
def test_numbers_that_cannot_be_together_are_refused(values, name, remedy):
    (problem,) = problems_of(**values)
    assert f"{name} = " in problem and remedy in problem.lower()


@pytest.mark.parametrize(
    "values",
    [
        {"seed": 2**32 - 1},
        {"ranks": 2, "seed": 2**32 - 2},
        {"learning_rate": 1e-6, "weight_decay": 9e5},
        {"learning_rate": 1, "weight_decay": 0.1},
        {"lr_end": 1e-3},  # of a schedule that has none
        {"adam_epsilon": 1e-16, "adam_beta1": 0, "max_grad_norm": 0, "warmup_ratio": 1, "save_total_limit": 0},
    ],
)
def test_numbers_at_the_ends_are_accepted(values):
    assert not problems_of(**values)
