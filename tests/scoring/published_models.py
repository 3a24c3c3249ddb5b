"""Tiny models with the heads and weight names of published reward models."""

import numpy as np

from tests.core import model_folders

QUESTION, STEPS = "What is 2 + 3?", ["Add: 2 + 3 = 5", "So it is 5."]
HEADS = {
    "mlp": {"score.0.weight": [32, 32], "score.0.bias": [32], "score.2.weight": [2, 32], "score.2.bias": [2]},
    "value": {"v_head.summary.weight": [1, 32], "v_head.summary.bias": [1]},
    "classes": {"score_head.weight": [3, 32], "score_head.bias": [3]},
    "linear": {"score.weight": [2, 32], "score.bias": [2]},
    "scalar": {"score.weight": [1, 32]},
}


def make_model(folder, tokenizer, head: str | None, architecture="Qwen2ForTokenClassification", seed=5, **changes):
    """Without an LM head where it has another one; the config and the weights."""
    base = model_folders.QWEN3 if architecture.startswith("Qwen3") else model_folders.QWEN2
    config = base | {"vocab_size": 500, "architectures": [architecture], **changes}
    random = np.random.default_rng(seed)
    weights = model_folders.random_weights(config)
    weights = {
        name: (array + 0.02 * random.normal(size=array.shape)).astype("float32") for name, array in weights.items()
    }
    if head:
        del weights["lm_head.weight"]
        weights |= {name: random.normal(scale=0.3, size=size).astype("float32") for name, size in HEADS[head].items()}
    model_folders.write(folder, config, weights)
    for file in tokenizer.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return config, weights
