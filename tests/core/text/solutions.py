"""Random texts as records have them, and what an encoder makes of them."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from llm.core.records.reward_records import Record
from llm.core.text.encoding import StepEncoder

PLACEHOLDER = "ки"
# U+2581 is SentencePiece's own sign for a blank: next to one it means something else than to a reader.
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="▁")
FRAGMENTS = st.sampled_from(
    [
        "She spends 40 * 3 = <<40*3=120>>120",
        "day",
        "day.",
        "7",
        "1,000.5%",
        r"\frac{1}{2}$",
        r"\[x^2\]",
        "=",
        "+",
        "-",
        "- + -",
        PLACEHOLDER,
        f" {PLACEHOLDER}",
        f"{PLACEHOLDER}\n",
        f"is {PLACEHOLDER} is",
        "日本語の手順。",
        "Шаг один",
        "عربى",
        "e\u0301",
        "🙂",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\n  ",
        "\t",
        "\r\n",
        "\u00a0",
        "a\u200bb",
        "\ufeff",
        "[INST]",
        " </s>",
        "<0x0A>",
        "…",
    ]
)
# As records arrive: without white space around a text, and not blank.
TEXT = (st.lists(FRAGMENTS, min_size=1, max_size=5).map("".join) | st.text(LETTERS, max_size=12)).map(str.strip)
STEPS = st.lists(TEXT.filter(bool), min_size=1, max_size=5).map(tuple)
quick = settings(max_examples=50)


def record(steps, src=("What is 2 + 3?",), tgt=(), labels=None) -> Record:
    labels = labels or tuple(float(number % 2) for number in range(len(steps)))
    return Record(tuple(src), tuple(tgt), tuple(steps), tuple(labels), "data.jsonl:1")


def solution_text(prompt: str, steps) -> str:
    """The documented text, written out: `question step ки\\nstep ки`."""
    return (f"{prompt} " if prompt else "") + "\n".join(f"{step} {PLACEHOLDER}" for step in steps)


def encoder_of(tokenizer, tokens, max_seq_len=100_000, max_prompt_len=100_000) -> StepEncoder:
    return StepEncoder(tokenizer, tokens, max_seq_len, max_prompt_len)


def lengths(encoder: StepEncoder, one: Record) -> tuple[int, list[int]]:
    """Of an uncut record: the prompt's length and each step's, its placeholder included."""
    sequence = encoder.encode(one)
    prompt = len(encoder._prompts.encode(one).ids)
    return prompt, np.diff([prompt - 1, *sequence.scored]).tolist()
