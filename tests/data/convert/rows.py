"""A row of each format, and what becomes of rows without files."""

from __future__ import annotations

from llm.data.convert.finish import finished
from llm.data.convert.form import Note, Options, Unusable
from llm.data.convert.registry import FORMATS

KI, TOKEN = "ки", "<|reserved_special_token_250|>"
STEPS = ["1 + 1 = 2", "2 + 1 = 4", "It is 4"]
ROWS = {
    "math-shepherd": {
        "input": f"1 + 1? Step 1: 1 + 1 = 2 {KI}\nStep 2: It is - 3 {KI}",
        "label": "1 + 1? Step 1: 1 + 1 = 2 +\nStep 2: It is - 3 -",
        "task": "GSM8K",
    },
    "special-token": {"prompt": f"Question: 1 + 1?\nAnswer: It is 2{TOKEN}So 3{TOKEN}", "label": [1, 0]},
    "prm800k": {
        "question": {"problem": "1 + 1?"},
        "label": {
            "steps": [
                {
                    "completions": [{"text": "a", "rating": 1}, {"text": "b", "rating": -1}],
                    "human_completion": None,
                    "chosen_completion": 0,
                },
                {"completions": [{"text": "c", "rating": 0}], "human_completion": None, "chosen_completion": None},
            ]
        },
    },
    "prm800k-candidates": {
        "instruction": "1 + 1 + 1?",
        "responses": ["1 + 1 = 2"],
        "next_response": "2 + 1 = 3",
        "rating": 1,
    },
    "math-aps": {
        "question": "1 + 1?",
        "reasoning_steps": [
            {"solution_prefix": "1 + 1?", "mc_value": 0.5},
            {"solution_prefix": "1 + 1?\n\nIt is 2.", "mc_value": 1.0},
            {"solution_prefix": "1 + 1?\n\nIt is 2. So 3.", "mc_value": 0.25},
        ],
    },
    "math-aps-tree": {
        "question": "1 + 1?",
        "reasoning_steps": {
            "text": "1 + 1?",
            "mc_value": 0.5,
            "children": [
                {
                    "text": "It is 2.",
                    "mc_value": 0.75,
                    "children": [
                        {"text": "Yes.", "mc_value": 1.0, "children": []},
                        {"text": "No.", "mc_value": 0.0, "children": []},
                    ],
                }
            ],
        },
    },
    "processbench": {"problem": "1 + 1 + 1?", "steps": STEPS, "label": 1},
    "prmbench": {"modified_question": "1 + 1?", "modified_process": ["1. a", "2. b", "3. c"], "error_steps": [1, 3]},
    "trl": {"prompt": "Simple is better", "completions": ["than", "complex."], "labels": [True, False]},
    "openrlhf": {"input": f"1 + 1? Step 1: It is 2 {KI}\nStep 2: So 3 {KI}", "value": ["+", "-"]},
    "rlhflow": {
        "conversations": [
            {"role": "user", "content": "1 + 1? Step 1: It is 2"},
            {"role": "assistant", "content": "+"},
            {"role": "user", "content": "Step 2: So 3"},
            {"role": "assistant", "content": "-"},
        ]
    },
    "preferences": {"prompt": "1 + 1?", "chosen": "2", "rejected": "3", "score_chosen": 4.5, "score_rejected": 4},
    "ultrafeedback": {
        "instruction": "1 + 1?",
        "completions": [
            {"response": "3", "fine-grained_score": 1.5},
            {"response": "2", "fine-grained_score": 4.0},
            {"response": "two", "fine-grained_score": 4.0},
        ],
    },
    "helpsteer": {"prompt": "1 + 1?", "response": "2", "helpfulness": 4, "verbosity": 1},
    "helpsteer-preference": {"prompt": "1 + 1?", "response_1": "2", "response_2": "3", "preference_strength": -2},
    "llmtrainer-sft": {"prompt_id": "7", "prompt": "1 + 1?\n", "response": "2"},
    "columns": {"question": "1 + 1?", "steps": ["It is 2", "So 3"], "labels": [1, 0.25]},
    "records": {"src": ["1 + 1?"], "tgt": [], "responses": ["It is 2"], "labels": ["+"]},
}


def made(name: str, changes: dict | None = None, **options) -> list[dict | Note]:
    """What a row of a format becomes, with changes to it."""
    row = ROWS[name] | (changes or {})
    chosen = Options(**options)
    if FORMATS[name].grouped_by:
        row = {"rows": [row]} if "rows" not in row else row
    return [one for made in FORMATS[name].convert(row, chosen) for one in finished(made, chosen)]


def records(name: str, changes: dict | None = None, **options) -> list[dict]:
    return [one for one in made(name, changes, **options) if not isinstance(one, Note)]


def notes(name: str, changes: dict | None = None, **options) -> dict[str, int]:
    return {one.what: one.number for one in made(name, changes, **options) if isinstance(one, Note)}


def labels(name: str, changes: dict | None = None, **options) -> list[list]:
    return [record["labels"] for record in records(name, changes, **options)]


def nothing(name: str, changes: dict | None = None, **options) -> str:
    """Why a row gives no record."""
    try:
        found = made(name, changes, **options)
    except Unusable as error:
        return error.args[0]
    raise AssertionError(f"{found} was made")
