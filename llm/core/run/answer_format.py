"""How dialogues became text: saved with a language model and each of its checkpoints. No paddle here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm.core.files import write_json
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
