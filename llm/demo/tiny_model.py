"""Make what the demo's base model starts from: a Llama of half a million random parameters, and its tokenizer.

    python -m llm.demo.tiny_model --output ./checkpoints/tiny/random

The tokenizer is trained on generated arithmetic text. As in Mistral's, the placeholder and the reward tokens are one
piece each where a blank comes before them (`▁ки`, `▁+`, `▁-`).
The same seed gives the same bytes. The model knows nothing until `python -m llm sft` has trained it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from llm.core.cpu import environment

if __name__ == "__main__":
    environment.prepare()

from itertools import chain, islice

import paddle
from paddlenlp.transformers import LlamaConfig, LlamaForCausalLM

from llm.core.console import ArgumentParser
from llm.data.generate_arithmetic import exercises, right_solutions, solution_text
from llm.data.train_tokenizer import train_tokenizer

VOCABULARY = 896  # enough for every word of the problems to be one piece
TOKENIZER_PROBLEMS, TOKENIZER_EXERCISES = 2000, 4000
HIDDEN_SIZE, LAYERS, HEADS = 96, 4, 2
EMBEDDING_SCALE = 0.3


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


def main(argv: list[str]) -> None:
    parser = ArgumentParser("python -m llm.demo.tiny_model", description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="a different seed gives different weights")
    arguments = parser.parse_args(argv)
    make(arguments.output, arguments.seed)
    print(f"{arguments.output}: tokenizer and random weights of seed {arguments.seed}")


if __name__ == "__main__":
    main(sys.argv[1:])
