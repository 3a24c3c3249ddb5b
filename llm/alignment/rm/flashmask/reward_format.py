"""How text becomes scored sequences: made once for a run, saved with its model, and used by training, scoring,
inspection, merging and benchmarks alike. No paddle here."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_type_hints

from llm.core.files import write_json
from llm.core.records.reward_records import Record
from llm.core.run.answer_format import FORMAT_FILE as ANSWER_FORMAT_FILE
from llm.core.strict_json import read_object
from llm.core.text.encoding import StepEncoder
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.reward_tokens import RewardTokens, find_reward_tokens
from llm.core.text.tokenizer import Tokenizer

FORMAT_FILE = "reward_format.json"
LEAST = {"max_seq_len": 4, "max_prompt_len": 1}
SETTINGS_FILE = "settings.json"  # where earlier versions kept the same values


@dataclass(frozen=True)
class FormatValues:
    """The settings that decide it, under their names."""

    placeholder_token: str
    reward_tokens: str
    max_seq_len: int
    max_prompt_len: int
    use_chat_template: bool
    process_reward: bool
    score_last_step_only: bool


@dataclass(frozen=True)
class RewardFormat:
    values: FormatValues
    tokenizer: Tokenizer
    tokens: RewardTokens

    @property
    def reward_tokens(self) -> tuple[str, ...]:
        return split_reward_tokens(self.values.reward_tokens)

    @property
    def placeholder_was_added(self) -> bool:
        return self.tokens.placeholder in self.tokenizer.get_added_vocab().values()

    def encoder(self) -> StepEncoder:
        values = self.values
        limits = values.max_seq_len, values.max_prompt_len
        return StepEncoder(self.tokenizer, self.tokens, *limits, values.use_chat_template)

    def scored_part(self, record: Record) -> Record:
        """The labelled record with what of it is scored."""
        if not self.values.process_reward:
            return as_outcome(record)
        return last_step_only(record) if self.values.score_last_step_only else record

    def save_pretrained(self, folder: str) -> None:
        """Next to the weights: PaddleNLP's Trainer calls this for the object that it knows as its tokenizer."""
        self.tokenizer.save_pretrained(folder)
        write_json(Path(folder) / FORMAT_FILE, asdict(self.values))


def make_format(values: FormatValues, tokenizer: Tokenizer) -> RewardFormat:
    """ValueError where a token of the settings is not one token of the vocabulary."""
    tokens = find_reward_tokens(tokenizer, values.placeholder_token, split_reward_tokens(values.reward_tokens))
    return RewardFormat(values, tokenizer, tokens)


def load_format(folder: str | Path) -> RewardFormat:
    """Of a folder that a training or a merge has written."""
    files = [Path(folder) / name for name in (FORMAT_FILE, SETTINGS_FILE) if (Path(folder) / name).is_file()]
    if Path(folder, ANSWER_FORMAT_FILE).is_file() and not Path(folder, FORMAT_FILE).is_file():
        raise ValueError(
            f"{folder} is a language model from fine-tuning or DPO, and no reward model. One of loss_type implicit_prm "
            "gives scores with --convention implicit --reference FOLDER."
        )
    if not files:
        raise ValueError(
            f"{folder} has no {FORMAT_FILE}, so it is not a model of this project, or some of its files are missing. "
            "Give the output_dir of a training, or copy the folder again."
        )
    values = _read_values(files[0])
    return make_format(values, load_tokenizer(str(folder)))


def _read_values(file: Path) -> FormatValues:
    written, kinds = read_object(file), get_type_hints(FormatValues)
    if missing := [name for name in kinds if name not in written]:
        raise ValueError(f"{file} lacks {', '.join(missing)}. Copy the folder again.")
    wrong = [name for name, kind in kinds.items() if type(written[name]) is not kind]
    wrong += [name for name, least in LEAST.items() if name not in wrong and written[name] < least]
    if "reward_tokens" not in wrong and len(split_reward_tokens(written["reward_tokens"])) != 2:
        wrong.append("reward_tokens")
    if wrong:
        shown = ", ".join(f"{name} {written[name]!r:.100}" for name in wrong)
        raise ValueError(f"{file} has a value that cannot be one: {shown}. Copy the folder again.")
    return FormatValues(**{name: written[name] for name in kinds})


def split_reward_tokens(reward_tokens: str) -> tuple[str, ...]:
    return tuple(token.strip() for token in reward_tokens.split(","))


def as_outcome(record: Record) -> Record:
    """The answer as one text with one score after it, labelled as its last step is."""
    return replace(record, steps=("\n".join(record.steps),), labels=record.labels[-1:])


def last_step_only(record: Record) -> Record:
    return replace(record, labels=(None,) * (len(record.labels) - 1) + record.labels[-1:])
