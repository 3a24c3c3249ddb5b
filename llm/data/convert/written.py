"""What other formats can hold of a record: one question, and labels that are all there."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import RIGHT, WRONG, Note, Unfit

SIGNS = {RIGHT: RIGHT, WRONG: WRONG, 1: RIGHT, 0: WRONG}  # true and false are equal to 1 and 0


def parts_of(record: dict) -> tuple[str, list[str], list[str | float], list[Note]]:
    """(question, steps, labels, what the record had and another format does not)."""
    if "responses" not in record:
        raise Unfit(list(record), "no steps", "a pair of answers cannot be written so", "give labelled records")
    src = [record["src"]] if isinstance(record["src"], str) else record["src"]
    if len(src) > 1:
        raise Unfit(src, "several turns", f"src has {len(src)}", "other formats have one question; leave it out")
    labels = list(record["labels"])
    while labels[-1] is None:
        labels.pop()
    if None in labels:
        where = f"labels[{labels.index(None)}] of those before the last one"
        raise Unfit(
            None,
            "step without a label",
            where,
            "other formats label every step; leave the record out, or convert trees with --repeat_labels",
        )
    notes = list(_lost(record, len(labels)))
    return src[0] if src else "", [step.strip() for step in record["responses"][: len(labels)]], labels, notes


def _lost(record: dict, kept: int) -> Iterator[Note]:
    if kept < len(record["responses"]):
        yield Note("steps after the last label left out", len(record["responses"]) - kept, record["responses"][kept])
    if record.get("weight", 1) not in (None, 1):
        yield Note("weights left out", value=record["weight"])


def signs_of(labels: list[str | float]) -> list[str]:
    for number, label in enumerate(labels):
        if label not in SIGNS:
            detail = f"labels[{number}]; this format has right and wrong only"
            raise Unfit(label, "soft label", detail, "cut such labels with --threshold")
    return [SIGNS[label] for label in labels]
