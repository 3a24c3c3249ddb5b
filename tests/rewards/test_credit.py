"""Which step and which token gets how much, and the advantages that follow."""

from __future__ import annotations

import math
import random

import pytest

from llm.rewards.credit import group_advantages, min_form, on_tokens, process_advantages, split, sum_form


def test_the_sum_of_the_min_form_is_nearly_the_lowest_score():
    scores = [0.9, 0.2, 0.8, 0.7]
    assert sum(sum_form(scores)) == pytest.approx(2.6)
    assert sum(min_form(scores, 0.01)) == pytest.approx(0.2, abs=1e-6)
    rewards = min_form(scores, 0.1)
    total = sum(math.exp(-score / 0.1) for score in scores)
    assert rewards == pytest.approx([score * math.exp(-score / 0.1) / total for score in scores])
    assert min_form([], 0.1) == [] and sum(min_form([-900.0, 5.0], 0.1)) == pytest.approx(-900)


def test_steps_end_where_their_last_letter_is():
    text = " 1 + 1 = 2 \n\n\n\n2 + 2 = 4\n\n "
    steps = split(text)
    assert [step for step, _ in steps] == ["1 + 1 = 2", "2 + 2 = 4"]
    assert [text[:end].endswith(step) for step, end in steps] == [True, True]


def test_any_tokens_carry_every_reward_once_where_its_step_ends():
    draw = random.Random(2)
    for _ in range(200):
        text = "\n\n".join(" ".join("abcde"[: draw.randint(1, 5)]) for _ in range(draw.randint(1, 5)))
        cuts = sorted(draw.sample(range(1, len(text)), min(draw.randint(0, 9), len(text) - 1)))
        tokens = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        steps = split(text)
        rewards = [draw.random() for _ in steps]
        found = on_tokens(rewards, [end for _, end in steps], tokens)
        assert sum(found) == pytest.approx(sum(rewards)) and len(found) == len(tokens)
        for (_, end), reward in zip(steps, rewards, strict=True):
            place = next(n for n in range(len(tokens)) if len("".join(tokens[: n + 1])) >= end)
            assert found[place] >= reward - 1e-12
    with pytest.raises(ValueError, match="step 0 ends at character 3"):
        on_tokens([1.0], [3], ["ab"])


def test_advantages_of_a_group():
    assert group_advantages([1.0, 3.0]) == [-1.0, 1.0]
    assert group_advantages([2.0, 2.0]) == [0.0, 0.0]
    found = process_advantages([[0.0, 1.0, 0.0, 3.0], [0.0, 2.0, 0.0]])
    d = math.sqrt(2 / 3)  # rewards 1, 3, 2 have mean 2
    assert found[0] == pytest.approx([0.0, 0.0, 1 / d, 1 / d]) and found[1] == pytest.approx([0.0, 0.0, 0.0])
