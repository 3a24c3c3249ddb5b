"""How published reward models are read: each convention on random weights with its head and its names, against a text
put together here, the tokenizers library and a forward in numpy."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend

from llm.scoring.conventions.find import PUBLISHED
from llm.scoring.scorer import Scorer
from tests.core import model_folders, numpy_forward
from tests.scoring.published_models import QUESTION, STEPS, make_model

TURN = "<|im_start|>{}\n{}<|im_end|>\n"


def hidden(config: dict, weights: dict, ids: list[int]) -> np.ndarray:
    return numpy_forward.hidden_states(config, weights, np.array(ids), range(len(ids)), [len(ids)] * len(ids))


def linear(weights: dict, name: str, x):
    return x @ weights[f"{name}.weight"].T.astype("float64") + weights.get(f"{name}.bias", 0.0)


def encoder(folder):
    backend = Backend.from_file(str(folder / "tokenizer.json"))
    return backend, lambda text: backend.encode(text, add_special_tokens=False).ids


def qwen_prm(config, weights, backend, ids):
    system = r"Please reason step by step, and put your final answer within \boxed{}."
    text = TURN.format("system", system) + TURN.format("user", QUESTION) + "<|im_start|>assistant\n"
    sequence = ids(text + "<extra_0>".join([*STEPS, ""]) + "<|im_end|>\n")
    h = hidden(config, weights, sequence)[np.array(sequence) == backend.token_to_id("<extra_0>")]
    z = linear(weights, "score.2", np.maximum(linear(weights, "score.0", h), 0))
    return z[:, 1] - z[:, 0]


def skywork(config, weights, backend, ids):
    sequence, at = [backend.token_to_id("<|endoftext|>"), *ids(QUESTION + "\n")], []
    for step in STEPS:
        sequence += ids(step) + ids("\n")
        at.append(len(sequence) - 1)
    return linear(weights, "v_head.summary", hidden(config, weights, sequence)[at])[:, 0]


def trl(config, weights, backend, ids, separator="\n"):
    sequence, at = [backend.token_to_id("<|endoftext|>"), *ids(QUESTION)], []
    for step in STEPS:
        sequence += ids(step) + ids(separator)
        at.append(len(sequence) - 1)
    z = linear(weights, "score", hidden(config, weights, sequence)[at])
    return z[:, 1] - z[:, 0]


def pure(*model):
    return trl(*model, separator="\n\n")


def reasoneval(config, weights, backend, ids):
    sequence = ids(f"Question:\n{QUESTION}\nAnswer:\nLet's think step by step.\n" + "[PAD]".join([*STEPS, ""]))
    pad, kept, at = backend.token_to_id("[PAD]"), [], []
    for token in sequence:
        if token == pad:
            at.append(len(kept) - 1)
        else:
            kept.append(token)
    p = np.exp(linear(weights, "score_head", hidden(config, weights, kept)[at]))
    return np.log((p[:, 1] + p[:, 2]) / p[:, 0])


def universal(config, weights, backend, ids):
    asked = f"{QUESTION}\n\n###\n\nThe reference answer is: There is no reference answer for this question."
    text = (
        TURN.format("system", "You are a helpful assistant.") + TURN.format("user", asked) + "<|im_start|>assistant\n"
    )
    found = []
    for count in (1, 2):
        sequence = ids(text + "\n\n".join(STEPS[:count]) + "<|endoftext|>")
        found.append(linear(weights, "score", hidden(config, weights, sequence)[-1])[0])
    return found


def rlhflow(config, weights, backend, ids):
    system = TURN.format("system", "You are a helpful assistant.")
    text = system + TURN.format("user", f"{QUESTION} {STEPS[0]}") + TURN.format("assistant", "+")
    text += TURN.format("user", STEPS[1]) + TURN.format("assistant", "+")
    sequence, (plus,), (minus,) = ids(text), ids("+"), ids("-")
    begin = ids("<|im_start|>assistant\n")
    starts = [n + len(begin) for n in range(len(sequence)) if sequence[n : n + len(begin)] == begin]
    assert [sequence[n] for n in starts] == [plus, plus]
    z = hidden(config, weights, sequence)[np.array(starts) - 1] @ weights["lm_head.weight"][[plus, minus]].T
    return z[:, 0] - z[:, 1]


def math_shepherd(config, weights, backend, ids):
    sequence, at = [], []
    for number, step in enumerate(STEPS, 1):
        before = f"{QUESTION} " if number == 1 else "\n"
        sequence += ids(f"{before}Step {number}: {step}") + [backend.token_to_id(" ки")]
        at.append(len(sequence) - 1)
    plus, minus = ids("a +")[-1], ids("a -")[-1]
    z = hidden(config, weights, sequence)[at] @ weights["lm_head.weight"][[plus, minus]].T
    return z[:, 0] - z[:, 1]


DIRECT = {
    "qwen-prm": qwen_prm,
    "skywork": skywork,
    "trl": trl,
    "pure": pure,
    "reasoneval": reasoneval,
    "universal": universal,
    "rlhflow": rlhflow,
    "math-shepherd": math_shepherd,
}


@pytest.mark.parametrize(
    ("name", "family"), [*((name, "Qwen2") for name in DIRECT), ("trl", "Qwen3"), ("math-shepherd", "Qwen3")]
)
def test_scores_equal_a_direct_computation(name, family, tokenizer, tmp_path):
    """Alone, and with other candidates of the question in the same tree; in bfloat16 near to it."""
    head = PUBLISHED[name].HEAD
    architecture = f"{family}ForTokenClassification"
    config, weights = make_model(tmp_path / "m", tokenizer, None if head == "lm" else head, architecture)
    backend, ids = encoder(tokenizer)
    expected = DIRECT[name](config, weights, backend, ids)
    scorer = Scorer.load(tmp_path / "m", convention=name)
    solution = {"question": QUESTION, "steps": STEPS}
    others = [{"question": QUESTION, "steps": [STEPS[0], other]} for other in ("So it is 6.", "So it")]
    assert scorer.score([solution])[0].log_odds == pytest.approx(expected, abs=1e-5)
    assert scorer.score([others[0], solution, others[1]])[1].log_odds == pytest.approx(expected, abs=1e-5)
    assert scorer.convention.label == f"{name}/1"
    half = Scorer.load(tmp_path / "m", convention=name, dtype="bfloat16")
    assert half.score([solution])[0].log_odds == pytest.approx(expected, abs=0.3)


def test_implicit_rewards_are_what_a_step_adds_to_the_log_ratio(tokenizer, tmp_path):
    """Their sum is that of the whole answer, and a policy that is its reference gives none."""
    models = [
        make_model(tmp_path / name, tokenizer, None, "Qwen2ForCausalLM", seed) for name, seed in (("p", 5), ("r", 6))
    ]
    backend, ids = encoder(tokenizer)
    system = TURN.format("system", "You are a helpful assistant.")
    prompt = system + TURN.format("user", QUESTION) + "<|im_start|>assistant\n"
    sequence, start = ids(prompt + f"Step 1: {STEPS[0]}\n\nStep 2: {STEPS[1]}"), len(ids(prompt))
    middle = len(ids(prompt + f"Step 1: {STEPS[0]}"))
    log_p = []
    for config, weights in models:
        z = hidden(config, weights, sequence)[:-1] @ weights["lm_head.weight"].T.astype("float64")
        z -= np.log(np.exp(z - z.max(-1, keepdims=True)).sum(-1, keepdims=True)) + z.max(-1, keepdims=True)
        log_p.append(z[np.arange(len(z)), sequence[1:]])
    ratio = 0.001 * (log_p[0] - log_p[1])
    expected = [ratio[start - 1 : middle - 1].sum(), ratio[middle - 1 :].sum()]
    solution = {"question": QUESTION, "steps": STEPS}
    scorer = Scorer.load(tmp_path / "p", convention="implicit", reference=tmp_path / "r")
    other = {"question": QUESTION, "steps": [STEPS[0], "So 6."]}
    scores, _ = scorer.score([solution, other])
    assert scores.log_odds == pytest.approx(expected, abs=1e-6)
    same = Scorer.load(tmp_path / "p", convention="implicit", reference=tmp_path / "p")
    assert same.score([solution])[0].log_odds.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("head, name", [("mlp", "qwen-prm"), ("value", "skywork"), ("classes", "reasoneval")])
def test_a_head_of_one_convention_tells_which_it_is(head, name, tokenizer, tmp_path):
    make_model(tmp_path / "m", tokenizer, head)
    assert Scorer.load(tmp_path / "m").convention.name == name


def test_an_unread_lm_head_beside_the_score_s_is_no_obstacle(tokenizer, tmp_path):
    """As in Qwen2.5-Math-PRM's files."""
    config, weights = make_model(tmp_path / "m", tokenizer, "mlp", "Qwen2ForProcessRewardModel")
    before = Scorer.load(tmp_path / "m").score([{"question": QUESTION, "steps": STEPS}])[0].log_odds
    weights["lm_head.weight"] = np.ones([500, 32], "float32")
    model_folders.write(tmp_path / "m", config, weights, shards=2)
    (tmp_path / "m" / "model.safetensors").unlink()
    assert Scorer.load(tmp_path / "m").score([{"question": QUESTION, "steps": STEPS}])[0].log_odds == pytest.approx(
        before
    )


@pytest.mark.parametrize(
    "head, asked, reason",
    [
        ("linear", None, "do not tell by which convention the model was trained. Say which .*trl, pure"),
        (None, None, "do not tell .* math-shepherd, rlhflow, implicit"),
        ("linear", "qwen-prm", "reads a head named score.0.weight.*holds score"),
        ("value", "math-shepherd", "reads the LM head.*skywork"),
        (None, "implicit", "reference"),
        ("value", "paddle-reward", "no reward_format.json"),
    ],
)
def test_a_convention_that_cannot_be_is_refused_with_those_that_can(head, asked, reason, tokenizer, tmp_path):
    make_model(tmp_path / "m", tokenizer, head)
    with pytest.raises(ValueError, match=reason):
        Scorer.load(tmp_path / "m", convention=asked)


def test_a_tokenizer_without_the_mark_of_a_step_is_refused(tokenizer, tmp_path):
    make_model(tmp_path / "m", tokenizer, "mlp")
    file = tmp_path / "m" / "tokenizer.json"
    file.write_text(file.read_text().replace("<extra_0>", "<extra_9>"))
    config = tmp_path / "m" / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"added_tokens_decoder": None}))
    with pytest.raises(ValueError, match="has no token '<extra_0>'"):
        Scorer.load(tmp_path / "m")


def test_a_tokenizer_without_the_template_of_a_chat_is_refused(tokenizer, tmp_path):
    make_model(tmp_path / "m", tokenizer, None)
    config = tmp_path / "m" / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": None}))
    with pytest.raises(ValueError, match="convention rlhflow writes .* no chat template") as error:
        Scorer.load(tmp_path / "m", convention="rlhflow")
    assert "use_chat_template" not in str(error.value)  # which is no setting here


def test_what_a_convention_cannot_take_is_refused(tokenizer, tmp_path):
    make_model(tmp_path / "m", tokenizer, "value")
    scorer = Scorer.load(tmp_path / "m")
    with pytest.raises(ValueError, match="this is a dialogue"):
        scorer.score([{"src": ["a", "b"], "tgt": ["c"], "responses": ["d"]}])
    with pytest.raises(ValueError, match="attends over 256"):
        scorer.score([{"question": QUESTION, "steps": ["word " * 300]}])


def test_several_conventions_at_once_name_the_rows_that_they_judge_differently(tokenizer, tmp_path, capsys):
    from llm.scoring.score import main as score

    make_model(tmp_path / "m", tokenizer, "linear")
    rows = [{"question": QUESTION, "steps": [f"So it is {number}."]} for number in range(40)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    expected = [Scorer.load(tmp_path / "m", convention=name).score(rows) for name in ("trl", "pure")]
    threshold = float(np.median([one.last for scores in expected for one in scores]))
    command = [
        str(tmp_path / "m"),
        str(tmp_path / "in.jsonl"),
        str(tmp_path / "out.jsonl"),
        "--conventions",
        "trl,pure",
    ]
    score([*command, "--threshold", str(threshold)])
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    flips = [one.first_below(threshold) != other.first_below(threshold) for one, other in zip(*expected, strict=True)]
    assert [row["verdict_flips"] for row in found] == flips and any(flips) and not all(flips)
    assert [row["scores"]["pure/1"] for row in found] == [one.as_dict(threshold) for one in expected[1]]
    assert f"depend on the convention: {sum(flips)} rows" in capsys.readouterr().out
