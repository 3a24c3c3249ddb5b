"""How dialogues became text: saved with a language model and each of its checkpoints. No paddle here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from llm.core.files import write_json
from llm.core.run.arguments import DataArgument
from llm.core.run.run import Run
from llm.core.run.start import note_on_saving, read_tokenizer
from llm.core.text.answers import AnswerEncoder
from llm.core.text.tokenizer import Tokenizer

FORMAT_FILE = "answer_format.json"


@dataclass(frozen=True)
class AnswerFormat:
    tokenizer: Tokenizer
    use_chat_template: bool

    def save_pretrained(self, folder: str) -> None:
        """Next to the weights: PaddleNLP's Trainer calls this for the object that it knows as its tokenizer."""
        self.tokenizer.save_pretrained(folder)
        write_json(Path(folder) / FORMAT_FILE, {"use_chat_template": self.use_chat_template})

    def encoder_of(self, data: DataArgument) -> Callable[[], AnswerEncoder]:
        """Makes the encoder of a run with these limits."""
        return partial(AnswerEncoder, self.tokenizer, data.max_seq_len, data.max_prompt_len, self.use_chat_template)


def read_format(run: Run) -> AnswerFormat:
    tokenizer = read_tokenizer(run)
    note_on_saving(tokenizer)
    return AnswerFormat(tokenizer, run.data.use_chat_template)
