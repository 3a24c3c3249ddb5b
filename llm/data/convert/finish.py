"""What every record goes through, whatever it was made from."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import RIGHT, WRONG, Made, Note, Options, Unusable


def finished(made: Made, options: Options) -> Iterator[Made]:
    """Labels cut at the threshold, blank steps dropped with their labels; Unusable if nothing is left to learn from."""
    if (
        isinstance(made, Note)
        or not isinstance(made.get("responses"), list)
        or not isinstance(made.get("labels"), list)
    ):
        yield made
        return
    steps, labels = made["responses"], made["labels"]
    if options.threshold is not None:
        labels = [_cut(label, options.threshold) for label in labels]
        made = {**made, "labels": labels}
    if len(steps) == len(labels) and _has_blank(steps):
        kept = [number for number, step in enumerate(steps) if not isinstance(step, str) or step.strip()]
        if blank := len(steps) - len(kept):
            yield Note("blank steps left out", blank)
        made = {**made, "responses": [steps[n] for n in kept], "labels": [labels[n] for n in kept]}
    if not made["responses"]:
        raise Unusable("no step")
    if made["labels"] and not any(label is not None for label in made["labels"]):
        raise Unusable("no label")
    yield made


def _has_blank(steps: list) -> bool:
    try:
        return not all(map(str.strip, steps))
    except TypeError:  # of something that is no text, which is refused later
        return True


def _cut(label: object, threshold: float) -> object:
    if isinstance(label, bool) or not isinstance(label, int | float):
        return label
    return RIGHT if label > threshold else WRONG
