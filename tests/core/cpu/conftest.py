"""Small models of each family, saved once."""

from __future__ import annotations

import paddle
import pytest

from tests.core.cpu.library_models import CONFIGS, VOCABULARY, library_class


@pytest.fixture(scope="session")
def library_models(tmp_path_factory):
    """library_models(family, tied): PaddleNLP's own random model, and the folder where it is saved."""
    made = {}

    def get(family: str, tied: bool = False):
        if (family, tied) not in made:
            paddle.seed(3)
            config = CONFIGS[family](
                vocab_size=VOCABULARY,
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=128,
                tie_word_embeddings=tied,
            )
            model = library_class(family)(config)
            for parameter in model.parameters():  # norms and biases too: ones and zeros would hide what is left out
                parameter.set_value(paddle.normal(0.0, 0.25, parameter.shape) + (parameter.ndim == 1))
            folder = tmp_path_factory.mktemp(f"{family}-{'tied' if tied else 'untied'}")
            model.save_pretrained(str(folder), safe_serialization=True)
            made[family, tied] = model.eval(), folder
        return made[family, tied]

    return get
