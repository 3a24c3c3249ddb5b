"""Rows of other data sets' formats among the records, and whether converting them would give a record.

Empty lists of labels, and special tokens that are not as many as the labels, are found here before anything is
converted.
"""

from __future__ import annotations

from collections.abc import Iterator

from llm.core.console import count_of
from llm.core.records.problem import Problem, excerpt
from llm.data.check.finding import Examples, Finding
from llm.data.convert.form import Format, Options, Unfit, Unusable
from llm.data.convert.registry import FORMATS

OWN = "records"


class OtherFormats:
    def __init__(self) -> None:
        self.rows: dict[str, Examples] = {}  # by format
        self.unusable: dict[tuple[str, str], Examples] = {}  # by format and reason

    def add(self, row: object, place: str) -> bool:
        """Whether the row is of another format."""
        if not isinstance(row, dict) or (form := format_of(row)) is None:
            return False
        self.rows.setdefault(form.name, Examples()).add(f"{place}: {excerpt(list(row))}")
        for reason, example in _faults(form, row, place):
            self.unusable.setdefault((form.name, reason), Examples()).add(example)
        return True

    def findings(self) -> Iterator[Finding]:
        for name, seen in self.rows.items():
            text = f"{count_of(seen.count, 'row')} of the format {name}, {FORMATS[name].meaning}"
            advice = f"Training refuses them; python -m llm convert {name} writes them as records."
            yield from seen.finding("other format", text, advice)
        for (name, reason), seen in self.unusable.items():
            text = f"{count_of(seen.count, 'row')} of the format {name} that give no record: {reason}"
            yield from seen.finding("unusable row", text, "Repair them; python -m llm convert leaves them out.")


def format_of(row: dict) -> Format | None:
    """None where several fit, or none."""
    fitting = [form for form in FORMATS.values() if form.name != OWN and form.fits(row)]
    return fitting[0] if len(fitting) == 1 else None


def _faults(form: Format, row: dict, place: str) -> Iterator[tuple[str, str]]:
    """Why converting the row gives no record; (reason, the place with the value)."""
    if form.grouped_by:  # a row by itself is no record
        return
    try:
        for _ in form.convert(row, Options()):
            pass
    except Unfit as unfit:
        value, reason, detail, remedy = unfit.args
        yield reason, str(Problem(place, excerpt(value), reason, detail, remedy))
    except Unusable as unusable:
        reason, value = unusable.args
        yield reason, f"{place}: {excerpt(value)}"
