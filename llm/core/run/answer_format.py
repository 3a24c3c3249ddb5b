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
from llm.core.settings.values import show
from llm.core.strict_json import read_object
from llm.core.text.answers import AnswerEncoder
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.tokenizer import Tokenizer

FORMAT_FILE = "answer_format.json"
TEMPLATE, IMPLICIT_BETA = "use_chat_template", "implicit_beta"


@dataclass(frozen=True)
class AnswerFormat:
    tokenizer: Tokenizer
    use_chat_template: bool
    implicit_beta: float | None = None  # of a model whose log-ratios to its reference are rewards

    def save_pretrained(self, folder: str) -> None:
        """Next to the weights: PaddleNLP's Trainer calls this for the object that it knows as its tokenizer."""
        self.tokenizer.save_pretrained(folder)
        beta = {} if self.implicit_beta is None else {IMPLICIT_BETA: self.implicit_beta}
        write_json(Path(folder) / FORMAT_FILE, {TEMPLATE: self.use_chat_template, **beta})

    def encoder_of(self, data: DataArgument) -> Callable[[], AnswerEncoder]:
        """Makes the encoder of a run with these limits."""
        return partial(AnswerEncoder, self.tokenizer, data.max_seq_len, data.max_prompt_len, self.use_chat_template)


def is_language_model(folder: Path) -> bool:
    return (folder / FORMAT_FILE).is_file()


def load_answer_format(folder: Path) -> AnswerFormat:
    """Of a folder that a training or a merge has written."""
    written = read_object(folder / FORMAT_FILE)
    use_chat_template, beta = written.get(TEMPLATE), written.get(IMPLICIT_BETA)
    if not isinstance(use_chat_template, bool):
        why = f"{TEMPLATE} is {show(use_chat_template)}, not true or false"
        raise ValueError(f"{folder / FORMAT_FILE} is not what a training wrote: {why}. Copy the folder again.")
    if beta is not None and not (isinstance(beta, float) and beta > 0):
        why = f"{IMPLICIT_BETA} is {show(beta)}, not a number above 0"
        raise ValueError(f"{folder / FORMAT_FILE} is not what a training wrote: {why}. Copy the folder again.")
    return AnswerFormat(load_tokenizer(str(folder)), use_chat_template, beta)


def read_format(run: Run) -> AnswerFormat:
    tokenizer = read_tokenizer(run)
    note_on_saving(tokenizer)
    return AnswerFormat(tokenizer, run.data.use_chat_template)
