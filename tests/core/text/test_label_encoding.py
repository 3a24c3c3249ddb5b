"""Which labels and answers are scored, and what becomes of those that do not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llm.core.records.reward_records import Preference, Record
from llm.core.rows.prefix_tree import lone_tree
from llm.core.text.encoding import StepEncoder

quick = settings(max_examples=50)


def record(steps, src=("What is 2 + 3?",)) -> Record:
    return Record(src, (), tuple(steps), (1.0,) * len(steps), "data.jsonl:1")


def encoder_of(tokenizer, tokens, max_seq_len=100_000, max_prompt_len=100_000) -> StepEncoder:
    return StepEncoder(tokenizer, tokens, max_seq_len, max_prompt_len)


# ---- labels that are not there, weights


def test_steps_without_a_label_are_context_and_those_behind_the_last_label_are_left_out(tokenizer, tokens):
    one = record(("a b", "c d", "e f", "g h"))
    whole = encoder_of(tokenizer, tokens).encode(one)
    encoder = encoder_of(tokenizer, tokens)
    some = encoder.encode(replace(one, labels=(None, 0.25, None, None), weight=3.0))
    assert some.ids.tolist() == whole.ids[: len(some)].tolist()
    assert some.scored.tolist() == whole.scored[1:2].tolist() == [len(some) - 1]
    assert some.labels.tolist() == [0.25] and some.weight == 3.0
    assert (encoder.counts.steps, encoder.counts.tokens, encoder.counts.steps_cut) == (1, len(some), 0)
    assert encoder.encode(replace(one, labels=(None,) * 4)) is None
    assert encoder.counts.dropped == {"without a label to learn from": 1}


def test_labels_that_are_cut_are_counted_and_a_solution_that_keeps_none_is_dropped(tokenizer, tokens):
    one = record(("a b", "c d", "e f", "g h"))
    whole = encoder_of(tokenizer, tokens).encode(one)
    encoder = encoder_of(tokenizer, tokens, max_seq_len=int(whole.scored[2]))  # the third step does not fit
    kept = encoder.encode(replace(one, labels=(1.0, None, 0.0, None)))
    assert kept.scored.tolist() == whole.scored[:1].tolist() and len(kept) == whole.scored[0] + 1
    assert (encoder.counts.solutions_cut, encoder.counts.steps_cut) == (1, 1)
    assert encoder.encode(replace(one, labels=(None, None, None, 1.0))) is None
    assert encoder.counts.dropped == {"first labelled step does not fit into max_seq_len": 1}


@pytest.mark.parametrize(
    ("labels", "is_cut"),
    [
        ((1.0, 1.0, 0.0, 0.0), True),  # the error is behind the cut
        ((1.0, 1.0, None, 0.0), True),
        ((1.0, 0.0, 0.0, 0.0), False),  # an error is in front of it
        ((1.0, 1.0, 1.0, 1.0), False),  # there is none
        ((1.0, 1.0, None, None), False),
    ],
)
def test_a_solution_that_lost_its_first_error_is_marked_and_counted(tokenizer, tokens, labels, is_cut):
    """Only two steps are kept."""
    one = record(("a b", "c d", "e f", "g h"))
    whole = encoder_of(tokenizer, tokens).encode(one)
    encoder = encoder_of(tokenizer, tokens, max_seq_len=int(whole.scored[2]))
    kept = encoder.encode(replace(one, labels=labels))
    assert len(kept.scored) == 2
    assert kept.error_cut == is_cut and encoder.counts.errors_cut == is_cut
    assert not encoder_of(tokenizer, tokens).encode(replace(one, labels=labels)).error_cut


# ---- pairs


def preference(chosen: str, rejected: str, margin=None) -> Preference:
    return Preference(("How many?",), (), chosen, rejected, margin, "a:1", 2.0)


def test_an_answer_of_a_pair_is_encoded_as_the_same_answer_alone(tokenizer, tokens):
    """Training on pairs and scoring an answer see the same tokens."""
    encoder = encoder_of(tokenizer, tokens)
    pair = encoder.encode_pair(preference("a b\nc", "d"), default_margin=0.5)
    for answer, text in ((pair.chosen, "a b\nc"), (pair.rejected, "d")):
        alone = encoder.encode(record((text,), src=("How many?",)))
        assert answer.ids.tolist() == alone.ids.tolist()
        assert answer.scored.tolist() == alone.scored.tolist() == [len(alone) - 1]
        assert answer.prompt_len == alone.prompt_len and answer.weight == 0
    assert (pair.margin, pair.weight) == (0.5, 2.0)
    assert encoder.encode_pair(preference("a", "b", margin=2.0), default_margin=0.5).margin == 2.0
    assert (encoder.counts.pairs, encoder.counts.answers_cut) == (2, 0)


WORDS = st.lists(st.sampled_from(["one", "two", "three"]), min_size=1, max_size=30).map(" ".join)


@quick
@given(WORDS, WORDS.filter(bool), st.integers(4, 60))
def test_answers_that_are_too_long_are_cut_in_proportion(tokenizer, tokens, chosen, rejected, room):
    """Together with their prompt they fit, as a tree; both keep their shares of what they do not have in common."""
    assume(chosen != rejected)
    whole = encoder_of(tokenizer, tokens).encode_pair(preference(chosen, rejected), 0.0)
    prompt = whole.chosen.prompt_len
    encoder = encoder_of(tokenizer, tokens, max_seq_len=prompt + room)
    pair = encoder.encode_pair(preference(chosen, rejected), 0.0)
    if pair is None:
        assert encoder.counts.dropped == {"answers do not differ within max_seq_len": 1}
        return
    assert len(lone_tree(pair)) <= prompt + room
    parts = [(pair.chosen, whole.chosen), (pair.rejected, whole.rejected)]
    for mine, full in parts:
        assert mine.ids[:-1].tolist() == full.ids[: len(mine) - 1].tolist()
        assert mine.ids[-1] == tokens.placeholder and len(mine) > prompt + 1
    cut = [len(full) - len(mine) for mine, full in parts]
    assert (encoder.counts.answers_cut, encoder.counts.answer_tokens_cut) == (sum(map(bool, cut)), sum(cut))
    shared = next(i for i, (a, b) in enumerate(zip(whole.chosen.ids, whole.rejected.ids, strict=False)) if a != b)
    lengths = [len(full) - 1 - shared for _, full in parts]
    if not any(cut):
        return
    assert len(lone_tree(pair)) == prompt + room  # nothing is cut that would have fitted
    share = (len(pair.chosen) - 1 - shared) / (room + prompt - shared - 2)
    assert share == pytest.approx(lengths[0] / sum(lengths), abs=1 / max(room + prompt - shared - 2, 1))


def test_answers_that_differ_only_behind_the_cut_are_dropped_and_counted(tokenizer, tokens):
    encoder = encoder_of(tokenizer, tokens, max_seq_len=20, max_prompt_len=10)
    assert encoder.encode_pair(preference("one " * 30 + "two", "one " * 30 + "three"), 0.0) is None
    assert encoder.counts.dropped == {"answers do not differ within max_seq_len": 1}


def test_a_short_answer_beside_a_very_long_one_keeps_a_token(tokenizer, tokens):
    """Its share would round to nothing, and the pair would be lost."""
    prompt = encoder_of(tokenizer, tokens).encode_pair(preference("x", "y"), 0.0).chosen.prompt_len
    encoder = encoder_of(tokenizer, tokens, max_seq_len=prompt + 8)
    pair = encoder.encode_pair(preference("7", "one two three " * 20), 0.0)
    assert len(pair.chosen) > prompt + 1 and len(pair.rejected) > prompt + 1
    assert encoder.counts.answers_cut > 0 and not encoder.counts.dropped
