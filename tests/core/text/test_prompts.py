"""A prompt has the ids of its text as a whole, plain or in the tokenizer's chat template, and is cut where it may."""

from __future__ import annotations

import json
import shutil

import pytest

from llm.core.records.reward_records import Record
from llm.core.text.chat_template import compile_template
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.prompts import messages_of, prompts_of, start_ids

KINDS = ("llama2", "llama3", "qwen2")
DIALOGUES = [
    (("What is 2 + 3?",), ()),
    ((" Janet has 16 eggs. \n", "And then?"), ("She sells 9.\n",)),
    (("", "Шаг", "ки (a) [b]"), ("x", "日本語")),
]
STEPS = ["She has 7.", "16 - 9 = 7", "(a) is 1", r"\[ x \]", "+", "ки", "Шаг", "  [x"]


@pytest.fixture(params=KINDS)
def folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def with_template(tmp_path):
    """A tokenizer like that of a folder with another chat_template, or none, and further files."""

    def made(folder, template, **files):
        shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True)
        file = tmp_path / "copy" / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": template}))
        for name, content in files.items():
            (tmp_path / "copy" / name.replace("__", ".")).write_text(content)
        return load_tokenizer(str(tmp_path / "copy"))

    return made


def record(src, tgt=(), place="data.jsonl:7") -> Record:
    return Record(tuple(src), tuple(tgt), ("a step",), (1.0,), place)


def whole(tokenizer, src, tgt, answer=None) -> list[int]:
    """The ids of what the template writes, tokenised once; with an answer up to its end."""
    messages = messages_of(src, tgt)
    if answer is None:
        text = compile_template(tokenizer)(messages, add_generation_prompt=True)
    else:
        messages = [*messages, {"role": "assistant", "content": answer}]
        text = compile_template(tokenizer)(messages, add_generation_prompt=False)
        text = text[: text.rindex(answer) + len(answer)]
    return tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"]


# ---- plain


def test_plain_prompts_are_the_turns_one_per_line_behind_the_start_token(folder):
    tokenizer = load_tokenizer(str(folder))
    prompts = prompts_of(tokenizer, 1000, use_chat_template=False)
    prompt = prompts.encode(record((" What? ", "And?\n"), ("\tNo.",)))
    assert [*prompt.ids] == tokenizer("What?\nNo.\nAnd?")["input_ids"] and not prompt.was_cut
    text = "What?\nNo.\nAnd? She has 7."
    assert [*prompt.ids, *prompts.first_step("She has 7.", prompt.is_empty)] == tokenizer(text)["input_ids"]


def test_without_a_prompt_the_first_step_begins_the_text(folder):
    tokenizer = load_tokenizer(str(folder))
    prompts = prompts_of(tokenizer, 1000, use_chat_template=False)
    prompt = prompts.encode(record((" ",)))
    assert [*prompt.ids] == start_ids(tokenizer)
    assert [*prompt.ids, *prompts.first_step("She has 7.", prompt.is_empty)] == tokenizer("She has 7.")["input_ids"]


def test_plain_prompts_are_cut_from_the_left_behind_the_start_token(folder):
    tokenizer = load_tokenizer(str(folder))
    start, text = start_ids(tokenizer), tokenizer("one two three four", add_special_tokens=False)["input_ids"]
    prompt = prompts_of(tokenizer, len(start) + 3, use_chat_template=False).encode(record(("one two three four",)))
    assert [*prompt.ids] == start + text[-3:] and prompt.was_cut


# ---- templates


@pytest.mark.parametrize("dialogue", DIALOGUES)
def test_ids_are_those_of_the_rendered_text_tokenised_once(folder, dialogue):
    tokenizer = load_tokenizer(str(folder))
    prompt = prompts_of(tokenizer, 1000, use_chat_template=True).encode(record(*dialogue))
    assert [*prompt.ids] == whole(tokenizer, *dialogue) and not prompt.was_cut
    assert [*prompt.ids[:2]].count(tokenizer.bos_token_id) == len(
        start_ids(tokenizer)
    )  # not the template's and another


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("dialogue", DIALOGUES)
def test_the_first_step_stands_where_the_assistant_answers(folder, dialogue, step):
    """Llama 2's template has a blank there, Llama 3's and Qwen's have a line break: so have the ids."""
    tokenizer = load_tokenizer(str(folder))
    prompts = prompts_of(tokenizer, 1000, use_chat_template=True)
    prompt = prompts.encode(record(*dialogue))
    step = step.strip()
    assert [*prompt.ids, *prompts.first_step(step, prompt.is_empty)] == whole(tokenizer, *dialogue, answer=step)


def test_what_is_between_prompt_and_answer_belongs_to_the_prompt(llama3, with_template):
    template = "{% for m in messages %}{{ '<|eot_id|>' + m.role + ':\n' + m.content }}{% endfor %}"
    tokenizer = with_template(llama3, template)
    prompts = prompts_of(tokenizer, 1000, use_chat_template=True)
    prompt = prompts.encode(record(("What?",)))
    assert [*prompt.ids, *prompts.first_step("She", prompt.is_empty)] == whole(tokenizer, ("What?",), (), answer="She")


def test_a_step_is_not_joined_with_the_templates_last_letters(llama3, with_template):
    """A model that answers begins a new token, whatever the tokenizer would make of both together."""
    template = "{% for m in messages %}{{ m.content + ('eg' if m.role == 'user' else '') }}{% endfor %}"
    tokenizer = with_template(llama3, template)
    assert whole(tokenizer, ("sells",), (), answer="gs") != whole(tokenizer, ("sells",), ()) + whole(
        tokenizer, ("gs",), ()
    )
    prompts = prompts_of(tokenizer, 1000, use_chat_template=True)
    prompt = prompts.encode(record(("sells",)))
    assert [*prompt.ids] == whole(tokenizer, ("sells",), ())
    assert [*prompts.first_step("gs", prompt.is_empty)] == tokenizer("gs", add_special_tokens=False)["input_ids"]


def test_a_long_dialogue_loses_its_oldest_exchanges_and_the_template_stays_whole(folder):
    tokenizer = load_tokenizer(str(folder))
    src, tgt = ("one two three", "four five", "six seven eight nine"), ("A", "B")
    length = len(whole(tokenizer, src[1:], tgt[1:]))
    prompt = prompts_of(tokenizer, length, use_chat_template=True).encode(record(src, tgt))
    assert [*prompt.ids] == whole(tokenizer, src[1:], tgt[1:]) and prompt.was_cut


def test_a_long_question_loses_its_beginning_and_no_more_than_it_must(folder):
    tokenizer = load_tokenizer(str(folder))
    question = "Janet has 16 eggs and sells 9 of them at $2 each. How much does she make?"
    cut = [whole(tokenizer, (question[n:],), ()) for n in range(len(question) + 1)]
    for room in range(1, 13):
        limit = len(cut[-1]) + room
        prompt = prompts_of(tokenizer, limit, use_chat_template=True).encode(record((question,)))
        fitting = [ids for ids in cut if len(ids) <= limit]
        assert len(prompt.ids) <= limit and prompt.was_cut
        assert [*prompt.ids] in fitting[:3]


def test_a_limit_below_the_template_itself_is_refused(folder):
    with pytest.raises(ValueError, match=r"max_prompt_len 3: the chat template with one letter has \d+ tokens"):
        prompts_of(load_tokenizer(str(folder)), 3, use_chat_template=True)


def test_steps_come_after_an_empty_block_of_thoughts_and_earlier_thoughts_are_left_out(qwen3):
    tokenizer = load_tokenizer(str(qwen3))
    prompts = prompts_of(tokenizer, 1000, use_chat_template=True)
    src, tgt = ("a", "b"), ("<think>\nhm\n</think>\n\nyes",)
    prompt = prompts.encode(record(src, tgt))
    text = (
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n<|im_start|>user\nb<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert [*prompt.ids] == tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"]
    for step in STEPS[:4]:
        assert [*prompt.ids, *prompts.first_step(step, prompt.is_empty)] == whole(tokenizer, src, tgt, step)


def test_the_same_dialogue_is_rendered_once(qwen2, monkeypatch):
    prompts = prompts_of(load_tokenizer(str(qwen2)), 1000, use_chat_template=True)
    first = prompts.encode(record(("What?",), place="a:1"))
    monkeypatch.setattr(prompts, "_render", None)
    assert prompts.encode(record(("What?",), place="a:2")) is first


# ---- where templates are found, and what is refused


NAMED = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "{{ messages[0].content }}!"}]


@pytest.mark.parametrize(
    ("template", "files"),
    [
        (NAMED, {}),
        ("no", {"chat_template__jinja": "{{ messages[0].content }}!"}),
        (None, {"chat_template__json": json.dumps({"chat_template": "{{ messages[0].content }}!"})}),
        ("{% generation %}{{ messages[0].content }}!{% endgeneration %}", {}),
        ("{% for m in messages %}{{ m.content }}!{% break %}{% endfor %}", {}),
        ("{% if messages %}\n  {% if true %}\n{{ messages[0].content }}!{% endif %}\n{% endif %}\n", {}),
        ("{{ messages[0].content }}{{ strftime_now('%d') if strftime_now is defined else '!' }}", {}),
    ],
)
def test_templates_are_found_where_transformers_writes_them(qwen2, with_template, template, files):
    render = compile_template(with_template(qwen2, template, **files))
    assert render(messages_of(("What?",), ()), add_generation_prompt=True) == "What?!"


@pytest.mark.parametrize(
    ("template", "files", "shown"),
    [
        (None, {}, "has no chat template"),
        (None, {"chat_template__json": '{"system": "s", "query": "q"}'}, "PaddleNLP's own form (system, query)"),
        (NAMED[:1], {}, "of the templates tool_use none is called default"),
        ("{% for", {}, "not valid Jinja"),
        ("{{ messages[0].content.no.way }}", {}, "cannot write this dialogue (UndefinedError"),
        ("{{ bos_token }}", {}, "leaves out what the user says"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(qwen2, with_template, template, files, shown):
    with pytest.raises(ValueError) as error:
        prompts_of(with_template(qwen2, template, **files), 1000, use_chat_template=True)
    assert shown in str(error.value) and "use_chat_template" in str(error.value)


def test_a_dialogue_that_the_template_refuses_is_named_by_its_place(qwen2, with_template):
    template = "{{ messages[0].content }}{% if messages|length > 2 %}{{ raise_exception('one turn only') }}{% endif %}"
    prompts = prompts_of(with_template(qwen2, template), 1000, use_chat_template=True)
    prompts.encode(record(("a",)))
    with pytest.raises(ValueError, match=r"data.jsonl:7: the chat template .*one turn only"):
        prompts.encode(record(("a", "b"), ("c",)))
