"""What the rows of formats with compared answers mean."""

from __future__ import annotations

import pytest

from llm.data.convert.form import Options, Unfit, Unusable
from llm.data.convert.registry import FORMATS
from tests.data.convert.rows import made, notes, nothing, records

USER = {"role": "user", "content": "1 + 1?"}
PAIR = {"src": ["1 + 1?"], "tgt": [], "response": ["2", "3"], "sort": [1, 0]}
NO_PROMPT = {"prompt": None}


def answer(text: str) -> dict:
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"chosen": [USER, answer("2")], "rejected": [USER, answer("3")]},
        {"chosen": [answer("2")], "rejected": [answer("3")]},
        {"chosen": answer("2"), "rejected": answer("3")},
        {"prompt": [USER], "chosen": [answer("2")], "rejected": [answer("3")]},
        {"prompt": [USER], "chosen": "2", "rejected": "3"},
        NO_PROMPT | {"chosen": [USER, answer("2")], "rejected": [USER, answer("3")]},
        NO_PROMPT | {"chosen": "\n\nHuman: 1 + 1?\n\nAssistant: 2", "rejected": "\n\nHuman: 1 + 1?\n\nAssistant: 3"},
        NO_PROMPT
        | {
            "chosen": [{"from": "human", "value": "1 + 1?"}, {"from": "gpt", "value": "2"}],
            "rejected": [{"from": "human", "value": "1 + 1?"}, {"from": "gpt", "value": "3"}],
        },
    ],
)
def test_a_pair_is_the_same_in_every_form(changes):
    assert records("preferences", changes) == [PAIR]


def test_other_writings_of_prompts():
    """Alpaca's two parts, ShareGPT's conversations; a pair without any prompt is kept and counted."""
    alpaca = {"prompt": None, "instruction": "Add.", "input": "1 + 1?"}
    assert records("preferences", alpaca) == [PAIR | {"src": ["Add.\n1 + 1?"]}]
    assert records("preferences", alpaca | {"input": ""}) == [PAIR | {"src": ["Add."]}]
    turns = [{"from": "human", "value": "1 + 1?"}]
    chat = {"prompt": None, "conversations": turns, "chosen": {"from": "gpt", "value": "2"}}
    assert records("preferences", chat) == [PAIR]
    assert records("preferences", NO_PROMPT) == [PAIR | {"src": [""]}]
    assert notes("preferences", NO_PROMPT) == {"pairs without a prompt, with a blank src": 1}


def test_a_pair_after_several_turns():
    before = "\n\nHuman: 1 + 1?\n\nAssistant: 2\n\nHuman: And 2 + 2?\n\nAssistant:"
    changes = NO_PROMPT | {"chosen": f"{before} 4", "rejected": f"{before} 5"}
    expected = {"src": ["1 + 1?", "And 2 + 2?"], "tgt": ["2"], "response": ["4", "5"], "sort": [1, 0]}
    assert records("preferences", changes) == [expected]
    turns = [USER, answer("2"), {"role": "user", "content": "And 2 + 2?"}]
    assert records("preferences", {"chosen": [*turns, answer("4")], "rejected": [*turns, answer("5")]}) == [expected]


def test_a_system_message_goes_in_front_of_the_first_turn():
    system = {"role": "system", "content": "Be short."}
    changes = NO_PROMPT | {"chosen": [system, USER, answer("2")], "rejected": [system, USER, answer("3")]}
    assert records("preferences", changes) == [PAIR | {"src": ["Be short.\n\n1 + 1?"]}]
    assert notes("preferences", changes) == {"system messages written in front of the first turn": 1}


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"chosen": "3"}, "equal answers"),
        ({"chosen": " "}, "an empty answer"),
        (
            NO_PROMPT | {"chosen": [USER, answer("2")], "rejected": [answer("3")]},
            "chosen and rejected do not continue the same dialogue",
        ),
        (
            NO_PROMPT | {"chosen": [answer("2"), USER], "rejected": [answer("2"), USER]},
            "the last turn is not an answer",
        ),
        (
            NO_PROMPT | {"chosen": [USER, USER, answer("2")], "rejected": [USER, USER, answer("3")]},
            "turns of user and assistant do not alternate",
        ),
    ],
)
def test_pairs_that_give_no_record(changes, why):
    assert nothing("preferences", changes) == why


@pytest.mark.parametrize("changes", [{"chosen": []}, {"chosen": 2}, {"chosen": [{"role": "judge", "content": "2"}]}])
def test_pairs_that_contradict_the_format(changes):
    with pytest.raises(Unfit):
        made("preferences", changes)


def test_the_difference_of_the_scores_is_the_margin_if_that_is_asked_for():
    assert records("preferences", margins=True) == [PAIR | {"margin": 0.5}]
    with pytest.raises(Unfit, match="no scores"):
        made("preferences", {"score_chosen": None}, margins=True)


def test_ultrafeedback_completions_are_pairs_where_their_scores_differ():
    assert records("ultrafeedback") == [
        PAIR | {"response": ["2", "3"]},
        PAIR | {"response": ["two", "3"]},
    ]
    assert notes("ultrafeedback") == {"pairs with equal scores left out": 1}
    assert [one["margin"] for one in records("ultrafeedback", margins=True)] == [2.5, 2.5]


def test_helpsteer_responses_to_a_prompt_are_compared_by_helpfulness():
    rows = [{"prompt": "1 + 1?", "response": str(n), "helpfulness": score} for n, score in ((3, "1"), (2, 4.0))]
    assert records("helpsteer", {"rows": rows}) == [PAIR]
    assert nothing("helpsteer", {"rows": rows[:1]}) == "only one response to the prompt"
    equal = [row | {"helpfulness": 2} for row in rows]
    with pytest.raises(Unusable, match="no two answers with different scores"):
        list(FORMATS["helpsteer"].convert({"rows": equal}, Options()))


def test_helpsteer_preferences_are_below_0_where_the_first_is_better():
    assert records("helpsteer-preference") == [PAIR]
    assert records("helpsteer-preference", {"preference_strength": 1})[0]["response"] == ["3", "2"]
    assert records("helpsteer-preference", margins=True)[0]["margin"] == 2
    assert nothing("helpsteer-preference", {"preference_strength": 0}) == "no response is preferred"
    row = {"context": [USER], "response1": "2", "response2": "3", "overall_preference": -3}
    assert list(FORMATS["helpsteer-preference"].convert(row, Options())) == [PAIR]


def test_sft_data_are_prompts_with_their_answers():
    assert records("llmtrainer-sft") == [{"src": ["1 + 1?\n"], "tgt": ["2"]}]
    assert nothing("llmtrainer-sft", {"response": " "}) == "an empty response"
