"""Published reward models, read by transformers and torch alone, each in the way that its model card or its evaluators
have it.

Started by its path in an environment with transformers and torch, so it imports nothing of this project. The jobs come
from stdin as JSON, [{convention, folder, reference, question, steps}]; the scores of the steps are one JSON line.
"""

import json
import sys

import torch
import transformers
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    PreTrainedTokenizerFast,
)

# The name of this argument in transformers 4.55 and in 5.
DTYPE = {"torch_dtype" if transformers.__version__ < "4.56" else "dtype": torch.float32}


class Published:
    def __init__(self, folder: str):
        self.folder = folder
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        self.weights = load_file(f"{folder}/model.safetensors")

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def chat(self, *turns: tuple[str, str], **options) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        return self.tokenizer.apply_chat_template(messages, tokenize=False, **options)

    def hidden(self, ids: list[int]) -> torch.Tensor:
        return AutoModel.from_pretrained(self.folder, **DTYPE).eval()(torch.tensor([ids])).last_hidden_state[0]

    def logits(self, ids: list[int], kind=AutoModelForCausalLM) -> torch.Tensor:
        return kind.from_pretrained(self.folder, **DTYPE).eval()(torch.tensor([ids])).logits[0]

    def head(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))


def qwen_prm(model: Published, question: str, steps: list[str]) -> torch.Tensor:
    asked = r"Please reason step by step, and put your final answer within \boxed{}."
    answer = "<extra_0>".join(steps) + "<extra_0>"
    ids = model.ids(model.chat(("system", asked), ("user", question), ("assistant", answer)))
    scores = model.head("score.2", torch.relu(model.head("score.0", model.hidden(ids))))
    return scores.softmax(-1)[torch.tensor(ids) == model.tokenizer.convert_tokens_to_ids("<extra_0>"), 1]


def skywork(model: Published, question: str, steps: list[str]) -> torch.Tensor:
    ids, flags = model.ids(model.tokenizer.bos_token + question + "\n"), []
    flags += [0] * len(ids)
    for step in steps:
        new = model.ids(step) + model.ids("\n")[-1:]
        ids, flags = ids + new, flags + [0] * (len(new) - 1) + [1]
    return model.head("v_head.summary", model.hidden(ids))[torch.tensor(flags) == 1, 0].sigmoid()


def trl(model: Published, question: str, steps: list[str], separator: str = "\n") -> torch.Tensor:
    ids, ends = [model.tokenizer.bos_token_id, *model.ids(question)], []
    for step in steps:
        ids += model.ids(step) + model.ids(separator)
        ends.append(len(ids) - 1)
    return model.logits(ids, AutoModelForTokenClassification)[ends].softmax(-1)[:, 1]


def pure(model: Published, question: str, steps: list[str]) -> torch.Tensor:
    return trl(model, question, steps, "\n\n")


def reasoneval(model: Published, question: str, steps: list[str]) -> torch.Tensor:
    pad = model.tokenizer.pad_token
    text = f"Question:\n{question}\nAnswer:\nLet's think step by step.\n" + "".join(step + pad for step in steps)
    ids = torch.tensor(model.ids(text))
    is_end = ids == model.tokenizer.pad_token_id
    ends = torch.nonzero(is_end)[:, 0] - torch.arange(1, len(steps) + 1)
    classes = model.head("score_head", model.hidden(ids[~is_end].tolist()))[ends].softmax(-1)
    return classes[:, 1] + classes[:, 2]


def universal(model: Published, question: str, steps: list[str]) -> torch.Tensor:
    asked = question + "\n\n###\n\nThe reference answer is: There is no reference answer for this question."
    prompt = model.chat(("system", "You are a helpful assistant."), ("user", asked), add_generation_prompt=True)
    scores = []
    for count in range(1, len(steps) + 1):
        ids = [*model.ids(prompt + "\n\n".join(steps[:count])), model.tokenizer.convert_tokens_to_ids("<|endoftext|>")]
        scores.append(model.head("score", model.hidden(ids)[-1])[0].sigmoid())
    return torch.stack(scores)


def rlhflow(model: Published, question: str, steps: list[str]) -> torch.Tensor:
    plus, minus = (model.ids(sign)[-1] for sign in "+-")
    turns, scores = [], []
    for number, step in enumerate(steps):
        turns += [("user", f"{question} {step}" if number == 0 else step), ("assistant", "+")]
        ids = model.ids(model.chat(*turns))
        ids = ids[: len(ids) - ids[::-1].index(plus)]  # the last turn's + is the last token
        scores.append(model.logits(ids)[-2, [plus, minus]].softmax(-1)[0])
    return torch.stack(scores)


def math_shepherd(model: Published, question: str, steps: list[str]) -> torch.Tensor:
    plus, minus = model.ids("a + -")[-2:]
    ids = model.ids(f"{question} " + "\n".join(f"Step {n}: {step} ки" for n, step in enumerate(steps, 1)))
    tag = model.ids("a ки")[-1]
    return model.logits(ids)[torch.tensor(ids) == tag][:, [plus, minus]].softmax(-1)[:, 0]


def implicit(model: Published, question: str, steps: list[str], reference: Published) -> torch.Tensor:
    prompt = model.chat(("user", question), add_generation_prompt=True)
    texts = [f"Step {number}: {step}" for number, step in enumerate(steps, 1)]
    ends = [len(model.ids(prompt + "\n\n".join(texts[:count]))) for count in range(len(steps) + 1)]  # 0: of the prompt
    ids = model.ids(prompt + "\n\n".join(texts))
    log_p = [
        side.logits(ids)[:-1].log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        for side in (model, reference)
    ]
    q = torch.nn.functional.pad((0.001 * (log_p[0] - log_p[1])).cumsum(0), (1, 0))  # q[n]: of the first n tokens
    sums = q[torch.tensor(ends) - 1]
    return (sums[1:] - sums[:-1]).sigmoid()


READERS = {
    "qwen-prm": qwen_prm,
    "skywork": skywork,
    "trl": trl,
    "pure": pure,
    "reasoneval": reasoneval,
    "universal": universal,
    "rlhflow": rlhflow,
    "math-shepherd": math_shepherd,
    "implicit": implicit,
}


def read(job: dict) -> list[float]:
    more = [Published(job["reference"])] if job["reference"] else []
    with torch.no_grad():
        return READERS[job["convention"]](Published(job["folder"]), job["question"], job["steps"], *more).tolist()


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({"version": transformers.__version__, "scores": [read(job) for job in json.load(sys.stdin)]}))
