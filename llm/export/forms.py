"""The forms of an export: which architecture other programs build, and which head they read there. No paddle here.

A head is given by the names that published models have, matrices [out, in]. The two rows of the LM head that a reward
is read from are two classes without a bias; so is one value, against 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from llm.core.model.head.head_kinds import LM

Head = dict[str, np.ndarray]
ONE_LAYER = (LM, "linear", "value")
# Where transformers finds the classes that it does not have. vLLM has its own.
QWEN_CODE = {
    "AutoConfig": "Qwen/Qwen2.5-Math-PRM-7B--configuration_qwen2_rm.Qwen2RMConfig",
    "AutoModel": "Qwen/Qwen2.5-Math-PRM-7B--modeling_qwen2_rm.Qwen2ForProcessRewardModel",
}


class Form(NamedTuple):
    architecture: str  # after the family's name
    reading: str  # how a score is read; {tag} is the placeholder
    kinds: tuple[str, ...]  # of heads that it can hold
    make_head: Callable[[Head], Head] | None = None  # None: the LM head stays
    settings: dict = {}  # of config.json
    families: tuple[str, ...] | None = None  # None: all


def two_classes(head: Head) -> Head:
    """ "-" and "+". transformers' token classifiers have a bias, and draw one at random where the file lacks it."""
    if "score.weight" in head:
        return head
    weight_1E, bias_1 = head["v_head.summary.weight"], head["v_head.summary.bias"]
    return {
        "score.weight": np.concatenate([np.zeros_like(weight_1E), weight_1E]),
        "score.bias": np.concatenate([np.zeros_like(bias_1), bias_1]),
    }


def one_reward(head: Head) -> Head:
    """transformers' sequence classifiers have no bias."""
    classes = two_classes(head)
    if bias := float(np.diff(classes["score.bias"])[0]):
        raise ValueError(
            f"the rewards of this model have a bias of {bias:.6g}, and this form has none. Give token-classification; "
            "or train from preferences with a new head, whose bias stays 0."
        )
    return {"score.weight": np.diff(classes["score.weight"], axis=0)}


def two_layers(head: Head) -> Head:
    """x = relu(x) - relu(-x): four hidden units carry both logits through the MLP as they are."""
    if "score.0.weight" in head:
        return head
    classes = two_classes(head)
    negative_E, positive_E = classes["score.weight"]
    size = len(negative_E)
    first_EE, second_2E = np.zeros([size, size], np.float32), np.zeros([2, size], np.float32)
    first_EE[:4] = negative_E, -negative_E, positive_E, -positive_E
    second_2E[0, :2] = second_2E[1, 2:4] = 1, -1
    return {
        "score.0.weight": first_EE,
        "score.0.bias": np.zeros(size, np.float32),
        "score.2.weight": second_2E,
        "score.2.bias": classes["score.bias"],
    }


def _labels(*names: str) -> dict:
    return {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}


FORMS = {
    "causal-lm": Form("ForCausalLM", "softmax over the logits of the two reward tokens, at every {tag}", (LM,)),
    "token-classification": Form(
        "ForTokenClassification",
        "class 1 of the softmax, at every {tag}",
        ONE_LAYER,
        two_classes,
        _labels("-", "+"),
    ),
    "sequence-classification": Form(
        "ForSequenceClassification",
        "the one logit is the reward logit(+) - logit(-) at the last token: end the text with {tag}",
        ONE_LAYER,
        one_reward,
        _labels("reward"),
    ),
    "qwen-prm": Form(
        "ForProcessRewardModel",
        "class 1 of the softmax, at every {tag}; transformers needs trust_remote_code and a connection for Qwen's code",
        (*ONE_LAYER, "mlp"),
        two_layers,
        _labels("-", "+") | {"num_labels": 2, "auto_map": QWEN_CODE},
        families=("qwen2",),
    ),
}
