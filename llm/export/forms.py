"""The forms of an export: which architecture other programs build, and which head they read there. No paddle here.

Every head is made of the two rows of the LM head that a reward is read from, those of "-" and "+".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Head = dict[str, np.ndarray]
# Where transformers finds the classes that it does not have. vLLM has its own.
QWEN_CODE = {
    "AutoConfig": "Qwen/Qwen2.5-Math-PRM-7B--configuration_qwen2_rm.Qwen2RMConfig",
    "AutoModel": "Qwen/Qwen2.5-Math-PRM-7B--modeling_qwen2_rm.Qwen2ForProcessRewardModel",
}


class Form(NamedTuple):
    architecture: str  # after the family's name
    reading: str  # how a score is read; {tag} is the placeholder
    make_head: Callable[[np.ndarray, np.ndarray], Head] | None = None  # None: the LM head stays
    settings: dict = {}  # of config.json
    families: tuple[str, ...] | None = None  # None: all


def two_classes(negative_E: np.ndarray, positive_E: np.ndarray) -> Head:
    """transformers' token classifiers have a bias, and draw one at random where the file lacks it."""
    return {"score.weight": np.stack([negative_E, positive_E]), "score.bias": np.zeros(2, np.float32)}


def one_reward(negative_E: np.ndarray, positive_E: np.ndarray) -> Head:
    """transformers' sequence classifiers have no bias."""
    return {"score.weight": (positive_E - negative_E)[None]}


def two_classes_of_mlp(negative_E: np.ndarray, positive_E: np.ndarray) -> Head:
    """x = relu(x) - relu(-x): four hidden units carry both logits through the MLP as they are."""
    size = len(negative_E)
    first_EE, second_2E = np.zeros([size, size], np.float32), np.zeros([2, size], np.float32)
    first_EE[:4] = negative_E, -negative_E, positive_E, -positive_E
    second_2E[0, :2] = second_2E[1, 2:4] = 1, -1
    return {
        "score.0.weight": first_EE,
        "score.0.bias": np.zeros(size, np.float32),
        "score.2.weight": second_2E,
        "score.2.bias": np.zeros(2, np.float32),
    }


def _labels(*names: str) -> dict:
    return {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}


FORMS = {
    "causal-lm": Form("ForCausalLM", "softmax over the logits of the two reward tokens, at every {tag}"),
    "token-classification": Form(
        "ForTokenClassification",
        "class 1 of the softmax, at every {tag}",
        two_classes,
        _labels("-", "+"),
    ),
    "sequence-classification": Form(
        "ForSequenceClassification",
        "the one logit is the reward logit(+) - logit(-) at the last token: end the text with {tag}",
        one_reward,
        _labels("reward"),
    ),
    "qwen-prm": Form(
        "ForProcessRewardModel",
        "class 1 of the softmax, at every {tag}; transformers needs trust_remote_code and a connection for Qwen's code",
        two_classes_of_mlp,
        _labels("-", "+") | {"num_labels": 2, "auto_map": QWEN_CODE},
        families=("qwen2",),
    ),
}
