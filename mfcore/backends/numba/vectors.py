"""Vectors of numbers for numba, and reading and writing memory by address: what generated kernels are made of.

Loops over channels would be at the mercy of LLVM's vectoriser, which gives up on kernels of this size; with a type for
a vector register, the code is what is written. Addresses are int64, places count in numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

SCALARS: dict[str, Any] = {"float32": types.float32, "float64": types.float64}
_FLAGS = ("contract", "nsz")  # as the C++ kernels: a·b + c may be rounded once; NaN and infinities keep their meaning


class Vector(types.Type):
    """Numba's type of a vector register."""

    def __init__(self, scalar: Any, lanes: int) -> None:
        self.scalar, self.lanes = scalar, lanes
        super().__init__(name=f"Vector({scalar}, {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(manager[vector.scalar].get_value_type(), vector.lanes))


@infer_global(operator.add)
class _AddVectors(AbstractTemplate):
    def generic(self, args: tuple[Any, ...], kws: Any) -> Any:
        a, b = args
        return signature(a, a, a) if isinstance(a, Vector) and a == b else None


@infer_global(operator.mul)
class _MultiplyVectors(AbstractTemplate):
    def generic(self, args: tuple[Any, ...], kws: Any) -> Any:
        a, b = args
        if isinstance(b, Vector) and a in (b, b.scalar):
            return signature(b, a, b)
        return None


@lower_builtin(operator.add, Vector, Vector)
def _add(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.fadd(*args, flags=_FLAGS)


@lower_builtin(operator.mul, Vector, Vector)
def _multiply(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.fmul(*args, flags=_FLAGS)


@lower_builtin(operator.mul, types.Float, Vector)
def _scale(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    scalar, vector = args
    return builder.fmul(_splat(builder, scalar, vector.type), vector, flags=_FLAGS)


def _splat(builder: Any, scalar: Any, vector: Any) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(
        one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    )


def _pointer(builder: Any, address: Any, place: Any, kind: Any, size: int) -> Any:
    offset = builder.mul(place, ir.IntType(64)(size))
    return builder.inttoptr(builder.add(address, offset), kind.as_pointer())


def _reader(result: Any, stored: Any, size: int, align: int) -> Any:
    """A function (address, place) that reads an LLVM type and gives a numba type."""

    def read(typing_context: Any, address: Any, place: Any) -> Any:
        def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            value = builder.load(_pointer(builder, args[0], args[1], stored, size), align=align)
            return builder.sext(value, ir.IntType(64)) if result == types.int64 and stored.width == 32 else value

        return result(types.int64, types.int64), code

    return intrinsic(read)


def _writer(kind: Any, size: int, more: bool) -> Any:
    """A function (address, place, value) that writes, or adds to what is there."""

    def write(typing_context: Any, address: Any, place: Any, value: Any) -> Any:
        def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            pointer = _pointer(builder, args[0], args[1], args[2].type, size)
            value = args[2]
            if more:
                value = builder.fadd(builder.load(pointer, align=size), value, flags=_FLAGS)
            builder.store(value, pointer, align=size)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, kind), code

    return intrinsic(write)


def _zero(kind: Vector) -> Any:
    def zero(typing_context: Any) -> Any:
        return kind(), lambda context, builder, sig, args: ir.Constant(context.get_value_type(kind), None)

    return intrinsic(zero)


def _room(scalar: Any) -> Any:
    """A function (n) that gives the address of n numbers on the stack, n a constant."""

    def room(typing_context: Any, n: Any) -> Any:
        def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            kind = ir.ArrayType(context.get_value_type(scalar), n.literal_value)
            place = cgutils.alloca_once(builder, kind)
            place.align = 64
            return builder.ptrtoint(place, ir.IntType(64))

        return types.int64(n), code

    return intrinsic(prefer_literal=True)(room)


def _fold(kind: Vector, half: int) -> Any:
    """Halves of a beside halves of b: in each block of 2·half lanes, `half` sums of a and then `half` sums of b."""
    lanes = range(kind.lanes)
    first = [k if k % (2 * half) < half else kind.lanes + k - half for k in lanes]
    second = [k + half if k % (2 * half) < half else kind.lanes + k for k in lanes]

    def fold(typing_context: Any, a: Any, b: Any) -> Any:
        def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            mask = ir.VectorType(ir.IntType(32), kind.lanes)
            parts = [builder.shuffle_vector(*args, ir.Constant(mask, chosen)) for chosen in (first, second)]
            return builder.fadd(*parts, flags=_FLAGS)

        return kind(kind, kind), code

    return intrinsic(fold)


@cache
def functions(scalar: str, lanes: int) -> SimpleNamespace:
    """Functions that generated source calls, for `scalar` "float32" or "float64" in vectors of so many lanes.

    Attributes are `ld`, `at`, `index_at`, `knot_at` (address, place), `add`, `st` (address, place, vector), `put`
    (address, place, number), `zero` (), `room` (n), and `folds`: by half the size of the blocks.
    """
    number = SCALARS[scalar]
    size = number.bitwidth // 8
    stored: Callable[..., Any] = ir.FloatType if scalar == "float32" else ir.DoubleType
    vector = Vector(number, lanes)
    halves = [2**k for k in range(lanes.bit_length() - 1)]
    return SimpleNamespace(
        ld=_reader(vector, ir.VectorType(stored(), lanes), size, size),
        at=_reader(number, stored(), size, size),
        index_at=_reader(types.int64, ir.IntType(64), 8, 8),
        knot_at=_reader(types.int64, ir.IntType(32), 4, 4),
        add=_writer(vector, size, more=True),
        st=_writer(vector, size, more=False),
        put=_writer(number, size, more=False),
        put_knot=_knot_writer(),
        zero=_zero(vector),
        room=_room(number),
        folds={half: _fold(vector, half) for half in halves},
    )


def _knot_writer() -> Any:
    def write(typing_context: Any, address: Any, place: Any, value: Any) -> Any:
        def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            narrow = builder.trunc(args[2], ir.IntType(32))
            builder.store(narrow, _pointer(builder, args[0], args[1], ir.IntType(32), 4), align=4)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), code

    return intrinsic(write)
