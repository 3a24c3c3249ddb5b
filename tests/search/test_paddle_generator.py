"""A causal LM as a generator: what it writes follows from the plain forward, the seed and the sampling."""

from __future__ import annotations

import dataclasses

import numpy as np
import paddle
import pytest

from llm.core.model import generation
from llm.core.model.forward import hidden_states
from llm.core.model.generation import drawn
from llm.search import label
from llm.search.generator import Sampling
from llm.search.paddle_generator import load
from tests.factories import random_model, read_lines, save_model
from tests.search.test_verbs import write

QUESTION = "What is 2 + 3 + 4?"


def sampling(**changes) -> Sampling:
    return Sampling(prompt="{question} {steps}", separator=" ", max_tokens=12, **changes)


@pytest.fixture(scope="module")
def folder_of(tiny, tokenizer, tmp_path_factory):
    """folder_of(family): a random model."""

    def folder(family: str):
        path = tmp_path_factory.mktemp(family)
        return str(save_model(random_model(family, len(tokenizer)), path, tiny / "model"))

    return folder


@pytest.fixture(scope="module")
def llama(folder_of):
    return load(folder_of("Llama"), sampling(), 0, False, "float32", None)


def logits_behind(model, ids: list[int]) -> np.ndarray:
    """By the plain forward over all tokens."""
    ids_BS = paddle.to_tensor([ids])
    with paddle.no_grad():
        positions_BS, end_row_BS = paddle.arange(len(ids)).unsqueeze(0), paddle.full([1, len(ids)], len(ids), "int32")
        return model.lm_head(hidden_states(model, ids_BS, positions_BS, end_row_BS))[0, -1].numpy()


@pytest.mark.parametrize("family", ["Llama", "Mistral", "Qwen2", "Qwen3"])
def test_each_token_is_drawn_from_what_the_plain_forward_says(folder_of, family):
    """The keys and values that are kept, and the texts that are written together, whatever their prompts, change
    nothing."""
    generator = load(folder_of(family), sampling(), 0, False, "float32", None)
    model, size = generator.model, len(generator.tokenizer)
    short, long = generator.prompt("2?", ()), generator.prompt(QUESTION, ["a"])
    assert len(short) < len(long)
    prompts, most = [long, short, long, short, short], [6, 6, 5, 6, 1]
    draws, again = ([np.random.default_rng(seed) for seed in range(5)] for _ in range(2))
    texts = generation.sample(model, prompts, draws, most, size, 0.8, 0.9, lambda ids: len(ids) == 4 and ids[0] % 2)
    assert all(len(text) in (4, room) for text, room in zip(texts, most, strict=True))
    assert len({tuple(text) for text in texts}) == 5
    for prompt, text, draw in zip(prompts, texts, again, strict=True):
        for number, token in enumerate(text):
            assert drawn(logits_behind(model, prompt + text[:number])[:size], draw, 0.8, 0.9) == token


def test_a_token_is_drawn_by_temperature_and_top_p():
    """Shares of many draws against the definition, and what is left out is never drawn."""
    p = np.array([0.1, 0.4, 0.2, 0.25, 0.05])
    draw = np.random.default_rng(1)
    for temperature, top_p, expected in (
        (1.0, 1.0, p),
        (1.0, 0.7, [0, 0.4 / 0.85, 0.2 / 0.85, 0.25 / 0.85, 0]),
        (0.5, 1.0, p**2 / (p**2).sum()),
        (1.0, 0.3, [0, 1, 0, 0, 0]),
        (0.0, 1.0, [0, 1, 0, 0, 0]),
    ):
        counts = np.bincount([drawn(np.log(p), draw, temperature, top_p) for _ in range(4000)], minlength=5)
        np.testing.assert_allclose(counts / 4000, expected, atol=0.03)
        assert not counts[np.array(expected) == 0].any()


def test_a_seed_gives_the_same_texts_and_others_when_asked_again(llama):
    whole = llama.complete(QUESTION, ["2 + 3 = 5"], 5)
    parts = [llama.complete(QUESTION, ["2 + 3 = 5"], count, first) for first, count in ((0, 2), (2, 3))]
    assert [text for part in parts for text in part] == whole
    assert llama.complete(QUESTION, ["2 + 3 = 6"], 5) != whole
    other = dataclasses.replace(llama, seed=1)
    assert other.complete(QUESTION, ["2 + 3 = 5"], 5) != whole
    assert all(step == step.strip() and step for text in whole for step in text)


def test_several_questions_at_once_get_what_each_gets_alone(llama):
    questions = ["2?", QUESTION, "What is 7?"]
    for at_once in (2, 32):
        several = dataclasses.replace(llama, texts_at_once=at_once).complete_each(questions, 3)
        assert several == [llama.complete(question, (), 3) for question in questions]


def test_a_step_ends_at_the_separator_and_the_last_one_at_the_end_token(llama):
    steps = llama.next_steps(QUESTION, (), 8)
    assert len(steps) > 2 and not any(" " in one.step for one in steps)
    (first, *_) = llama._texts([(QUESTION, ())], 1, 0, lambda ids: False)
    end = next(number for number in range(1, len(first)) if first[number] not in first[:number])
    ending = dataclasses.replace(llama, tokenizer=Ending(llama.tokenizer, first[end]))
    (written,) = ending._texts([(QUESTION, ())], 1, 0, lambda ids: False)
    assert written == first[: end + 1]
    assert ending._text(written) == llama._text(first[:end])
    whole = dataclasses.replace(ending, sampling=dataclasses.replace(llama.sampling, separator="no such text"))
    ((step, is_last),) = whole.next_steps(QUESTION, (), 1)
    assert (step, is_last) == (llama._text(first[:end]).strip(), True)


class Ending:
    """A tokenizer with another end token."""

    def __init__(self, tokenizer, eos_token_id: int):
        self.tokenizer, self.eos_token_id = tokenizer, eos_token_id

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def __len__(self):
        return len(self.tokenizer)

    def __call__(self, *args, **more):
        return self.tokenizer(*args, **more)


def test_a_prompt_that_leaves_no_room_is_refused(llama):
    with pytest.raises(ValueError, match="the generator reads 512"):
        llama.complete("2 + 3 " * 400, (), 1)


def test_label_with_a_folder(folder_of, tmp_path, capsys):
    solutions = write(tmp_path / "s.jsonl", [{"question": QUESTION, "steps": ["a", "b"], "answer": "9"}])
    words = ["--generator", folder_of("Qwen2"), "--max_tokens", "5", "--n", "2"]
    label.main([solutions, str(tmp_path / "out.jsonl"), *words])
    assert read_lines(tmp_path / "out.jsonl")[0]["labels"] == [0.0, 0.0]
    for more, told in (
        (["--error", "0.1"], "--error: a folder has no such setting"),
        (["--top_p", "2"], "--top_p 2.0: write a number from"),
        (["--use_chat_template", "--prompt", "x"], "--prompt: with --use_chat_template"),
    ):
        with pytest.raises(SystemExit):
            label.main([solutions, str(tmp_path / "other.jsonl"), *words, *more])
        assert told in capsys.readouterr().err
