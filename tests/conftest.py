"""A data set, a tokenizer and a model small enough for seconds, made once per test session."""

import json
import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))
# Tests run whole training runs in this process and beside it; one thread each is faster than two that share cores.
os.environ.setdefault("MKL_NUM_THREADS", "1")

from llm.core.cpu import environment

environment.prepare()

import pytest


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """folder/model (a Llama of 2 layers and its tokenizer); labelled records in folder/train.jsonl (120) and dev.jsonl
    (24); preferences of the same problems in folder/pairs.jsonl (86) and dev_pairs.jsonl (17)."""
    from paddlenlp.transformers import LlamaConfig, LlamaForCausalLM
    from paddlenlp.utils.log import logger

    from llm.data.generate_arithmetic import preferences, records, write
    from llm.data.train_tokenizer import train_tokenizer
    from llm.demo.tiny_model import solution_text

    logger.set_level("ERROR")
    folder = tmp_path_factory.mktemp("tiny")
    write(folder / "train.jsonl", records(30))
    write(folder / "dev.jsonl", records(6, split="dev"))
    write(folder / "pairs.jsonl", preferences(30))
    write(folder / "dev_pairs.jsonl", preferences(6, split="dev"))
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = [solution_text(record["src"][0], record["responses"]) for record in rows]
    tokenizer = train_tokenizer(texts, folder / "model", vocabulary=640)
    import paddle

    paddle.seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(str(folder / "model"), safe_serialization=True)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tiny):
    from llm.core.text.load_tokenizer import load_tokenizer

    return load_tokenizer(str(tiny / "model"))


@pytest.fixture(scope="session")
def tokens(tokenizer):
    from llm.core.text.reward_tokens import find_reward_tokens

    return find_reward_tokens(tokenizer, "ки", ("+", "-"))


@pytest.fixture
def settings_of(tiny, tmp_path):
    """Flags of a short run into tmp_path/out, with changes: settings_of(max_steps=3)."""

    def flags(**changes) -> list[str]:
        settings = {
            "model_name_or_path": tiny / "model",
            "train_dataset_path": tiny / "train.jsonl",
            "dev_dataset_path": tiny / "dev.jsonl",
            "output_dir": tmp_path / "out",
            "max_seq_len": 384,
            "max_steps": 6,
            "eval_steps": 3,
            "save_steps": 3,
            "learning_rate": 1e-3,
            "gradient_accumulation_steps": 2,
            "per_device_train_batch_size": 4,
            "per_device_eval_batch_size": 8,
            "disable_tqdm": True,
            **changes,
        }
        config = tmp_path / "config.json"
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
        config.write_text(json.dumps({name: value for name, value in plain.items() if value is not ...}))
        return [str(config)]

    return flags
