"""transformers reads what was exported, without remote code, and gives the scores of this project; and what it saves
computes the same here. Run for real where LLM_TRANSFORMERS_PYTHONS names Pythons that have it (`make test-peer`)."""

from pathlib import Path

import numpy as np
import paddle
import pytest

from llm.core.model import forward
from llm.core.model.head import heads
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.reward_tokens import add_placeholder
from llm.export.export import main
from llm.scoring.scorer import Scorer
from tests.core import model_folders
from tests.core.conftest import write_qwen2
from tests.export.models import MODELS, make_model
from tests.transformers_pythons import EVERY_PYTHON, MARKS, PYTHONS, answer_of

READER, WRITER = (Path(__file__).with_name(f"{verb}_with_transformers.py") for verb in ("read", "write"))
FORMS = ("causal-lm", "token-classification", "sequence-classification", "qwen-prm")  # the last one is Qwen2's alone
WITH_A_HEAD = [  # a model, its head, the forms that hold it
    ("qwen2", "linear", ("token-classification", "qwen-prm")),
    ("qwen2", "value", ("token-classification", "qwen-prm")),
    ("qwen2", "mlp", ("qwen-prm",)),
    ("llama 3", "linear", ("token-classification",)),
]
SOLUTIONS = [
    {"question": "Sam has 3 pens. He finds 4. How many?", "steps": ["Step 1: 3 + 4 = 7.", "Step 2: The answer is: 8"]},
    {"question": "1 + 1?", "steps": ["2"]},
    {"question": "Ben has 9 cards and loses 2.", "steps": ["He loses 2.", "9 - 2 = 7", "It is 7."]},
]

pytestmark = MARKS


def text_of(solution: dict, each_step: bool) -> str:
    if each_step:
        return f"{solution['question']} " + "\n".join(f"{step} ки" for step in solution["steps"])
    return f"{solution['question']} " + "\n".join(solution["steps"]) + " ки"


@pytest.fixture(scope="module")
def of_qwen(tmp_path_factory):
    """A tokenizer of Qwen's kind, as which transformers 5 reads that of every Qwen model."""
    folder = tmp_path_factory.mktemp("qwen2")
    write_qwen2(folder)
    tokenizer = load_tokenizer(str(folder))
    add_placeholder(tokenizer, "ки")
    return tokenizer


@pytest.fixture(scope="module")
def jobs(tokenizer, of_qwen, tmp_path_factory) -> list[tuple[dict, list[list[float]]]]:
    """Every model in every form, and every head of a model's own in the forms that hold it: what is to be read, and the
    scores of this project."""
    found = []
    for name, head, forms in [*((name, None, FORMS) for name in MODELS), *WITH_A_HEAD]:
        is_qwen = name.lower().startswith("qwen")
        for form in forms if name.lower().startswith("qwen2") else forms[:3]:
            folder = tmp_path_factory.mktemp("model")
            each_step = form != "sequence-classification"
            own = of_qwen if is_qwen else tokenizer
            model = make_model(name, folder / "source", own, process_reward=each_step, head=head)
            main([str(model), str(folder / form), "--to", form])
            scores = Scorer.load(model).score(SOLUTIONS)
            texts = [text_of(solution, each_step) for solution in SOLUTIONS]
            job = {"form": form, "folder": str(folder / form), "texts": texts, "tag": "ки", "good": "+", "bad": "-"}
            found.append((job, [one.steps if each_step else [one.reward] for one in scores]))
    return found


@EVERY_PYTHON
def test_transformers_gives_our_scores(jobs, number):
    found = answer_of(PYTHONS[number], READER, [job for job, _ in jobs])
    for (job, expected), scores in zip(jobs, found["scores"], strict=True):
        for one, other in zip(expected, scores, strict=True):
            assert other == pytest.approx(one, abs=1e-4), (found["version"], job)


NOT_GIVEN = ("architectures", "model_type", "torch_dtype", "transformers_version")  # transformers writes its own


@EVERY_PYTHON
def test_what_transformers_saves_computes_the_same_here(number, tmp_path):
    """In the files of its version: newer ones write rope_parameters and layer_types."""
    ids, tokens = list(range(3, 35)), [model_folders.TOKENS.positive, model_folders.TOKENS.negative]
    jobs = [
        {
            "folder": str(tmp_path / name),
            "model_type": config["model_type"],
            "settings": {setting: value for setting, value in config.items() if setting not in NOT_GIVEN},
            "ids": [token % config["vocab_size"] for token in ids],
            "tokens": tokens,
        }
        for name, config in model_folders.FAMILIES.items()
    ]
    found = answer_of(PYTHONS[number], WRITER, jobs)
    inputs = np.arange(len(ids)), np.full(len(ids), len(ids), "int32")
    for job, expected in zip(jobs, found["logits"], strict=True):
        model = model_folders.load(Path(job["folder"]))
        with paddle.no_grad():
            row = (paddle.to_tensor(array).unsqueeze(0) for array in (np.array(job["ids"]), *inputs))
            logits = heads.reward_logits(model, forward.hidden_states(model, *row)[0], model_folders.TOKENS)
        np.testing.assert_allclose(logits.numpy(), expected, atol=1e-4, err_msg=f"{found['version']} {job['folder']}")
        assert np.ptp(expected) > 0.1
