"""What is learnt of a dialogue is its answers and their ends, each after what comes before it."""

from __future__ import annotations

import json
import shutil

import pytest

from llm.core.records.comparisons import AnswerPair, Comparison
from llm.core.records.dialogues import Dialogue, Message
from llm.core.text.answers import AnswerEncoder, ids_behind
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.pieces import bytes_of_ids

CHATML = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# as Qwen3's: of the last answer alone something more is written
REWRITES = CHATML.replace("{{ m.content", "{% if loop.last and m.role == 'assistant' %}(think){% endif %}{{ m.content")
TURNS = ("Hi\n", "Yes 1", "And?\n", "No 2")


def dialogue(*texts: str, **changes) -> Dialogue:
    roles = ("user", "assistant") * len(texts)
    messages = tuple(Message(role, text) for role, text in zip(roles, texts, strict=False))
    return Dialogue(messages, "data.jsonl:7", **changes)


def encoder_of(tokenizer, use_chat_template=False, max_seq_len=100, max_prompt_len=60) -> AnswerEncoder:
    return AnswerEncoder(tokenizer, max_seq_len, max_prompt_len, use_chat_template)


@pytest.fixture
def chat(tiny, tmp_path):
    def made(template: str):
        shutil.copytree(tiny / "model", tmp_path / "model", dirs_exist_ok=True)
        file = tmp_path / "model" / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": template}))
        return load_tokenizer(str(tmp_path / "model"))

    return made


def text_of(tokenizer, ids) -> str:
    """The blank that SentencePiece puts before a text is left out."""
    special = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    names = dict(zip(special, (tokenizer.bos_token, tokenizer.eos_token), strict=True))
    pieces = [names[n].encode() if n in special else bytes_of_ids(tokenizer, [n])[0] for n in map(int, ids)]
    return b"".join(pieces).decode().replace(f"{tokenizer.bos_token} ", tokenizer.bos_token)


def learnt(tokenizer, answer) -> tuple[str, str]:
    """(text before, text that is learnt): the token after every scored position."""
    first = answer.scored[0] + 1
    assert (answer.scored == range(first - 1, len(answer.ids) - 1)).all()
    return text_of(tokenizer, answer.ids[:first]).removeprefix(" "), text_of(tokenizer, answer.ids[answer.scored + 1])


def test_plain_texts_are_joined_as_they_are_and_answers_end(tokenizer):
    parts = [encoder_of(tokenizer).encode(part) for part in dialogue(*TURNS).up_to_answers(last_only=False)]
    start, end = tokenizer.bos_token or "", tokenizer.eos_token
    assert [learnt(tokenizer, part) for part in parts] == [
        (f"{start}Hi\n", f"Yes 1{end}"),
        (f"{start}Hi\nYes 1{end}And?\n", f"No 2{end}"),
    ]
    assert parts[1].ids[: len(parts[0])].tolist() == parts[0].ids.tolist()  # one branch of a tree
    assert parts[0].prompt_len == parts[1].prompt_len


def test_of_a_template_only_the_assistant_is_learnt(chat):
    tokenizer = chat(CHATML)
    parts = [encoder_of(tokenizer, True).encode(part) for part in dialogue(*TURNS).up_to_answers(last_only=False)]
    assert [learnt(tokenizer, part) for part in parts] == [
        ("<|user|>Hi<|end|>\n<|assistant|>", "Yes 1<|end|>"),
        ("<|user|>Hi<|end|>\n<|assistant|>Yes 1<|end|>\n<|user|>And?<|end|>\n<|assistant|>", "No 2<|end|>"),
    ]


def test_each_answer_is_learnt_as_the_template_writes_it_when_it_is_the_last(chat):
    tokenizer = chat(REWRITES)
    parts = [encoder_of(tokenizer, True).encode(part) for part in dialogue(*TURNS).up_to_answers(last_only=False)]
    assert [learnt(tokenizer, part)[1] for part in parts] == ["(think)Yes 1<|end|>", "(think)No 2<|end|>"]
    assert "think" not in learnt(tokenizer, parts[1])[0]


def test_a_template_that_ends_no_answer_gets_the_end_token(chat):
    tokenizer = chat("{% for m in messages %}[{{ m.content }}{% endfor %}{% if add_generation_prompt %}[{% endif %}")
    assert learnt(tokenizer, encoder_of(tokenizer, True).encode(dialogue("a", "b 1\n"))) == (
        "[a[",
        f"b 1{tokenizer.eos_token}",
    )


def test_a_template_in_which_the_answer_cannot_be_found_is_refused(chat):
    tokenizer = chat("{{ messages | length }}{{ messages[-1].content }}")
    with pytest.raises(ValueError, match=r"data.jsonl:7: use_chat_template: .*another way"):
        encoder_of(tokenizer, True).encode(dialogue("a", "b"))


def test_prompts_lose_their_beginning_and_answers_their_end_and_all_is_counted(tokenizer):
    encoder = encoder_of(tokenizer, max_seq_len=20, max_prompt_len=10)
    answer = encoder.encode(dialogue("6 7 8 9 " * 10 + "\n", "1 2 3 4 " * 10))
    assert len(answer) == 20 and len(answer.scored) == 10
    assert answer.ids[-1] != tokenizer.eos_token_id  # a part of an answer does not end there
    counts = encoder.counts
    assert (counts.prompts_cut, counts.answers_cut, counts.learnt, counts.solutions) == (1, 1, 10, 1)
    assert counts.answer_tokens_cut > 10


def test_a_template_s_oldest_exchanges_are_left_out_or_the_record(chat):
    tokenizer = chat(CHATML)
    encoder = encoder_of(tokenizer, True, max_prompt_len=40)
    long = ("old " * 10, "no " * 10, "And?", "Yes")
    assert "old" not in learnt(tokenizer, encoder.encode(dialogue(*long)))[0]
    assert encoder.encode(dialogue("word " * 50, "Yes")) is None
    assert encoder.counts.prompts_cut == 1
    assert dict(encoder.counts.dropped) == {"prompt does not fit into max_prompt_len": 1}


def test_open_prompts_are_counted_where_texts_are_joined(tokenizer, chat):
    encoder, in_template = encoder_of(tokenizer), encoder_of(chat(CHATML), True)
    for one in (encoder, in_template):
        one.encode(dialogue("1 + 1 = ", "2"))
        one.encode(dialogue("1 + 1 =\n", "2"))
    assert (encoder.counts.open_prompts, encoder.counts.first_open) == (1, "data.jsonl:7")
    assert in_template.counts.open_prompts == 0


@pytest.mark.parametrize("text", ["The", "\n\nThe", " The", "(a)", "7", "ки"])
def test_ids_behind_other_text_are_those_of_the_text(tokenizer, text):
    assert text_of(tokenizer, ids_behind(tokenizer, text)) == text


def pair_of(chosen: str, rejected: str, prompt: str = "Hi\n") -> AnswerPair:
    return AnswerPair((Message("user", prompt),), chosen, rejected, "data.jsonl:7", 2.0)


def test_a_pair_is_two_answers_with_their_ends_behind_one_prompt(tokenizer):
    encoder = encoder_of(tokenizer)
    pair = encoder.encode_pair(pair_of("Yes 1", "No 2"))
    assert learnt(tokenizer, pair.chosen) == ("<s>Hi\n", "Yes 1</s>")
    assert learnt(tokenizer, pair.rejected) == ("<s>Hi\n", "No 2</s>")
    assert pair.chosen.prompt_len == pair.rejected.prompt_len == pair.chosen.scored[0] + 1
    assert (pair.weight, pair.chosen.weight, pair.place) == (2.0, 0.0, "data.jsonl:7")
    assert (encoder.counts.pairs, encoder.counts.solutions) == (1, 2)
    assert encoder.counts.learnt == len(pair.chosen.scored) + len(pair.rejected.scored)


def test_a_pair_that_is_too_long_loses_the_ends_of_both(tokenizer):
    long, short = pair_of("1 2 3 4 5 6 7 8 9", "9 8 7 6 5"), pair_of("1", "2")
    whole = encoder_of(tokenizer).encode_pair(long)
    lost = 6
    room = len(whole.chosen) + len(whole.rejected.scored) - lost
    encoder = encoder_of(tokenizer, max_seq_len=room)
    pair = encoder.encode_pair(long)
    assert len(pair.chosen) + len(pair.rejected.scored) == room
    for part, before in ((pair.chosen, whole.chosen), (pair.rejected, whole.rejected)):
        assert len(part) < len(before) and (part.ids == before.ids[: len(part)]).all()
    assert (encoder.counts.answers_cut, encoder.counts.answer_tokens_cut) == (2, lost)
    assert encoder_of(tokenizer, max_seq_len=len(whole.chosen) - len(whole.chosen.scored)).encode_pair(short) is None


def test_a_group_with_an_answer_that_is_too_long_keeps_the_others_as_they_are(tokenizer):
    answers = ("1", "2", "3 " * 60)
    group = Comparison((Message("user", "Hi\n"),), answers, (2.0, 1.0, 0.0), "data.jsonl:7")
    encoder = encoder_of(tokenizer, max_seq_len=40)
    pairs = [encoder.encode_pair(pair) for pair in group.pairs()]
    assert [learnt(tokenizer, one)[1] for one in (pairs[0].chosen, pairs[0].rejected)] == ["1</s>", "2</s>"]
    whole = encoder_of(tokenizer, max_seq_len=1000)
    lost = [
        len(one.rejected) + len(one.chosen) - len(other.rejected) - len(other.chosen)
        for one, other in zip(map(whole.encode_pair, group.pairs()), pairs, strict=True)
    ]
    assert lost[0] == 0 < lost[1] == lost[2]
    assert encoder.counts.pairs == 3 and encoder.counts.answer_tokens_cut == sum(lost) and encoder.counts.answers_cut
