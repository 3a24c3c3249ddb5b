"""Trees of solutions -> rows of at most max_seq_len tokens -> batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from llm.core.rows.prefix_tree import Tree, split_tree
from llm.core.rows.row import Row, make_row

# Trees that greedy packing chooses among when the data is a stream: enough to fill rows, and bounded memory.
STREAM_WINDOW = 4096


def pack_alone(trees: Iterable[Tree], max_seq_len: int) -> Iterator[Row]:
    """One tree a row; a batch is padded to its longest row."""
    for tree in trees:
        yield make_row([tree])


def pack_sequential(trees: Iterable[Tree], max_seq_len: int) -> Iterator[Row]:
    """Fill rows in the order of the data; a tree that does not fit is split if that is worth it."""
    waiting: list[Tree] = []
    room = max_seq_len
    for tree in trees:
        while len(tree) > room:
            part, tree = split_tree(tree, room) or (None, tree)
            yield make_row([*waiting, part] if part else waiting)
            waiting, room = [], max_seq_len
        waiting.append(tree)
        room -= len(tree)
    if waiting:
        yield make_row(waiting)


def pack_greedy(trees: Iterable[Tree], max_seq_len: int, window: int | None = None) -> Iterator[Row]:
    """Longest first, each into the fullest row with room for it, among `window` trees at a time (None: all)."""
    trees = iter(trees)
    while some := list(islice(trees, window)):
        yield from _best_fit(some, max_seq_len)


def _best_fit(trees: list[Tree], max_seq_len: int) -> Iterator[Row]:
    """Best fit decreasing. Then the emptiest rows are dissolved as long as the gaps of the others can take them, with
    trees split to fit: large trees alone would leave a fifth of every row empty."""
    rows = OpenRows(max_seq_len)
    for tree in sorted(trees, key=len, reverse=True):
        rows.add(tree, rows.tightest(len(tree)))
    for row in sorted(rows.contents, key=rows.room_of.__getitem__, reverse=True):
        if rows.total_room < max_seq_len:  # the others' gaps are smaller than what this row holds
            break
        _dissolve(rows, row)
    for contents in rows.contents.values():
        yield make_row(contents)


def _dissolve(rows: OpenRows, row: int) -> None:
    kept = []
    for tree in rows.take_out(row):
        target = rows.tightest(len(tree))
        while target is None and (split := split_tree(tree, rows.largest_room())):
            part, tree = split
            rows.add(part, rows.tightest(rows.largest_room()))
            target = rows.tightest(len(tree))
        if target is None:
            kept.append(tree)
        else:
            rows.add(tree, target)
    home = None  # one row is enough for what fitted into one
    for tree in kept:
        home = rows.add(tree, home)


class OpenRows:
    """Rows by the room that they have left. `rooms` has bit r set where some row has room for r more tokens, so that
    the tightest row is one shift and one lowest bit away and time stays near-linear in the number of trees."""

    def __init__(self, max_seq_len: int):
        self.max_seq_len = max_seq_len
        self.contents: dict[int, list[Tree]] = {}
        self.room_of: dict[int, int] = {}
        self.total_room = 0
        self.rooms = 0
        self.with_room: list[dict[int, None]] = [{} for _ in range(max_seq_len + 1)]
        self.opened = 0

    def tightest(self, length: int) -> int | None:
        """The fullest row with room for so many tokens."""
        fitting = self.rooms >> length
        return next(reversed(self.with_room[length + _lowest_bit(fitting)])) if fitting else None

    def largest_room(self) -> int:
        return self.rooms.bit_length() - 1 if self.rooms else 0

    def add(self, tree: Tree, row: int | None) -> int:
        """Into a row, or into a new one."""
        if row is None:
            row, self.opened = self.opened, self.opened + 1
            self.contents[row] = []
            self._set_room(row, self.max_seq_len)
        self.contents[row].append(tree)
        self._set_room(row, self.room_of[row] - len(tree))
        return row

    def take_out(self, row: int) -> list[Tree]:
        self._set_room(row, None)
        return self.contents.pop(row)

    def _set_room(self, row: int, room: int | None) -> None:
        before = self.room_of.pop(row, None)
        if before is not None:
            self.total_room -= before
            del self.with_room[before][row]
            if not self.with_room[before]:
                self.rooms ^= 1 << before
        if room is not None:
            self.room_of[row] = room
            self.total_room += room
            self.with_room[room][row] = None
            self.rooms |= 1 << room


def _lowest_bit(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def choose_packing(zero_padding: bool, greedy_zero_padding: bool, stream: bool) -> Callable[..., Iterator[Row]]:
    """The packing that the documented settings ask for: a function of (trees, max_seq_len)."""
    if not zero_padding:
        return pack_alone
    if not greedy_zero_padding:
        return pack_sequential
    window = STREAM_WINDOW if stream else None
    return lambda trees, max_seq_len: pack_greedy(trees, max_seq_len, window)
