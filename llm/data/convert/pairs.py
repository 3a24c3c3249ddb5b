"""Two answers of which one is better -> a preference record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from llm.data.convert.form import Made, Note, Options, Unfit, Unusable


def pair(dialogue: dict, chosen: str, rejected: str, scores: Sequence[float | None], options: Options) -> dict:
    """`scores` are those of chosen and rejected, where they are known."""
    if not chosen.strip() or not rejected.strip():
        raise Unusable("an empty answer")
    if chosen.strip() == rejected.strip():
        raise Unusable("equal answers", chosen)
    record = {**dialogue, "response": [chosen, rejected], "sort": [1, 0]}
    if options.margins:
        better, worse = scores
        if better is None or worse is None:
            raise Unfit(None, "no scores", "for --margins", "leave --margins out, or give data with scores")
        record["margin"] = max(0.0, float(better) - float(worse))
    return record


def pairs_of(
    dialogue: dict, answers: Sequence[str], scores: Sequence[float | None], options: Options
) -> Iterator[Made]:
    """A record for each two answers with different scores, the better one first."""
    found = 0
    for (one, score), (other, other_score) in combinations(zip(answers, scores, strict=True), 2):
        if score is None or other_score is None:
            yield Note("pairs without a score left out")
        elif score == other_score:
            yield Note("pairs with equal scores left out", value=score)
        else:
            best, worst = (one, other) if score > other_score else (other, one)
            ranked = max(score, other_score), min(score, other_score)
            try:
                record = pair(dialogue, best, worst, ranked, options)
            except Unusable as error:
                yield Note(f"pairs with {error.args[0]} left out")
            else:
                found += 1
                yield record
    if not found:
        raise Unusable("no two answers with different scores")
