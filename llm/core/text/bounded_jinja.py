"""Jinja for templates of others: every one ends, with a text or an error, after a bounded amount of work.

A template may loop, recurse and multiply texts. So each step is paid for out of a budget: an iteration, a call, and
every value that is made or written by its size, what it contains included. What cannot be paid for is refused before
it is done. Nothing depends on time, threads or signals: a template is refused everywhere, or nowhere. A filter, test
or method that is not supported is refused where it is used, not where it is only written.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

LONGEST_TEMPLATE = 200_000  # characters; published ones have up to 30,000
BUDGET = 20_000_000
PER_CHARACTER = 1000  # of the dialogue, more
STEP = 20  # what a step costs by itself
VALUE = 20  # what a value weighs besides its characters
LARGEST_NUMBER = 1 << 64
# Those whose result no small argument can make large, and none of which is random or needs much time.
FILTERS = (
    "abs attr capitalize count d default dictsort e escape first float format groupby indent int items join last "
    "length list lower map max min reject rejectattr replace reverse safe select selectattr sort string title trim "
    "truncate unique upper wordcount"
).split()
METHODS = (
    "capitalize casefold count endswith find format get index isalnum isalpha isascii isdecimal isdigit islower "
    "isnumeric isspace istitle isupper items join keys lower lstrip partition removeprefix removesuffix replace rfind "
    "rindex rpartition rsplit rstrip split splitlines startswith strip swapcase title upper values"
).split()
SLOW_METHODS = ("strip", "lstrip", "rstrip", "rfind", "rindex", "rpartition", "rsplit")  # each character with each
PLAIN_PERCENT = re.compile(r"%(?:\(\w+\))?[sd]|%%")  # no widths, which make a text of any length
UNSUPPORTED = "unsupported"  # the filter and test that others are replaced with
GLOBALS = ("range", "dict", "namespace", "cycler", "joiner")


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self, **options: Any) -> None:
        super().__init__(optimized=False, cache_size=0, **options)
        self.left = BUDGET
        self.pay = self._pay
        self.filters = {name: self._paid(self.filters[name]) for name in FILTERS}
        self.tests = {name: self._paid(test) for name, test in self.tests.items()}
        self.filters[UNSUPPORTED] = self.tests[UNSUPPORTED] = _unsupported
        self.globals = {name: self.globals[name] for name in GLOBALS}

    def start(self, given: object) -> None:
        """Before each rendering."""
        self.left = BUDGET + PER_CHARACTER * self._size_of(given, BUDGET)

    def _pay(self, value: Any = None) -> Any:
        self._spend(STEP + self._size_of(value, self.left))
        return value

    def _spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise SecurityError("it does too much: it loops, recurses or writes without end")

    def _size_of(self, value: Any, most: int) -> int:
        """What a value weighs with all that it contains, as often as it contains it; more than `most` if that is
        reached."""
        size, todo = 0, [value]
        while todo and size <= most:
            value = todo.pop()
            size += VALUE
            if isinstance(value, str | bytes):
                size += len(value)
            elif isinstance(value, int):
                size += value.bit_length() // 8
            elif isinstance(value, Mapping):
                todo += [*value.keys(), *value.values()]
            elif isinstance(value, list | tuple | set | frozenset):
                todo += value
            elif isinstance(value, Namespace):
                todo += [object.__getattribute__(value, "_Namespace__attrs")]
        return size

    def _paid(self, function: Any) -> Callable:
        """A filter or test: its arguments are paid for by their length, its result with all that it contains."""

        @functools.wraps(function)
        def paid(*args: Any, **options: Any) -> Any:
            for value in (*args, *options.values()):
                self._spend(STEP + (len(value) if isinstance(value, str | list | dict) else 0))
            if function.__name__ == "do_replace":
                _, value, old, new, *_ = (*args, *options.values())
                return self._replaced(str(value), str(old), str(new))
            if function.__name__ in ("sync_do_join", "do_join"):
                return self._joined(*args[1:], **options)
            if function.__name__ == "do_format":
                return self._percent(str(args[0]), options or args[1:])
            if function.__name__ == "do_trim":
                self._slow(str(args[0]), (*args[1:], *options.values()))
            if function.__name__ == "do_indent":
                return self._indented(*args, **options)
            result = function(*args, **options)
            return [self.pay(item) for item in result] if isinstance(result, Iterator) else self.pay(result)

        return paid

    def _replaced(self, text: str, old: str, new: str, count: int = -1) -> str:
        self._spend(STEP + len(text) + text.count(old) * len(new))
        return text.replace(old, new, count)

    def _joined(self, value: Any, d: Any = "", attribute: str | None = None) -> str:
        texts = [str(self.pay(item if attribute is None else self.getitem(item, attribute))) for item in value]
        self._spend(STEP + len(texts) * len(str(d)) + sum(map(len, texts)))
        return str(d).join(texts)

    def _slow(self, text: str, arguments: tuple[Any, ...]) -> None:
        self._spend(len(text) * sum(len(value) for value in arguments if isinstance(value, str)) // 100)

    def _indented(self, s: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        text, margin = str(s), width if isinstance(width, str) else " " * min(int(width), 1000)
        self._spend(STEP + len(text) + (text.count("\n") + 1) * len(margin))
        return self._pay(jinja2.filters.do_indent(text, margin, first, blank))

    def _percent(self, text: str, values: Any) -> str:
        if "%" in PLAIN_PERCENT.sub("", text):
            raise SecurityError("of formats only %s, %d and %% are supported")
        self._spend(STEP + len(text) + text.count("%") * self._size_of(values, self.left))
        return self._pay(text % values)

    def _check_format(self, text: str, values: tuple[Any, ...]) -> None:
        fields = [field for field in string.Formatter().parse(text) if field[1] is not None]
        if any(spec or conversion or not (name or "0").isalnum() for _, name, spec, conversion in fields):
            raise SecurityError("of formats only {}, {0} and {name} are supported")
        self._spend(STEP + len(text) + len(fields) * self._size_of(values, self.left))

    def call(self, context: Any, function: Any, /, *args: Any, **options: Any) -> Any:
        if function is self.pay:
            return self._pay(*args)
        bound = getattr(function, "__wrapped__", function)  # the sandbox wraps str.format
        owner, name = getattr(bound, "__self__", None), getattr(bound, "__name__", "")
        if isinstance(owner, str | bytes | int | float | list | tuple | dict):
            if name not in METHODS:
                raise SecurityError(f"the method {name} is not supported")
            self._spend(STEP + (len(owner) if isinstance(owner, str) else 0))
            if name == "replace" and isinstance(owner, str):
                return self._replaced(owner, *args, **options)
            if name == "join" and isinstance(owner, str):
                return self._joined(args[0], owner)
            if name == "format" and isinstance(owner, str):
                self._check_format(owner, (*args, *options.values()))
            if name in SLOW_METHODS and isinstance(owner, str):
                self._slow(owner, (*args, *options.values()))
        for value in (*args, *options.values()):
            self._spend(STEP + self._size_of(value, self.left))
        return self._pay(super().call(context, function, *args, **options))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            return self._percent(left, right)
        are_numbers = all(isinstance(value, int | float) and abs(value) < LARGEST_NUMBER for value in (left, right))
        times, value = (left, right) if isinstance(left, int) else (right, left)
        if operator == "*" and isinstance(times, int) and isinstance(value, str | list | tuple):
            self._spend(STEP + self._size_of(value, self.left) * max(times, 0))
        elif not are_numbers and operator != "+" or operator == "**":
            raise SecurityError(f"{operator} is supported for numbers of a usual size only, and ** for none")
        return self._pay(super().call_binop(context, operator, self._pay(left), self._pay(right)))

    def _generate(self, source: nodes.Template, *args: Any, **options: Any) -> str:
        return super()._generate(_Payments(self).visit(source), *args, **options)

    def compile_bounded(self, source: str) -> jinja2.Template:
        if len(source) > LONGEST_TEMPLATE:
            raise jinja2.TemplateError(f"it has {len(source):,} characters, more than {LONGEST_TEMPLATE:,}")
        try:
            return self.from_string(source)
        except (RecursionError, SyntaxError, MemoryError) as error:
            raise jinja2.TemplateError(f"it is nested too deeply ({type(error).__name__})") from None


def _unsupported(value: Any, what: str) -> NoReturn:
    raise SecurityError(f"the {what} is not supported")


def _paid_for(node: nodes.Expr) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute("pay"), [node], [], None, None, lineno=node.lineno)


class _Payments(NodeTransformer):
    """Puts payments into a template where it can do something again or make something, and a refusal where it uses a
    filter or test that is not supported."""

    def __init__(self, environment: BoundedEnvironment) -> None:
        self.environment = environment

    def visit_Filter(self, node: nodes.Filter) -> nodes.Filter:
        return self._supported(node, "filter", self.environment.filters)

    def visit_Test(self, node: nodes.Test) -> nodes.Test:
        return self._supported(node, "test", self.environment.tests)

    def _supported(self, node: Any, kind: str, known: Mapping[str, Any]) -> Any:
        self.generic_visit(node)  # changes it in place
        if node.name not in known:
            name = nodes.Const(f"{kind} {node.name}", lineno=node.lineno)
            node.name, node.args, node.kwargs, node.dyn_args, node.dyn_kwargs = UNSUPPORTED, [name], [], None, None
        return node

    def visit_For(self, node: nodes.For) -> nodes.For:
        self.generic_visit(node)  # changes it in place
        step = nodes.Const(True, lineno=node.lineno)
        if node.test is not None:
            node.test = nodes.And(_paid_for(step), node.test, lineno=node.lineno)
        node.body.insert(0, nodes.ExprStmt(_paid_for(step), lineno=node.lineno))
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Output:
        self.generic_visit(node)  # changes it in place
        node.nodes = [
            _paid_for(nodes.Const(child.data, lineno=child.lineno) if isinstance(child, nodes.TemplateData) else child)
            for child in node.nodes
        ]
        return node

    def _made(self, node: nodes.Expr) -> nodes.Call:
        self.generic_visit(node)  # changes it in place
        return _paid_for(node)

    visit_Concat = visit_List = visit_Dict = _made

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        self.generic_visit(node)  # changes it in place
        node.expr = _paid_for(node.expr)
        for operand in node.ops:
            operand.expr = _paid_for(operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:
        self.generic_visit(node)  # changes it in place
        return _paid_for(node) if isinstance(node.arg, nodes.Slice) else node

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:
        self.generic_visit(node)  # changes it in place
        return _paid_for(node) if node.ctx == "load" else node
