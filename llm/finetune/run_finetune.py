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

from llm.core.parallel import ranks
from llm.core.run.start import carry_out_task
from llm.finetune.sft_task import TASK


def main(argv: list[str]) -> dict:
    """Runs what the settings say; returns the results."""
    return carry_out_task(TASK, argv, __doc__ or "")


if __name__ == "__main__":
    ranks.run(main, sys.argv[1:])
