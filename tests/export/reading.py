"""What an export wrote, read by its files alone."""

from __future__ import annotations

import json

import numpy as np
from safetensors.numpy import load_file

from llm.core.text.load_tokenizer import load_tokenizer
from llm.export.export import main
from llm.scoring.scorer import Scorer
from tests.core import numpy_forward
from tests.export.models import QUESTION, STEPS


def export(model, out, form: str, *flags: str) -> dict[str, np.ndarray]:
    """The weights that are written."""
    main([str(model), str(out), "--to", form, *flags])
    return {name: array for file in out.glob("*.safetensors") for name, array in load_file(file).items()}


def config_of(out) -> dict:
    return json.loads((out / "config.json").read_text())


def scores_of(folder) -> np.ndarray:
    """ln(p / (1 - p)) of the steps, or of the answer."""
    return Scorer.load(folder).score([{"question": QUESTION, "steps": STEPS}])[0].log_odds


def hidden_states(out, weights: dict, text: str):
    """(of the placeholders in the text, by the files alone)"""
    tokenizer = load_tokenizer(str(out))
    ids = tokenizer(text)["input_ids"]
    hidden = numpy_forward.hidden_states(config_of(out), weights, ids, np.arange(len(ids)), [len(ids)] * len(ids))
    return hidden[[number for number, token in enumerate(ids) if token == tokenizer(" ки")["input_ids"][-1]]]
