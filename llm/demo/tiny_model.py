"""Make the demo's base model: a Llama of half a million parameters with random weights, and its tokenizer.

    python llm/demo/tiny_model.py --output ./checkpoints/tiny_random

The tokenizer is trained on generated arithmetic text. As in Mistral's, the placeholder and the reward tokens are one
piece each where a blank comes before them (`▁ки`, `▁+`, `▁-`).
The same seed gives the same bytes. The model knows nothing until llm/demo/warm_up.py has trained it.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from llm.core.cpu import environment

    environment.prepare()

from itertools import chain, islice

import paddle
from paddlenlp.transformers import LlamaConfig, LlamaForCausalLM

from llm.core.console import ArgumentParser
from llm.data.generate_arithmetic import exercises, right_solutions
from llm.data.train_tokenizer import train_tokenizer

PLACEHOLDER = "ки"
VOCABULARY = 896  # enough for every word of the problems to be one piece
TOKENIZER_PROBLEMS, TOKENIZER_EXERCISES = 2000, 4000
HIDDEN_SIZE, LAYERS, HEADS = 96, 4, 2
EMBEDDING_SCALE = 0.3


def solution_text(question: str, steps: list[str]) -> str:
    """A solution as reward models read it: a blank before the first step, a line break before every other, the
    placeholder behind each."""
    return f"{question} " + "\n".join(f"{step} {PLACEHOLDER}" for step in steps)


def random_model(vocabulary: int, seed: int = 0) -> LlamaForCausalLM:
    """A Llama with weights drawn from a seed."""
    paddle.seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=HIDDEN_SIZE * 5 // 2,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=1024,
        # The width's own scale: with the 0.02 that suits wide models this one needs longer to start to learn.
        initializer_range=HIDDEN_SIZE**-0.5,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    # Words that differ more from the start are distinguished sooner.
    embedding = model.llama.embed_tokens.weight
    embedding.set_value(embedding * (EMBEDDING_SCALE / config.initializer_range))
    return model


def make(folder: Path, seed: int = 0) -> None:
    """Write tokenizer, config and random weights into a folder that AutoTokenizer and AutoModelForCausalLM read."""
    solutions = (solution_text(question, steps) for question, steps in right_solutions(TOKENIZER_PROBLEMS, seed))
    texts = chain(solutions, islice(exercises(seed), TOKENIZER_EXERCISES))
    tokenizer = train_tokenizer(texts, folder, VOCABULARY)
    random_model(len(tokenizer), seed).save_pretrained(str(folder), safe_serialization=True)


def main() -> None:
    parser = ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="a different seed gives different weights")
    arguments = parser.parse_args()
    make(arguments.output, arguments.seed)
    print(f"{arguments.output}: tokenizer and random weights of seed {arguments.seed}")


if __name__ == "__main__":
    main()
