"""The solutions that a benchmark works on, encoded as for training, and their packings."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from llm.alignment.rm.flashmask.reward_format import FormatValues, make_format, split_reward_tokens
from llm.benchmark.arguments import PADDED_BATCH
from llm.benchmark.report import progress
from llm.core import patches
from llm.core.model import folder as folder_module
from llm.core.records.records import ReadCounts, iter_records
from llm.core.records.reward_records import Record
from llm.core.rows.packing import choose_packing
from llm.core.rows.prefix_tree import grow_trees
from llm.core.rows.row import Row
from llm.core.run.seen import describe_cuts
from llm.core.text.encoding import Sequence
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.reward_tokens import RewardTokens
from llm.data.train_tokenizer import train_tokenizer

# name: zero_padding, greedy_zero_padding, prefix_sharing
PACKINGS = {
    "padded": (False, False, False),
    "sequential": (True, False, False),
    "greedy": (True, True, False),
    "forest": (True, True, True),
}
TOKENIZER_RECORDS, TOKENIZER_PIECES = 4000, 32000


@dataclass
class Solutions:
    records: list[Record]
    sequences: list[Sequence]
    tokenizer: object
    tokens: RewardTokens
    about: list[str]  # lines for the heading of a table

    @property
    def token_count(self) -> int:
        return sum(map(len, self.sequences))

    @property
    def label_count(self) -> int:
        return sum(len(sequence.scored) for sequence in self.sequences)


def read(arguments: argparse.Namespace) -> Solutions:
    patches.apply_to_library()
    prompt_len = prompt_limit(arguments)
    reward_tokens = split_reward_tokens(arguments.reward_tokens)
    tokenizer, which = _tokenizer(arguments, reward_tokens)
    values = FormatValues(
        placeholder_token=arguments.placeholder_token,
        reward_tokens=arguments.reward_tokens,
        max_seq_len=arguments.max_seq_len,
        max_prompt_len=prompt_len,
        use_chat_template=False,
        process_reward=True,
        score_last_step_only=False,
    )
    reward_format = make_format(values, tokenizer)
    progress("encoding")
    encoder = reward_format.encoder()
    counts = ReadCounts()
    records = iter_records(arguments.DATA, reward_tokens, counts, arguments.skip_bad_records)
    encoded = ((record, encoder.encode(record)) for record in islice(records, arguments.solutions))
    kept = [(record, sequence) for record, sequence in encoded if sequence is not None]
    if not kept:
        raise ValueError(
            f"{', '.join(arguments.DATA)}: no record can be scored: {dict(encoder.counts.dropped)}. "
            f"Raise max_seq_len ({arguments.max_seq_len}) or lower max_prompt_len ({prompt_len})."
        )
    solutions = Solutions(*map(list, zip(*kept, strict=True)), tokenizer, reward_format.tokens, [])
    solutions.about = [
        f"data: {', '.join(arguments.DATA)}: {len(kept):,} solutions with {solutions.label_count:,} labels, "
        f"{solutions.token_count:,} tokens ({solutions.token_count / len(kept):,.0f} a solution)",
        *(f"  {number:,} records dropped: {reason}" for reason, number in counts.dropped.items()),
        *describe_cuts(encoder.counts),
        f"tokenizer: {which}; max_seq_len {arguments.max_seq_len:,}, max_prompt_len {prompt_len:,}",
    ]
    return solutions


def prompt_limit(arguments: argparse.Namespace) -> int:
    return arguments.max_prompt_len or min(2048, arguments.max_seq_len // 2)


def _tokenizer(arguments: argparse.Namespace, reward_tokens: tuple[str, ...]):
    """(tokenizer, where it comes from)"""
    if arguments.tokenizer:
        return load_tokenizer(folder_module.find_model(arguments.tokenizer, "tokenizer")), arguments.tokenizer
    progress("training a tokenizer on the data's text")
    marks = " ".join((arguments.placeholder_token, *reward_tokens))  # each a piece of its own, as often as steps are
    texts: dict[str, None] = {}  # in the order of the data, each once
    records = islice(iter_records(arguments.DATA, reward_tokens, None, arguments.skip_bad_records), TOKENIZER_RECORDS)
    for number, record in enumerate(records, 1):  # noqa: B007 (the last number is shown)
        texts |= dict.fromkeys((*record.src, *record.tgt, *(f"{step} {marks}" for step in record.steps)))
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = train_tokenizer(texts, Path(folder), TOKENIZER_PIECES, fewer=True)
    return tokenizer, f"{len(tokenizer):,} pieces, trained for this on the data's first {number:,} records"


def rows_of(sequences: list[Sequence], packing: str, max_seq_len: int) -> list[Row]:
    """As training makes them of these settings."""
    zero_padding, greedy, sharing = PACKINGS[packing]
    pack = choose_packing(zero_padding, greedy, stream=False)
    return list(pack(grow_trees(sequences, max_seq_len, sharing), max_seq_len))


def rows_in_batch(packing: str) -> int:
    return PADDED_BATCH if packing == "padded" else 1


def updates_of(solutions: list, size: int) -> list[list]:
    """Neighbours in the data, which a question's solutions are, are trained in one update."""
    return [solutions[start : start + size] for start in range(0, len(solutions), size)]
