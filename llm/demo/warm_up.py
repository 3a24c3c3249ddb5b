"""Make the demo's base model and train it as a language model, on text alone: next token, no reward.

    python llm/demo/warm_up.py --output ./checkpoints/tiny/base

Real reward models start from models that have read a lot; this one starts from nothing. From reward labels alone, one
per 40 tokens, it learns nothing in minutes: to distinguish a right step from a wrong one it must know the sums and
compare what is written in several places, and only then does any of it lower the loss. So it first reads solutions that
are right, and pages of short exercises that end in the word right or wrong, from "4+3=7 right" to whole steps.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from llm.core.console import ArgumentParser
from llm.core.cpu import environment

if __name__ == "__main__":
    environment.prepare()

from collections.abc import Iterator
from itertools import islice

import numpy as np
import paddle
import paddle.nn.functional as F
from tqdm import tqdm

from llm.core import patches
from llm.core.model import attention, config, forward
from llm.core.rows.batch import collate
from llm.core.rows.packing import pack_sequential
from llm.core.rows.prefix_tree import lone_tree
from llm.core.text.encoding import Sequence
from llm.core.text.load_tokenizer import load_tokenizer
from llm.data.generate_arithmetic import exercises, right_solutions
from llm.demo.tiny_model import make, solution_text

TOKENS = 1_400_000
ROW, ROWS = 512, 2  # tokens of a packed row, rows of an update
PAGE = 8  # exercises that are one text
SOLUTIONS_EVERY = 4  # of so many texts one is a solution
PEAK_LEARNING_RATE, WARM_UP_TOKENS = 2e-3, 40_000


def main(argv: list[str]) -> None:
    parser = ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="a different seed gives different weights and texts")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="text to read (default: %(default)s)")
    arguments = parser.parse_args(argv)
    patches.apply_to_library()
    make(arguments.output, arguments.seed)
    folder = str(arguments.output)
    attend, _ = attention.choose(use_flash_attention=False, flash_mask=False)
    model = patches.load_model(folder, config.load_config(folder), attend, "float32")
    loss = warm_up(model, load_tokenizer(folder), arguments.tokens, arguments.seed)
    model.save_pretrained(folder, safe_serialization=True)
    print(f"{folder}: base model, loss {loss:.3f} per token after {arguments.tokens:,} tokens")


def warm_up(model, tokenizer, tokens: int, seed: int) -> float:
    """Next-token training; the mean loss of the last 50 updates."""
    optimizer = paddle.optimizer.AdamW(
        parameters=model.parameters(), beta2=0.98, weight_decay=0.0, grad_clip=paddle.nn.ClipGradByGlobalNorm(1.0)
    )
    rows = pack_sequential((lone_tree(as_sequence(tokenizer, text)) for text in texts(seed)), ROW)
    losses, read = [], 0
    with tqdm(total=tokens, desc="warm-up", unit="token", unit_scale=True, disable=None) as bar:
        while read < tokens:
            batch = collate(list(islice(rows, ROWS)), pad_id=0)
            optimizer.set_lr(PEAK_LEARNING_RATE * min((read + 1) / WARM_UP_TOKENS, 1 - 0.9 * read / tokens))
            loss = next_token_loss(model, batch)
            loss.backward()
            optimizer.step()
            optimizer.clear_grad()
            losses = [*losses[-49:], float(loss)]
            read += int(batch["tokens"])
            bar.update(int(batch["tokens"]))
            bar.set_postfix(loss=f"{np.mean(losses):.3f}", refresh=False)
    return float(np.mean(losses))


def texts(seed: int) -> Iterator[str]:
    pages = exercises(seed)
    for question, steps in right_solutions(1_000_000, seed):
        yield solution_text(question, steps)
        for _ in range(SOLUTIONS_EVERY - 1):
            yield "\n".join(islice(pages, PAGE))


def as_sequence(tokenizer, text: str) -> Sequence:
    ids = np.array([tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]], "int32")
    return Sequence(ids, np.zeros(0, "int64"), np.zeros(0, "float32"))


def next_token_loss(model, batch: dict[str, np.ndarray]):
    """Mean cross entropy of every token that has a next one in the same text."""
    ids_BS, end_row_BS = batch["input_ids"], batch["end_row"]
    at_K = np.flatnonzero(np.arange(1, ids_BS.shape[1] + 1) < end_row_BS)
    inputs = (paddle.to_tensor(batch[name]) for name in ("input_ids", "position_ids", "end_row"))
    hidden_BSE = forward.hidden_states(model, *inputs)
    hidden_KE = hidden_BSE.reshape([-1, hidden_BSE.shape[-1]]).gather(paddle.to_tensor(at_K))
    return F.cross_entropy(model.lm_head(hidden_KE), paddle.to_tensor(ids_BS.reshape(-1)[at_K + 1]))


if __name__ == "__main__":
    main(sys.argv[1:])
