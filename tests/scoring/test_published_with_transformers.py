"""transformers and torch, used as the model cards and evaluators of published models do, give the scores of this
project. Run for real where LLM_TRANSFORMERS_PYTHONS names Pythons that have them (`make test-peer`)."""

from pathlib import Path

import pytest

from llm.scoring.conventions.find import PUBLISHED
from llm.scoring.scorer import Scorer
from tests.scoring.published_models import HEADS, QUESTION, STEPS, make_model
from tests.transformers_pythons import EVERY_PYTHON, MARKS, PYTHONS, answer_of

READER = Path(__file__).with_name("read_with_transformers.py")
# trl and pure are read as token classifiers, the rest as a backbone, a language model, or a policy and its reference.
ARCHITECTURES = {"rlhflow": "Qwen2ForCausalLM", "math-shepherd": "Qwen2ForCausalLM", "implicit": "Qwen2ForCausalLM"}

pytestmark = MARKS


@pytest.fixture(scope="module")
def jobs(tokenizer, tmp_path_factory) -> list[tuple[dict, list[float]]]:
    """Every convention: what is to be read, and the scores of this project."""
    found = []
    for name, convention in PUBLISHED.items():
        folder, reference = tmp_path_factory.mktemp(name), None
        head = convention.HEAD if convention.HEAD in HEADS else None  # else the LM head
        architecture = ARCHITECTURES.get(name, "Qwen2ForTokenClassification")
        make_model(folder / "m", tokenizer, head, architecture)
        if name == "implicit":
            reference = folder / "r"
            make_model(reference, tokenizer, head, architecture, seed=6)
        scorer = Scorer.load(folder / "m", convention=name, reference=reference)
        scores = scorer.score([{"question": QUESTION, "steps": STEPS}])[0].steps
        job = {"convention": name, "folder": str(folder / "m"), "reference": reference and str(reference)}
        found.append((job | {"question": QUESTION, "steps": STEPS}, scores))
    return found


@EVERY_PYTHON
def test_every_convention_gives_what_its_authors_code_gives(jobs, number):
    found = answer_of(PYTHONS[number], READER, [job for job, _ in jobs])
    for (job, expected), scores in zip(jobs, found["scores"], strict=True):
        assert scores == pytest.approx(expected, abs=1e-5), (found["version"], job["convention"])
    assert len({round(score, 4) for _, scores in jobs for score in scores}) > len(jobs)  # they differ
