"""What the estimate proposes is what training takes, for many random models, tasks and layouts."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from llm.alignment.rm.flashmask import reward_argument, reward_checks
from llm.alignment.rm.flashmask.reward_task import TASK
from llm.core.model.families import FAMILIES, GRANULARITIES
from llm.core.model.grow_vocabulary import grow_vocabulary
from llm.core.model.sizes import Sizes
from llm.core.parallel import layout
from llm.core.run import checks
from llm.core.settings.parse import parse
from llm.estimate.changes import is_accepted, possible_changes
from llm.estimate.layouts import layouts
from llm.estimate.plan import planned
from llm.estimate.update_time import Hardware

HARDWARE = Hardware(1e15, 1e12, 1e11, gpus_per_node=8)
GPUS = 8
NEEDED = {"model_name_or_path": "m", "train_dataset_path": "t", "use_flash_attention": True}
LAYOUTS = {
    "tensor_parallel_degree": (-1, 1, 2, 4),
    "pipeline_parallel_degree": (-1, 1, 2, 4),
    "sharding_parallel_degree": (-1, 1, 2, 4),
    "sharding": ("", "stage1", "stage2", "stage3"),
    "sequence_parallel": (False, True),
    "recompute": (False, True),
    "recompute_granularity": GRANULARITIES,
}
TASKS = {
    "per_device_train_batch_size": (1, 2),
    "lora": (False, True),
    "prm_loss": ("reward_tokens", "vocabulary"),
    "add_placeholder_token": (False, True),
    "unified_checkpoint": (False, True),
    "sharding_parallel_config": ("", "split_param"),
    "tensor_parallel_config": ("", "enable_mp_async_allreduce"),
}


def drawn(numbers: random.Random, choices: dict, most: int) -> dict:
    """Up to so many of the settings, with random values; the others as they are."""
    names = numbers.sample(list(choices), numbers.randint(0, most))
    return {name: numbers.choice(choices[name]) for name in names}


def a_model(numbers: random.Random) -> Sizes:
    family, groups = numbers.choice(list(FAMILIES)), numbers.choice((2, 4, 8))
    inner, layers = numbers.choice((64, 66, 68)), numbers.choice((3, 8))
    return Sizes(family, 100, 64, inner, layers, 8, groups, False, 8192, None, numbers.choice((0, 0, 5)))


def training_takes(values: dict, sizes: Sizes) -> dict | None:
    """The settings that training makes of these; None if it refuses them."""
    flags = [word for name, value in (NEEDED | values).items() for word in (f"--{name}", str(value))]
    try:
        classes = reward_argument.CLASSES
        settings = parse(classes, flags, "")
        reward_checks.resolve(settings, ranks=GPUS, has_cuda=True)
        layout.fit_to_model(settings, sizes)
        checks.fit_to_model(settings, sizes)
        degrees = {name: layout.degree(settings, name) for name in (layout.TENSOR, layout.PIPELINE)}
        if settings["add_placeholder_token"] and max(degrees.values()) > 1:
            model = SimpleNamespace(config=SimpleNamespace(vocab_size=sizes.vocab_size, **degrees))
            grow_vocabulary(model, sizes.vocab_size - sizes.spare_rows + 1)
    except ValueError:
        return None
    return planned(settings, TASK)


def starts(count: int):
    """(what the user wrote, all settings with it, the model) of runs that training takes."""
    numbers = random.Random(3)
    while count:
        sizes, written = a_model(numbers), drawn(numbers, TASKS, 3) | drawn(numbers, LAYOUTS, 2)
        if values := training_takes(written, sizes):
            count -= 1
            yield written, values, sizes


@pytest.mark.slow
def test_changes_are_accepted_if_and_only_if_training_takes_them():
    numbers, verdicts = random.Random(7), []
    for written, values, sizes in starts(20):
        for _ in range(8):
            changes = drawn(numbers, LAYOUTS, len(LAYOUTS)) | drawn(numbers, {"lora": (False, True)}, 1)
            accepted = is_accepted(values, changes, sizes, GPUS)
            assert accepted == (training_takes(written | changes, sizes) is not None), (written, changes, sizes)
            verdicts.append(accepted)
    assert 0.1 < sum(verdicts) / len(verdicts) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("propose", [layouts, possible_changes])
def test_training_takes_what_is_proposed(propose):
    numbers, proposed = random.Random(11), 0
    for written, values, sizes in starts(20):
        if propose is layouts:
            found = list(layouts(values, sizes, GPUS, HARDWARE))
        else:
            found = [changes for _, changes in possible_changes(values, sizes, GPUS)]
        proposed += len(found)
        for changes in numbers.sample(found, min(len(found), 8)):
            assert training_takes(written | changes, sizes), (written, changes, sizes)
    assert proposed > 300
