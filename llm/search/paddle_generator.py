"""A generator that is a causal LM in this process: the folder of a model of PaddleNLP, of Hugging Face, or of
`python -m llm sft`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm.core.cpu import environment
from llm.core.model.config import check_vocabulary, read_sizes
from llm.core.model.head.head_kinds import LM
from llm.core.model.whole import read_whole
from llm.core.records.dialogues import USER, Message
from llm.core.text.answers import TemplateTexts, ids_behind
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.pieces import bytes_of_ids
from llm.core.text.prompts import start_ids
from llm.core.text.tokenizer import Tokenizer
from llm.search.generator import Proposal, Sampling

Asked = tuple[str, Sequence[str]]  # a question and the steps so far


@dataclass(frozen=True)
class PaddleGenerator:
    """The prompt is the question and the steps so far; a step ends with the separator, a solution with the tokenizer's
    end token. The same question, steps and seed give the same texts, each from a seed of its own."""

    model: Any
    tokenizer: Tokenizer
    longest: int  # tokens of a prompt and a text
    sampling: Sampling
    seed: int = 0
    use_chat_template: bool = False
    texts_at_once: int = 32  # whose keys and values are held

    def next_steps(self, question: str, steps: Sequence[str], count: int) -> list[Proposal]:
        separator = self.sampling.separator
        found = {}
        for ids in self._texts([(question, steps)], count, 0, lambda ids: separator in self._text(ids)):
            text, went_on, _ = self._text(ids).partition(separator)
            if text.strip():
                found[text.strip()] = not went_on and self._is_end(ids)
        return [Proposal(text, is_last) for text, is_last in found.items()]

    def complete(self, question: str, steps: Sequence[str], count: int, first: int = 0) -> list[list[str]]:
        return self._solutions([(question, steps)], count, first)

    def complete_each(self, questions: Sequence[str], count: int) -> list[list[list[str]]]:
        solutions = self._solutions([(question, ()) for question in questions], count, 0)
        return [solutions[start : start + count] for start in range(0, len(solutions), count)]

    def _solutions(self, asked: Sequence[Asked], count: int, first: int) -> list[list[str]]:
        texts = map(self._text, self._texts(asked, count, first, lambda ids: False))
        return [[step.strip() for step in text.split(self.sampling.separator) if step.strip()] for text in texts]

    def _texts(
        self, asked: Sequence[Asked], count: int, first: int, stops: Callable[[list[int]], bool]
    ) -> list[list[int]]:
        """`count` texts behind each, one after another."""
        from llm.core.model.generation import sample

        prompts, most, draws = [], [], []
        for question, steps in asked:
            prompt = self.prompt(question, steps)
            prompts += [prompt] * count
            most += [self._room(question, prompt)] * count
            about = zlib.crc32("\n".join([question, *steps]).encode("utf-8", "surrogatepass"))
            draws += [np.random.default_rng([self.seed, about, number]) for number in range(first, first + count)]
        has_ended = lambda ids: self._is_end(ids) or stops(ids)  # noqa: E731
        how = len(self.tokenizer), self.sampling.temperature, self.sampling.top_p, has_ended
        found: list[list[int]] = []
        for start in range(0, len(prompts), self.texts_at_once):
            some = slice(start, start + self.texts_at_once)
            found += sample(self.model, prompts[some], draws[some], most[some], *how)
        return found

    def _room(self, question: str, prompt: list[int]) -> int:
        """Tokens of a text at most."""
        most = min(self.sampling.max_tokens, self.longest - len(prompt))
        if most < 1:
            raise ValueError(
                f"{question[:60]!r}: the prompt has {len(prompt):,} tokens, and the generator reads {self.longest:,}"
            )
        return most

    def prompt(self, question: str, steps: Sequence[str]) -> list[int]:
        begun = "".join(f"{step}{self.sampling.separator}" for step in steps)
        if not self.use_chat_template:
            text = self.sampling.prompt.format(question=question, steps=begun)
            return start_ids(self.tokenizer) + self.tokenizer(text, add_special_tokens=False)["input_ids"]
        written = TemplateTexts(self.tokenizer, self.longest).prompt((Message(USER, question),))
        if written is None:
            raise ValueError(f"{question[:60]!r} is longer than the {self.longest:,} tokens that the generator reads")
        return written.ids + (ids_behind(self.tokenizer, begun) if begun else [])

    def _is_end(self, ids: list[int]) -> bool:
        return ids[-1] == self.tokenizer.eos_token_id

    def _text(self, ids: list[int]) -> str:
        shown = ids[:-1] if self._is_end(ids) else ids
        return b"".join(bytes_of_ids(self.tokenizer, shown)).decode("utf-8", "replace")


def load(
    folder: str, sampling: Sampling, seed: int, use_chat_template: bool, dtype: str, device: str | None
) -> PaddleGenerator:
    environment.prepare()  # before paddle is imported
    with read_whole(Path(folder)):
        return _load(folder, sampling, seed, use_chat_template, dtype, device)


def _load(
    folder: str, sampling: Sampling, seed: int, use_chat_template: bool, dtype: str, device: str | None
) -> PaddleGenerator:
    sizes = read_sizes(folder)
    if sizes.reward_head != LM:
        raise ValueError(f"--generator {folder}: this reward model has no LM head, so it writes nothing")
    tokenizer = load_tokenizer(folder)
    check_vocabulary(sizes, tokenizer)
    if tokenizer.eos_token_id is None:
        raise ValueError(f"--generator {folder}: its tokenizer names no end token (eos_token), by which a text ends")
    from llm.core.model import generation
    from llm.core.model import load as loading
    from llm.core.model.config import load_config
    from llm.scoring.model import compute_in_float32_on_a_cpu, prepare

    prepare(device)
    model = loading.load_model(folder, load_config(folder), dtype)
    compute_in_float32_on_a_cpu(model, dtype)
    generation.prepare(model, sizes.longest_solution)
    return PaddleGenerator(model, tokenizer, sizes.longest_solution, sampling, seed, use_chat_template)
