"""How dialogues became text: saved with a language model and each of its checkpoints. No paddle here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm.core.files import write_json
from llm.core.run.run import Run
from llm.core.run.start import note_on_saving, read_tokenizer
from llm.core.strict_json import read_object
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


def implicit_format(folder: Path) -> AnswerFormat | None:
    """Of a model that was trained to be an implicit reward model; ValueError where the file is damaged."""
    file = folder / FORMAT_FILE
    written = read_object(file) if file.is_file() else {}
    if IMPLICIT_BETA not in written:
        return None
    beta, use_chat_template = written[IMPLICIT_BETA], written.get(TEMPLATE)
    if not isinstance(beta, float) or not beta > 0 or not isinstance(use_chat_template, bool):
        raise ValueError(f"{file} has a value that cannot be one. Copy the folder again.")
    return AnswerFormat(load_tokenizer(str(folder)), use_chat_template, beta)


def read_format(run: Run) -> AnswerFormat:
    tokenizer = read_tokenizer(run)
    note_on_saving(tokenizer)
    return AnswerFormat(tokenizer, run.data.use_chat_template)
