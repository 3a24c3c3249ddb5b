"""A tokenizer's chat template, as transformers writes and renders it. No paddle here."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import NoReturn

import jinja2
from jinja2.ext import Extension

from llm.core.console import in_short, listed
from llm.core.strict_json import KINDS, text_of
from llm.core.text.bounded_jinja import BoundedEnvironment
from llm.core.text.tokenizer import Tokenizer
from llm.core.text.tokenizer_settings import TEMPLATE_FILE, object_in

A_DAY = date(2024, 7, 26)  # the one that Llama 3's templates write where there is no clock
REMEDY = "Set use_chat_template to false, or give a tokenizer whose template can be used."


def compile_template(tokenizer: Tokenizer) -> Callable[..., str]:
    """render(messages, add_generation_prompt) -> text. All that can go wrong is a ValueError that says where."""
    environment = BoundedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, "jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _refuse
    environment.filters["tojson"] = lambda value, *args, **options: environment.pay(
        _as_json(environment.pay(value), *args, **options)
    )
    source = find_template(tokenizer)
    try:
        template = environment.compile_bounded(source)
    except jinja2.TemplateError as error:
        raise ValueError(f"use_chat_template: its template is not valid Jinja ({in_short(error)}). {REMEDY}") from None
    environment.globals["strftime_now"] = _Clock(name="strftime_now")
    names: dict[str, str | None] = {name: token for name, token in tokenizer.named.items() if token is not None}
    names |= {"tools": None, "documents": None}

    def render(messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        try:
            environment.start(messages)
            text = template.render(messages=messages, add_generation_prompt=add_generation_prompt, **names)
            text.encode()  # a half of a character could not be tokenised
            return text
        except Exception as error:  # a template is a program: it may fail in any way
            raise ValueError(f"the chat template cannot write this dialogue ({in_short(error)}). {REMEDY}") from None

    return render


def find_template(tokenizer: Tokenizer) -> str:
    """Of chat_template.jinja, tokenizer_config.json or chat_template.json; of several the one called default."""
    if "chat_template.jinja" in tokenizer.files:
        return text_of(tokenizer.files["chat_template.jinja"], "use_chat_template: chat_template.jinja")
    template = tokenizer.config.get("chat_template")
    if template is None and TEMPLATE_FILE in tokenizer.files:
        written = object_in(tokenizer.files, TEMPLATE_FILE)
        template = written.get("chat_template")
        if template is None:
            raise ValueError(
                f"use_chat_template: chat_template.json has PaddleNLP's own form ({listed([*written])}), which is not "
                "supported. Write the model's template, which is in Jinja, into tokenizer_config.json as chat_template."
            )
    if isinstance(template, list):
        if not all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in template):
            raise ValueError(f"use_chat_template: each template of a list needs a name and a template. {REMEDY}")
        named = {entry["name"]: entry.get("template") for entry in template}
        if "default" not in named:
            raise ValueError(f"use_chat_template: of the templates {listed([*named])} none is called default. {REMEDY}")
        template = named["default"]
    if not isinstance(template, str | None):
        raise ValueError(
            f"use_chat_template: chat_template is {KINDS.get(type(template), 'a number')}, not a text. {REMEDY}"
        )
    if template is None:
        raise ValueError(
            "use_chat_template: this tokenizer has no chat template (chat_template in tokenizer_config.json, or "
            "chat_template.jinja). Models that were trained to answer have one; or set use_chat_template to false."
        )
    return template


class _Clock(jinja2.Undefined):
    """With the day's date a prompt would have other ids from day to day. So there is no clock for templates that look
    for one, and one that has stopped for those that do not."""

    unsafe_callable = alters_data = False  # what the sandbox asks for
    jinja_pass_arg = None

    def __call__(self, form: str) -> str:  # type: ignore[override]  # others fail at it
        return A_DAY.strftime(form)


def _as_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """With the arguments of transformers."""
    if indent is not None and not (isinstance(indent, int) and 0 <= indent <= 8):
        raise jinja2.TemplateError(f"tojson: indent {indent!r} is not a number from 0 to 8")
    if separators is not None and max(len(separators), *map(len, separators)) > 2:
        raise jinja2.TemplateError("tojson: separators have at most two characters each")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


class _GenerationBlock(Extension):
    """{% generation %} marks in some templates what a model answers; what is inside is kept as it is."""

    tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
