"""The scores of a job's solutions without a server, in a process of its own: the job from stdin as JSON, what was
measured as one JSON line."""

from __future__ import annotations

import json
import sys
import time

from llm.scoring.scorer import Scorer


def measure(job: dict) -> dict:
    scorer = Scorer.load(job["model"])
    scores = scorer.score(job["solutions"])  # a pass in which memory is touched
    passes, begin, seconds = 0, time.perf_counter(), 0.0
    while not passes or seconds < job["seconds"]:
        scorer.score(job["solutions"])
        passes, seconds = passes + 1, time.perf_counter() - begin
    return {
        "scorer": scorer.describe(),
        "scores": [one.as_dict(threshold=0.5) for one in scores],
        "solutions_per_second": passes * len(job["solutions"]) / seconds,
    }


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
