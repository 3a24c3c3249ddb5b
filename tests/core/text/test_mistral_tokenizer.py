"""With Mistral's own vocabulary: the ids that published process reward models were trained on and are asked at."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm.core.records.reward_records import Record
from llm.core.text.encoding import StepEncoder
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.pieces_as_json import backend_of
from llm.core.text.reward_tokens import find_reward_tokens, ids_in_context

SPEC = find_spec("mistral_common")
VOCABULARY = Path(SPEC.submodule_search_locations[0] if SPEC else "") / "data" / "tokenizer.model.v1"
pytestmark = pytest.mark.skipif(SPEC is None, reason="mistral-common is not installed: it holds Mistral's vocabulary")
SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "samples" / "math_shepherd" / "samples_math-shepherd.jsonl"
PLACEHOLDER = "ки"
ENDINGS = [
    "a day",
    "a day.",
    "sells 9",
    "= <<40*3=120>>120",
    r"\frac{1}{2}$",
    r"\[x^2\]",
    "so:",
    "2 +",
    "2 -",
    "(a)",
    "ки",
    "ки ки",
    "日本語の手順",
    "日本語。",
    "Шаг",
    "عربى",
    "e\u0301",
    "🙂",
    "a\nb",
    "a\n\n  b",
    "a\tb",
    "a  b",
    "</s>",
    "[INST]",
    "<0x0A>",
    "day ",
    "day  ",
    "day\n",
    "day\t",
    "day\u00a0",
]
# U+2581 is how SentencePiece writes a blank: at an end of a text the two can become one piece of both.
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="▁")
TEXT = st.lists(st.sampled_from(ENDINGS) | st.text(LETTERS, max_size=8), min_size=1, max_size=4).map("".join)
STEPS = st.lists(TEXT.map(str.strip).filter(bool), min_size=1, max_size=4)
quick = settings(max_examples=60)


@pytest.fixture(scope="module")
def mistral(tmp_path_factory):
    """(tokenizer, reward tokens, plain SentencePiece) of a folder as transformers writes it."""
    folder = tmp_path_factory.mktemp("mistral")
    shutil.copy(VOCABULARY, folder / "tokenizer.model")
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": None}
    config = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "legacy": True, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(str(folder))
    plain = sentencepiece.SentencePieceProcessor(model_file=str(VOCABULARY))
    return tokenizer, find_reward_tokens(tokenizer, PLACEHOLDER, ("+", "-")), plain


def encoded(mistral, prompt: str, steps):
    tokenizer, tokens, _ = mistral
    record = Record((prompt,), (), tuple(step.strip() for step in steps), (1.0,) * len(steps), "data.jsonl:1")
    return StepEncoder(tokenizer, tokens, 100_000, 100_000).encode(record)


def documented_text(prompt: str, steps) -> str:
    before = f"{prompt.strip()} " if prompt.strip() else ""
    return before + "\n".join(f"{step.strip()} {PLACEHOLDER}" for step in steps)


def assert_is_the_documented_text(mistral, prompt: str, steps):
    _, _, plain = mistral
    sequence = encoded(mistral, prompt, steps)
    assert sequence.ids.tolist() == [plain.bos_id(), *plain.encode(documented_text(prompt, steps))]
    assert len(sequence.scored) == len(steps) and (sequence.ids[sequence.scored] == 12902).all()
    assert sequence.scored[-1] == len(sequence.ids) - 1


def test_the_three_ids_are_those_of_published_models(mistral):
    """Mistral's vocabulary has the placeholder twice: behind a blank, and glued to the text before it. Published models
    are asked at the first."""
    tokenizer, tokens, plain = mistral
    assert (tokens.placeholder, tokens.positive, tokens.negative) == (12902, 648, 387)
    assert ids_in_context(tokenizer, PLACEHOLDER) == [1107]
    assert plain.id_to_piece([12902, 1107, 648, 387]) == ["▁ки", "ки", "▁+", "▁-"]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, len(tokenizer)) == (1, 2, 32000)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_step_is_scored_whatever_it_ends_in(mistral, ending):
    assert_is_the_documented_text(mistral, "What is 2 + 3?", [f"Step 1: {ending}", ending])


@quick
@given(TEXT, STEPS)
@example("", ["day"])
def test_ids_of_a_solution_are_those_of_the_documented_text_as_a_whole(mistral, prompt, steps):
    assert_is_the_documented_text(mistral, prompt, steps)


@pytest.mark.skipif(not SAMPLES.is_file(), reason="no shared samples beside the repository")
def test_math_shepherds_own_text_has_the_ids_of_its_record(mistral):
    """Its `input` is the documented text already, so nobody here has put it together."""
    _, _, plain = mistral
    for line in SAMPLES.read_text(encoding="utf-8").splitlines():
        text = json.loads(line)["input"].strip()
        question, _, solution = text.partition(" Step 1:")
        steps = ("Step 1:" + solution).removesuffix(f" {PLACEHOLDER}").split(f" {PLACEHOLDER}\n")
        sequence = encoded(mistral, question, steps)
        assert sequence.ids.tolist() == [plain.bos_id(), *plain.encode(text)]
        assert sequence.scored.tolist() == np.flatnonzero(sequence.ids == 12902).tolist()


def test_where_a_text_as_a_whole_says_something_else_the_placeholder_keeps_its_id(mistral):
    """Blanks at a step's end are further pieces in a text that keeps them; here a step is stripped. And without the
    blank before it the placeholder is the other piece, with which a model that looks for the first finds no step."""
    _, _, plain = mistral
    assert plain.encode(f"day  {PLACEHOLDER}")[-2:] == [28705, 12902]
    assert plain.encode(f"day.{PLACEHOLDER}")[-1] == 1107
    for step in ("day  ", "day.", "day.\n"):
        sequence = encoded(mistral, "q", [step])
        assert sequence.ids[1:].tolist() == plain.encode(f"q {step.strip()} {PLACEHOLDER}")
        assert sequence.ids[sequence.scored].tolist() == [12902]


@pytest.fixture(scope="module")
def as_json(mistral):
    return backend_of(mistral[2], blank_first=True, blank_later=True)


@quick
@given(st.lists(TEXT | st.integers(1, 40).map(lambda n: " " * n), max_size=6).map("".join))
@example("a" + " " * 17 + "\n" + " " * 15 + "b")
def test_as_a_tokenizer_json_the_vocabulary_gives_the_same_ids(mistral, as_json, text):
    assert as_json.encode(text, add_special_tokens=False).ids == mistral[2].encode(text)
    assert as_json.decode(as_json.encode(text).ids) == mistral[2].decode(mistral[2].encode(text))
