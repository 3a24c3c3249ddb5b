"""Models that were exported, read by transformers alone, in the way that each form is published.

Started by its path in an environment with transformers and torch, so it imports nothing of this project. The job comes
from stdin as JSON, [{form, folder, texts, tag, good, bad}]; what was read is one JSON line.
"""

import json
import sys

import torch
import transformers
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    Qwen2Model,
)

# The name of this argument in transformers 4.55 and in 5.
DTYPE = {"torch_dtype" if transformers.__version__ < "4.56" else "dtype": torch.float32}


def load(auto_class, folder: str):
    model, about = auto_class.from_pretrained(folder, output_loading_info=True, **DTYPE)
    wrong = {name: list(found) for name, found in about.items() if found}
    assert not wrong, f"{folder}: {wrong}"
    return model.eval()


def causal_lm(job: dict, tokenizer) -> list[list[float]]:
    """As Math-Shepherd's model card has it: the two candidates' logits at the tag. The card cuts off the start token,
    which Qwen's tokenizers do not have."""
    model = load(AutoModelForCausalLM, job["folder"])
    candidates = tokenizer.encode(f"a {job['good']} {job['bad']}")[-2:]
    tag = tokenizer.encode(f"a {job['tag']}")[-1]
    scores = []
    for text in job["texts"]:
        ids = torch.tensor([tokenizer.encode(text)])
        of_candidates = model(ids).logits[:, :, candidates].softmax(dim=-1)[:, :, 0]
        scores.append(of_candidates[ids == tag].tolist())
    return scores


def token_classification(job: dict, tokenizer) -> list[list[float]]:
    """As TRL's trainer labels them: class 1 at the last token of the separator."""
    model = load(AutoModelForTokenClassification, job["folder"])
    assert model.config.id2label == {0: "-", 1: "+"}
    tag = tokenizer.encode(f"a {job['tag']}")[-1]
    scores = []
    for text in job["texts"]:
        ids = torch.tensor([tokenizer.encode(text)])
        scores.append(model(ids).logits.softmax(dim=-1)[:, :, 1][ids == tag].tolist())
    return scores


def sequence_classification(job: dict, tokenizer) -> list[list[float]]:
    """As reward models of preferences are read: one logit for a text, all texts in one padded batch."""
    model = load(AutoModelForSequenceClassification, job["folder"])
    assert model.config.num_labels == 1
    batch = tokenizer(job["texts"], padding=True, return_tensors="pt")
    return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.tolist()


def qwen_prm(job: dict, tokenizer) -> list[list[float]]:
    """As Qwen's own class is built, which is no part of transformers: a Qwen2Model and an MLP named score."""
    config = AutoConfig.from_pretrained(job["folder"])
    assert (config.num_labels, config.model_type) == (2, "qwen2")
    model, about = Qwen2Model.from_pretrained(job["folder"], output_loading_info=True, **DTYPE)
    assert not about["missing_keys"], about
    size = config.hidden_size
    score = torch.nn.Sequential(torch.nn.Linear(size, size), torch.nn.ReLU(), torch.nn.Linear(size, 2))
    weights = load_file(f"{job['folder']}/model.safetensors")
    score.load_state_dict({name[6:]: tensor for name, tensor in weights.items() if name.startswith("score.")})
    tag = tokenizer.encode(f"a {job['tag']}")[-1]
    scores = []
    for text in job["texts"]:
        ids = torch.tensor([tokenizer.encode(text)])
        logits = score(model.eval()(ids).last_hidden_state)
        scores.append(logits.softmax(dim=-1)[:, :, 1][ids == tag].tolist())
    return scores


READERS = {
    "qwen-prm": qwen_prm,
    "causal-lm": causal_lm,
    "token-classification": token_classification,
    "sequence-classification": sequence_classification,
}


def read(job: dict) -> list[list[float]]:
    with torch.no_grad():
        return READERS[job["form"]](job, AutoTokenizer.from_pretrained(job["folder"]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({"version": transformers.__version__, "scores": [read(job) for job in json.load(sys.stdin)]}))
