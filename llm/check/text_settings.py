"""A check with a tokenizer and without a configuration: the settings that decide how text becomes tokens."""

from __future__ import annotations

from dataclasses import fields

from llm.alignment.rm.flashmask.reward_argument import DataArgument, TrainingArguments
from llm.alignment.rm.flashmask.reward_format import FormatValues, RewardFormat, make_format
from llm.check.outcome import CheckArgument
from llm.core.model.folder import find_model
from llm.core.run import checks
from llm.core.run.arguments import MISPRINTS, is_unobeyed
from llm.core.settings.parse import parse
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.reward_tokens import add_placeholder
from llm.data.check.data_check import Asked
from llm.estimate.estimate import OptionalModel

OBEYED = (
    {field.name for field in fields(CheckArgument)}
    | {field.name for field in fields(FormatValues)}
    | {"train_dataset_path", "tokenizer_name_or_path", "add_placeholder_token"}
)


def read_text_settings(words: list[str]) -> tuple[CheckArgument, list[str] | None, Asked, list[str]]:
    """What is asked for, the data, how it is read, and the defaults that changed. ValueError where a setting has no
    effect without a configuration, or the tokenizer has no such tokens."""
    classes = (CheckArgument, TrainingArguments, DataArgument, OptionalModel)
    settings = parse(classes, words, "", MISPRINTS, is_unobeyed)
    for name in settings.values:
        if name not in OBEYED:
            settings.refuse(name, "has no effect on a check without --config; leave it out")
    checks.fit_lengths(settings)
    settings.check()
    name = find_model(settings["tokenizer_name_or_path"], "tokenizer_name_or_path")
    tokenizer = load_tokenizer(name)
    if settings["add_placeholder_token"]:
        add_placeholder(tokenizer, settings["placeholder_token"])
    values = FormatValues(**{field.name: settings[field.name] for field in fields(FormatValues)})
    asked, _, data, _ = settings.build()
    return asked, data.train_dataset_path, asked_of(make_format(values, tokenizer)), settings.changes


def asked_of(reward_format: RewardFormat) -> Asked:
    return Asked(
        reward_format.reward_tokens,
        reward_format.values.placeholder_token,
        reward_format.scored_part,
        reward_format.encoder,
    )
