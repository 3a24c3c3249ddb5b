"""Lengths and cuts are those of training's own encoding."""

from __future__ import annotations

import random

import pytest

from llm.core.records.reward_records import LABELLED, PREFERENCES, Preference
from llm.core.text import parallel_encoding
from llm.core.text.encoding import StepEncoder
from llm.core.text.reading import reward_reading
from llm.data.check.data_check import check_data
from llm.data.check.tokens import PartsEncoder, Tokens, encoded
from tests.data.check.records import kinds, line, measured, preference, record

WORDS = "Tom has three pens and buys four more".split()


def text(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(1, 12)))


@pytest.fixture
def encoder_of(tokenizer, tokens):
    return lambda limit: StepEncoder(tokenizer, tokens, limit, 24)


def tokens_of(encoder, *records):
    form = PREFERENCES if isinstance(records[0], Preference) else LABELLED
    of_parts = PartsEncoder(encoder, reward_reading(form).encode)
    return measured(Tokens(of_parts), *(encoded(of_parts, [each]) for each in records))


def test_what_is_counted_is_what_training_counts(encoder_of):
    chance = random.Random(0)
    records = []
    for _ in range(300):
        labels = chance.choices([1.0, 0.0, 0.5, None], k=chance.randint(1, 6))
        records.append(record(*labels, question=text(chance), steps=tuple(text(chance) for _ in labels)))
    check, said = tokens_of(encoder_of(48), *records)
    training, whole = encoder_of(48), encoder_of(1 << 20)
    trained = [training.encode(each) for each in records]
    lengths = [len(sequence) for each in records if (sequence := whole.encode(each)) is not None]
    labelled = [each for each in records if any(label is not None for label in each.labels)]
    assert check.counts == training.counts
    assert sorted(check.lengths.counts.elements()) == sorted(lengths)
    too_long = training.counts.dropped["first labelled step does not fit into max_seq_len"]
    assert (check.cut.count, check.dropped.count) == (training.counts.solutions_cut, too_long)
    assert check.share_cut == (training.counts.solutions_cut + too_long) / len(labelled)
    assert [bool(why) for why in said] == [
        sequence is None and each in labelled for sequence, each in zip(trained, records, strict=True)
    ]
    assert kinds(check) == ["dropped by max_seq_len", "cut by max_seq_len", "prompt cut"]


def test_the_length_of_a_pair_is_what_it_needs_in_a_row(encoder_of):
    check, _ = tokens_of(encoder_of(400), preference("Tom has three pens", "Tom has three pens and more"))
    pair = encoder_of(400).encode_pair(preference("Tom has three pens", "Tom has three pens and more"), 0.0)
    shared = len(pair.chosen) - 1  # all but the placeholder
    (length,) = check.lengths.counts
    assert length == len(pair.chosen) + len(pair.rejected) - shared
    fits, _ = tokens_of(encoder_of(length), preference("Tom has three pens", "Tom has three pens and more"))
    cut, _ = tokens_of(encoder_of(length - 1), preference("Tom has three pens", "Tom has three pens and more"))
    assert kinds(fits) == [] and kinds(cut) in (["cut by max_seq_len"], ["dropped by max_seq_len"])


def test_a_dialogue_that_the_chat_template_refuses_is_found_and_ends_nothing(encoder_of, monkeypatch):
    def refuse(self, record):
        raise ValueError(f"{record.place}: the template takes no such dialogue")

    monkeypatch.setattr(StepEncoder, "encode", refuse)
    check, said = tokens_of(encoder_of(48), record(1.0))
    (finding,) = check.findings()
    assert said == ["refused by the chat template"] == [finding.kind]
    assert finding.examples == ("data.jsonl:1: the template takes no such dialogue",)


@pytest.mark.runs
def test_several_processes_find_what_one_finds(tokenizer, tokens, tmp_path, monkeypatch):
    """Bad records among the others, before the first and behind the last; duplicates of what does not fit."""
    monkeypatch.setattr(parallel_encoding, "AT_A_TIME", 3)
    chance = random.Random(1)
    lines = ["bad", "{}"]
    for number in range(60):
        labels = chance.choices(["+", "-", None], k=chance.randint(1, 6))
        steps = [text(chance) for _ in labels]
        lines += chance.choices([line(text(chance), labels, responses=steps), "[]"], [4, 1]) * (1 + (number % 7 == 0))
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join([*lines, "bad"]), encoding="utf-8")
    reading = reward_reading(LABELLED, make_encoder=lambda: StepEncoder(tokenizer, tokens, 24, 12))
    one, several = (check_data([data], reading, processes=count) for count in (1, 3))
    assert one.facts() == several.facts() and one.findings() == several.findings()
    assert (one.destinations, one.left_out) == (several.destinations, several.left_out)
    assert {"bad", "does not fit into max_seq_len", "duplicate"} <= one.left_out.keys()
    assert one.read == len(lines) + 1 == len(one.destinations) and one.usable > 30
