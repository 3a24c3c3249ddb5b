"""Llama, Mistral, Qwen2 and Qwen3 in plain numpy, from their papers and not from PaddleNLP: the reference for what a
model's folder means. Weights have Hugging Face's names and orientation, numbers are float64."""

import numpy as np


def hidden_states(config: dict, weights: dict, ids_S, positions_S, end_row_S):
    """[S, E] after the last norm; token i attends to column j where j <= i < end_row[j]."""
    weights = {name: array.astype("float64") for name, array in weights.items()}
    row, column = np.indices([len(ids_S)] * 2)
    allowed_SS = (column <= row) & (row < np.asarray(end_row_S)[None, :])
    x_SE = weights["model.embed_tokens.weight"][ids_S]
    for number in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{number}."
        layer = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
        normed = rms_norm(x_SE, layer["input_layernorm.weight"], config["rms_norm_eps"])
        x_SE = x_SE + attention(config, layer, normed, np.asarray(positions_S), allowed_SS)
        normed = rms_norm(x_SE, layer["post_attention_layernorm.weight"], config["rms_norm_eps"])
        gate = normed @ layer["mlp.gate_proj.weight"].T
        up = normed @ layer["mlp.up_proj.weight"].T
        x_SE = x_SE + (gate / (1 + np.exp(-gate)) * up) @ layer["mlp.down_proj.weight"].T
    return rms_norm(x_SE, weights["model.norm.weight"], config["rms_norm_eps"])


def reward_logits(config: dict, weights: dict, hidden_KE, ids):
    head = "model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    return hidden_KE @ weights[head].astype("float64")[list(ids)].T


def reward(kind: str, weights: dict, hidden_KE):
    """[K]: ln(p / (1 - p)) by a head of the model's own, under the names of published models; of a quantile head
    [K, 3]."""

    def linear(name: str, x):
        return x @ weights[f"{name}.weight"].astype("float64").T + weights.get(f"{name}.bias", 0.0)

    if kind in ("value", "scalar"):
        return linear({"value": "v_head.summary", "scalar": "score"}[kind], hidden_KE)[:, 0]
    if kind == "quantile":
        below, median, above = linear("quantile_head", hidden_KE).T
        return np.stack([median - np.log1p(np.exp(below)), median, median + np.log1p(np.exp(above))], axis=-1)
    inner = np.maximum(linear("score.0", hidden_KE), 0) if kind == "mlp" else hidden_KE
    classes_K2 = linear("score.2" if kind == "mlp" else "score", inner)
    return classes_K2[:, 1] - classes_K2[:, 0]


def pinball_loss(rewards_K3, labels_K) -> float:
    """The sum over all positions and quantiles, case by case."""
    total = 0.0
    for rewards_3, label in zip(rewards_K3, labels_K, strict=True):
        for level, value in zip((0.1, 0.5, 0.9), 1 / (1 + np.exp(-rewards_3)), strict=True):
            total += level * (label - value) if label > value else (1 - level) * (value - label)
    return float(total)


def ranking_loss(rewards_T, right_T, margin: float) -> float:
    """PQM's of one solution, as its formula is written: float64 and no care for overflow."""
    wrong = np.exp(rewards_T[~right_T] + margin).sum()
    terms = [np.log(1 + wrong)] if wrong else []
    before = 1.0
    for reward_t in rewards_T[right_T]:
        terms.append(-np.log(np.exp(reward_t) / (np.exp(reward_t) + before + wrong)))
        before += np.exp(reward_t)
    return float(np.mean(terms))


def rms_norm(x, weight, epsilon: float):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * weight


def attention(config: dict, layer: dict, x_SE, positions_S, allowed_SS):
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    q_SE, k_SE, v_SE = (
        x_SE @ layer[f"self_attn.{name}_proj.weight"].T + layer.get(f"self_attn.{name}_proj.bias", 0.0)
        for name in "qkv"
    )
    angles_SF = positions_S[:, None] * frequencies(config, size)
    out = []
    for head in range(heads):
        group = head // (heads // groups)
        q_SD, k_SD = q_SE[:, head * size : (head + 1) * size], k_SE[:, group * size : (group + 1) * size]
        if config["model_type"] == "qwen3":  # each head by itself
            q_SD = rms_norm(q_SD, layer["self_attn.q_norm.weight"], config["rms_norm_eps"])
            k_SD = rms_norm(k_SD, layer["self_attn.k_norm.weight"], config["rms_norm_eps"])
        q_SD, k_SD = turned(q_SD, angles_SF), turned(k_SD, angles_SF)
        scores_SS = np.where(allowed_SS, q_SD @ k_SD.T / np.sqrt(size), -np.inf)
        shares_SS = np.exp(scores_SS - scores_SS.max(-1, keepdims=True))
        shares_SS /= shares_SS.sum(-1, keepdims=True)
        out.append(shares_SS @ v_SE[:, group * size : (group + 1) * size])
    return np.concatenate(out, axis=-1) @ layer["self_attn.o_proj.weight"].T


def turned(x_SD, angles_SF):
    """Feature f and feature f + D/2 are a point in the plane, turned by the angle of frequency f."""
    half = x_SD.shape[-1] // 2
    turned_S = (x_SD[:, :half] + 1j * x_SD[:, half:]) * np.exp(1j * angles_SF)
    return np.concatenate([turned_S.real, turned_S.imag], axis=-1)


def frequencies(config: dict, size: int):
    """Radians per position. Llama 3.1 slows those down that turned less than low_freq_factor times within the original
    length, keeps those that turned more than high_freq_factor times, and goes over linearly in between."""
    plain_F = config["rope_theta"] ** -(np.arange(0, size, 2) / size)
    scaling = config.get("rope_scaling")
    if not scaling:
        return plain_F
    turns_F = scaling["original_max_position_embeddings"] * plain_F / (2 * np.pi)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    kept_F = np.clip((turns_F - low) / (high - low), 0, 1)
    return plain_F * (kept_F + (1 - kept_F) / scaling["factor"])
