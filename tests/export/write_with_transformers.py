"""Random models of every family, saved by transformers, and what they compute there.

Started by its path in an environment with transformers and torch, so it imports nothing of this project. The job comes
from stdin as JSON, [{folder, model_type, settings, ids, tokens}]; the answer is one JSON line: of each model the logits
of these tokens at every position.
"""

import json
import sys

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM


def write(job: dict) -> list[list[float]]:
    config = AutoConfig.for_model(job["model_type"], **job["settings"])
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)  # norms start as 1, and biases as 0
        model.save_pretrained(job["folder"])
        return model(torch.tensor([job["ids"]])).logits[0, :, job["tokens"]].tolist()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(json.dumps({"version": transformers.__version__, "logits": [write(job) for job in json.load(sys.stdin)]}))
