"""Fine-tune a language model on answers (SFT).

    python -u -m paddle.distributed.launch [--gpus "0,1,2,3"] llm/finetune/run_finetune.py CONFIG.json
    python llm/finetune/run_finetune.py CONFIG.json [--key value ...]

The configuration is a JSON object; the command line overrides it. --help lists every setting.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from llm.core.console import plain_errors
from llm.core.cpu import environment
from llm.core.model.config import check_vocabulary
from llm.core.model.folder import find_model
from llm.core.parallel import ranks
from llm.core.parallel.ranks import say
from llm.core.run.run import fit_to_data, read_data_sets
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.tokenizer import Tokenizer
from llm.finetune.sft_data import rows_of
from llm.finetune.sft_format import SftFormat
from llm.finetune.sft_run import SftRun, resolve_run


def main(argv: list[str]) -> dict:
    """Runs what the settings say; returns the results."""
    threads = environment.prepare()
    with plain_errors(ValueError, OSError):
        run = resolve_run(argv, __doc__)
        say(run.screen())
        tokenizer = read_tokenizer(run)
        train, dev = read_data_sets(run, lambda paths, bar: rows_of(paths, run.data, tokenizer, bar))
        run = fit_to_data(run, train)

        # Paddle takes seconds to import. What a user can get wrong is known by now.
        from llm.core.run.work import carry_out
        from llm.finetune.sft_model import learner_of

        learner = learner_of(run, SftFormat(tokenizer, run.data.use_chat_template))
    return carry_out(run, learner, train, dev, train.rows if train else None, threads)


def read_tokenizer(run: SftRun) -> Tokenizer:
    """Known to belong to the model."""
    name = run.model.tokenizer_name_or_path
    tokenizer = load_tokenizer(find_model(name, "tokenizer_name_or_path") if name else run.model_path)
    check_vocabulary(run.sizes, tokenizer)
    if note := tokenizer.note_on_saving():
        say(note)
    return tokenizer


if __name__ == "__main__":
    ranks.run(main, sys.argv[1:])
