"""Matrix products by oneDNN, of inputs in bfloat16 with sums and results in float32.

PaddlePaddle's package has oneDNN's library, but of its headers only those that include others. So its C interface is
called as it is, with the few numbers of it that are needed here.
"""

from __future__ import annotations

import contextlib
import ctypes
import weakref
from collections.abc import Iterator
from ctypes import byref, c_int, c_int64, c_size_t, c_void_p
from functools import lru_cache
from pathlib import Path

import paddle

from llm.core.cpu.environment import threads

LIBRARY, OPENMP = (Path(paddle.__file__).resolve().parent / "libs" / name for name in ("libdnnl.so.3", "libiomp5.so"))
KINDS = {paddle.bfloat16: 2, paddle.float32: 3}  # of oneDNN's dnnl_data_type_t
CPU, IN_ORDER, ANY_LAYOUT, LAYOUT_OF_WEIGHTS = 1, 1, 1, 131
ALLOCATE = c_void_p(-1)
SOURCE, TARGET, WEIGHTS = 1, 17, 33  # names of a primitive's arguments
MOST_DIMENSIONS = 12
STATUS = {1: "out of memory", 2: "invalid arguments", 3: "unimplemented"}
SHAPES_KEPT = 1024  # their compiled products; as many as oneDNN itself keeps


class Refused(Exception):
    """Why oneDNN does not make a product here."""


class Handle(c_void_p):
    """Something of oneDNN's, which is destroyed with this object."""


class Argument(ctypes.Structure):
    _fields_ = [("name", c_int), ("memory", c_void_p)]


def why_not() -> str:
    """Why there are no products in bfloat16 on this machine; empty where there are."""
    try:
        product(16, 16, 16, paddle.bfloat16)
    except Refused as error:
        return str(error)
    return ""


class Product:
    """[rows, depth] @ [depth, columns]. With `is_left_turned` the left side is in memory as [depth, rows]; with
    `is_right_packed` the right side is what `pack` made."""

    def __init__(self, rows: int, depth: int, columns: int, dtype, is_left_turned: bool, is_right_packed: bool):
        self.size = depth, columns
        self.kind = KINDS[dtype]
        left = _layout((rows, depth), self.kind, (1, rows) if is_left_turned else (depth, 1))
        right = _layout(self.size, self.kind, None if is_right_packed else (columns, 1))
        out = _layout((rows, columns), KINDS[paddle.float32], (columns, 1))
        with all_threads():
            create = "dnnl_matmul_primitive_desc_create", "dnnl_primitive_desc_destroy"
            self.description = _made(*create, _engine(), left, right, None, out, None)
            self.primitive = _made("dnnl_primitive_create", "dnnl_primitive_destroy", self.description)
        self.right_layout = c_void_p(_library().dnnl_primitive_desc_query_md(self.description, LAYOUT_OF_WEIGHTS, 0))
        self.left, self.right, self.out = (_memory(layout) for layout in (left, self.right_layout, out))

    def __call__(self, left, right: paddle.Tensor | Packed, out) -> None:
        for memory, tensor in ((self.left, left), (self.right, right), (self.out, out)):
            if not isinstance(tensor, Packed):
                _point(memory, tensor)
        weights = right.memory if isinstance(right, Packed) else self.right
        _execute(self.primitive, {SOURCE: self.left, WEIGHTS: weights, TARGET: self.out})

    def pack(self, right, is_turned: bool) -> Packed:
        """The right side in the layout that this product reads fastest; `is_turned`: in memory as [columns, depth]."""
        depth, columns = self.size
        plain = _layout(self.size, self.kind, (1, depth) if is_turned else (columns, 1))
        source, packed = _memory(plain), _memory(self.right_layout, ALLOCATE)
        _point(source, right)
        with all_threads():
            create = "dnnl_reorder_primitive_desc_create", "dnnl_primitive_desc_destroy"
            description = _made(*create, plain, _engine(), self.right_layout, _engine(), None)
            reorder = _made("dnnl_primitive_create", "dnnl_primitive_destroy", description)
        _execute(reorder, {SOURCE: source, TARGET: packed})
        return Packed(packed, self)

    def reads(self, packed: Packed) -> bool:
        """Whether it was packed in the layout of this product: another number of rows may have another one."""
        return bool(_library().dnnl_memory_desc_equal(packed.product.right_layout, self.right_layout))


class Packed:
    """A matrix in a layout of oneDNN's own, and the product that chose it."""

    def __init__(self, memory: Handle, product: Product):
        self.memory = memory
        self.product = product


@lru_cache(SHAPES_KEPT)
def product(rows: int, depth: int, columns: int, dtype, is_left_turned=False, is_right_packed=False) -> Product:
    return Product(rows, depth, columns, dtype, is_left_turned, is_right_packed)


@contextlib.contextmanager
def all_threads() -> Iterator[None]:
    """oneDNN has as many threads as OpenMP, which Paddle leaves with one."""
    openmp = _openmp()
    before = openmp.omp_get_max_threads()
    openmp.omp_set_num_threads(threads())
    try:
        yield
    finally:
        openmp.omp_set_num_threads(before)


@lru_cache
def _openmp() -> ctypes.CDLL:
    return ctypes.CDLL(str(OPENMP))


@lru_cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(LIBRARY))
        _openmp()
    except OSError as error:
        raise Refused(f"this PaddlePaddle comes without oneDNN ({error})") from error
    library.dnnl_primitive_desc_query_md.restype = c_void_p
    return library


@lru_cache
def _engine() -> Handle:
    return _made("dnnl_engine_create", "dnnl_engine_destroy", CPU, c_size_t(0))


@lru_cache
def _stream() -> Handle:
    return _made("dnnl_stream_create", "dnnl_stream_destroy", _engine(), IN_ORDER)


def _layout(shape: tuple[int, int], kind: int, strides: tuple[int, int] | None) -> Handle:
    """Of a matrix; `strides` None: oneDNN may choose."""
    dimensions, destroy = c_int64 * MOST_DIMENSIONS, "dnnl_memory_desc_destroy"
    if strides is None:
        return _made("dnnl_memory_desc_create_with_tag", destroy, 2, dimensions(*shape), kind, ANY_LAYOUT)
    create = "dnnl_memory_desc_create_with_strides"
    return _made(create, destroy, 2, dimensions(*shape), kind, dimensions(*strides))


def _memory(layout, place: c_void_p | None = None) -> Handle:
    return _made("dnnl_memory_create", "dnnl_memory_destroy", layout, _engine(), place)


def _point(memory: Handle, tensor) -> None:
    assert tensor.is_contiguous()
    _do("dnnl_memory_set_data_handle", memory, c_void_p(tensor.data_ptr()))


def _execute(primitive: Handle, memories: dict[int, Handle]) -> None:
    arguments = (Argument * len(memories))(*((name, memory.value) for name, memory in memories.items()))
    with all_threads():
        _do("dnnl_primitive_execute", primitive, _stream(), len(memories), arguments)
        _do("dnnl_stream_wait", _stream())


def _made(create: str, destroy: str, *arguments) -> Handle:
    handle = Handle()
    _do(create, byref(handle), *arguments)
    end = weakref.finalize(handle, getattr(_library(), destroy), c_void_p(handle.value))
    end.atexit = False  # the process gives everything back
    return handle


def _do(function: str, *arguments) -> None:
    if status := getattr(_library(), function)(*arguments):
        raise Refused(f"oneDNN's {function}: {STATUS.get(status, f'status {status}')}")
