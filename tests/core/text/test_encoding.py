"""A solution's ids are those of the documented text, scored at its placeholders and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.text.solutions import PLACEHOLDER, STEPS, TEXT, encoder_of, lengths, quick, record, solution_text


def assert_ids_of_the_documented_text(tokenizer, tokens, prompt, steps):
    one = record(steps, src=(prompt,))
    sequence = encoder_of(tokenizer, tokens).encode(one)
    assert sequence.ids.tolist() == tokenizer(solution_text(prompt, steps))["input_ids"]
    assert len(sequence) == len(sequence.ids)
    assert sequence.labels.tolist() == list(one.labels)


@quick
@given(TEXT, STEPS)
@example("q", ("day",))
@example("q", ("day.", "2", r"\frac{1}{2}$", "a\nb", "x\n\n y"))
@example("", (PLACEHOLDER, f"{PLACEHOLDER} {PLACEHOLDER}"))
def test_ids_are_those_of_the_documented_text_with_sentencepiece(tokenizer, tokens, prompt, steps):
    """Piece by piece must equal the whole, or the model is trained on a text that nobody else would give it. A step
    that ends in a letter glues the placeholder to itself in a careless encoding, and one after a line break loses or
    gains a blank."""
    assert_ids_of_the_documented_text(tokenizer, tokens, prompt, steps)


@quick
@given(TEXT, STEPS)
def test_ids_are_those_of_the_documented_text_with_byte_level_bpe(byte_level, prompt, steps):
    assert_ids_of_the_documented_text(*byte_level, prompt, steps)


@quick
@given(TEXT, STEPS)
@example(f"is {PLACEHOLDER} a word?", (f"a {PLACEHOLDER} b", PLACEHOLDER, f"c {PLACEHOLDER}"))
def test_every_step_is_scored_at_its_placeholder_and_nowhere_else(tokenizer, tokens, prompt, steps):
    """A record's own text may hold the placeholder: what is scored is where a step ends, whatever is inside. Up
    to each scored position the ids are those of the text up to that step's end."""
    sequence = encoder_of(tokenizer, tokens).encode(record(steps, src=(prompt,)))
    assert len(sequence.scored) == len(sequence.labels) == len(steps)
    assert (sequence.ids[sequence.scored] == tokens.placeholder).all()
    assert sequence.scored[-1] == len(sequence.ids) - 1
    for number, position in enumerate(sequence.scored):
        up_to_here = tokenizer(solution_text(prompt, steps[: number + 1]))["input_ids"]
        assert sequence.ids[: position + 1].tolist() == up_to_here


def test_the_placeholders_text_in_a_record_is_there_and_not_scored(tokenizer, tokens):
    """Not only not scored, but not taken out either."""
    one = record((f"a {PLACEHOLDER} b", "c"), src=(f"is {PLACEHOLDER} a word?",))
    sequence = encoder_of(tokenizer, tokens).encode(one)
    assert (sequence.ids == tokens.placeholder).sum() == 4
    assert len(sequence.scored) == 2


def test_a_blank_src_leaves_the_question_in_the_first_step(tokenizer, tokens):
    """As the published set has it: no blank and no line break before the first step, which starts the text."""
    steps = ("What is 2 + 3? Step 1: 5", "Step 2: done")
    for src in ((), ("",), (" \n",)):
        sequence = encoder_of(tokenizer, tokens).encode(record(steps, src=src))
        assert sequence.ids.tolist() == tokenizer(solution_text("", steps))["input_ids"]
        assert len(sequence.scored) == 2


def test_several_turns_stand_in_order_line_by_line(tokenizer, tokens):
    one = record(("5",), src=("first question ", "second", " third?"), tgt=(" first answer", "\nsecond answer"))
    prompt = "first question\nfirst answer\nsecond\nsecond answer\nthird?"
    sequence = encoder_of(tokenizer, tokens).encode(one)
    assert sequence.ids.tolist() == tokenizer(solution_text(prompt, ("5",)))["input_ids"]


def test_encoding_again_gives_the_same(tokenizer, tokens):
    """Texts are cached as lists, which an in-place addition would spoil for the next solution."""
    encoder = encoder_of(tokenizer, tokens)
    one = record(("a b", "c d"))
    first = encoder.encode(one)
    for steps in (("a b", "other"), ("a b", "c d", "e")):
        encoder.encode(record(steps))
    assert encoder.encode(one).ids.tolist() == first.ids.tolist()


@quick
@given(STEPS, st.integers(1, 30))
def test_prompts_are_cut_from_the_left_and_keep_the_start_token(tokenizer, tokens, steps, max_prompt_len):
    """The question is at a prompt's end. max_prompt_len counts the start token."""
    one = record(steps, src=("one two three four five six seven eight nine ten?",))
    whole = encoder_of(tokenizer, tokens).encode(one)
    prompt, _ = lengths(encoder_of(tokenizer, tokens), one)
    encoder = encoder_of(tokenizer, tokens, max_prompt_len=max_prompt_len)
    cut = encoder.encode(one)
    kept = min(prompt, max_prompt_len)
    assert cut.ids[0] == tokenizer.bos_token_id
    assert cut.ids[1:kept].tolist() == whole.ids[prompt - kept + 1 : prompt].tolist()
    if kept > 1:  # with nothing of the prompt left, the first step starts the text
        assert cut.ids[kept:].tolist() == whole.ids[prompt:].tolist()
    assert encoder.counts.prompts_cut == (max_prompt_len < prompt)
    assert cut.labels.tolist() == list(one.labels)


def test_a_prompt_is_cut_to_max_prompt_len_without_a_start_token_too(byte_level):
    tokenizer, tokens = byte_level
    encoder = encoder_of(tokenizer, tokens, max_prompt_len=4)
    sequence = encoder.encode(record(("x",), src=("abcdefgh",)))
    assert sequence.ids.tolist() == tokenizer(solution_text("efgh", ("x",)))["input_ids"]
    assert encoder.counts.prompts_cut == 1


@quick
@given(TEXT, STEPS, st.data())
def test_whole_steps_are_cut_from_the_end_and_counted(tokenizer, tokens, prompt, steps, data):
    """Exactly the steps that fit stay, with their own labels: half a step has no label, and targets that were not
    shortened with the steps would shift."""
    one = record(steps, src=(prompt,))
    whole = encoder_of(tokenizer, tokens).encode(one)
    max_seq_len = data.draw(st.integers(1, len(whole) + 2))
    fitting = int((whole.scored < max_seq_len).sum())
    encoder = encoder_of(tokenizer, tokens, max_seq_len)
    sequence = encoder.encode(one)
    counts = encoder.counts
    if not fitting:
        assert sequence is None
        assert counts.dropped.total() == 1 and counts.solutions == counts.steps == counts.tokens == 0
        return
    assert len(sequence) == whole.scored[fitting - 1] + 1 <= max_seq_len
    assert sequence.ids.tolist() == whole.ids[: len(sequence)].tolist()
    assert sequence.scored.tolist() == whole.scored[:fitting].tolist()
    assert sequence.labels.tolist() == list(one.labels[:fitting])
    assert (counts.solutions, counts.steps, counts.tokens) == (1, fitting, len(sequence))
    assert (counts.solutions_cut, counts.steps_cut) == (fitting < len(steps), len(steps) - fitting)
    assert counts.positive == sum(one.labels[:fitting])
    assert not counts.dropped


def test_a_step_fits_to_the_token(tokenizer, tokens):
    """The placeholder is part of what has to fit."""
    one = record(("first step", "second step"))
    prompt, (first, second) = lengths(encoder_of(tokenizer, tokens), one)
    for spare, steps in ((0, 2), (-1, 1)):
        sequence = encoder_of(tokenizer, tokens, prompt + first + second + spare).encode(one)
        assert len(sequence.scored) == steps
    assert encoder_of(tokenizer, tokens, prompt + first).encode(one) is not None
    assert encoder_of(tokenizer, tokens, prompt + first - 1).encode(one) is None


def test_what_was_cut_and_dropped_adds_up(tokenizer, tokens):
    """Over many records: every solution is kept or dropped by reason, every step of a kept one scored or cut."""
    encoder = encoder_of(tokenizer, tokens, max_seq_len=60, max_prompt_len=10)
    records = [
        record([f"step {n} " * (1 + (7 * n + size) % 20) for n in range(1 + size % 5)], src=("q " * size,))
        for size in range(1, 60)
    ]
    sequences = [encoder.encode(one) for one in records]
    kept = [(one, sequence) for one, sequence in zip(records, sequences, strict=True) if sequence is not None]
    counts = encoder.counts
    assert counts.solutions == len(kept) and counts.dropped.total() == len(records) - len(kept) > 0
    assert counts.steps + counts.steps_cut == sum(len(one.steps) for one, _ in kept)
    assert counts.steps == sum(len(sequence.scored) for _, sequence in kept)
    assert counts.solutions_cut == sum(len(sequence.scored) < len(one.steps) for one, sequence in kept) > 0
    assert counts.tokens == sum(len(sequence) for _, sequence in kept)
    assert counts.positive_share == pytest.approx(np.concatenate([sequence.labels for _, sequence in kept]).mean())
    assert 0 < counts.prompts_cut < len(kept)
