"""PRM800K with a candidate for the next step in each row, as its raters judged it."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import RIGHT, WRONG, Format, Made, Options, Row, Unusable, has, labelled
from llm.data.convert.values import one_of, text, texts, whole


def convert(row: Row, options: Options) -> Iterator[Made]:
    """The earlier steps are those that the raters continued from; 0 is their word for a step that is not wrong but does
    not help."""
    rating = whole(row["rating"], "rating")
    if rating is None:
        raise Unusable("no rating")
    one_of(rating, (1, 0, -1), "unknown rating", "rating")
    earlier = texts(row, "responses")
    labels = [RIGHT] * len(earlier) + [WRONG if rating == -1 else RIGHT]
    yield labelled(text(row, "instruction"), [*earlier, text(row, "next_response")], labels)


FIELDS = ("instruction", "responses", "next_response", "rating")
FORMAT = Format(
    name="prm800k-candidates",
    meaning="PRM800K with a candidate for the next step in each row",
    fields=FIELDS,
    fits=has(*FIELDS),
    convert=convert,
)
