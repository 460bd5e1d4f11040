"""Python source, for numba, of the convolution kernels of one set of paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mfbench.mfcore.backends.ir import (
    Add,
    Block,
    Channels,
    Clear,
    Copy,
    Given,
    Increase,
    Let,
    OverEdges,
    Program,
    Statement,
    Sums,
    Zero,
)
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions

HEAD = """from numba import cfunc, njit, types
import numpy as np

from mfbench.mfcore.backends.numba.vectors import functions

S = np.{scalar}
SIZE = {size}
_f = functions("{scalar}", {lanes})
ld, at, index_at, knot_at = _f.ld, _f.at, _f.index_at, _f.knot_at
add, st, put, put_knot, zero, room = _f.add, _f.st, _f.put, _f.put_knot, _f.zero, _f.room
{folds}
"""


def head(scalar: str, lanes: int) -> str:
    """The lines with which every generated module begins; it calls those of ``vectors``."""
    halves = [2**k for k in range(lanes.bit_length() - 1)]
    folds = "\n".join(f"fold{half} = _f.folds[{half}]" for half in halves)
    return HEAD.format(scalar=scalar, size=4 if scalar == "float32" else 8, lanes=lanes, folds=folds)


def _sums(statement: Sums, lanes: int, indent: str) -> Iterator[str]:
    """Fold groups of vectors into one that holds the sums of all; write those that are wanted."""
    targets = [(pointer, f"{place} + {k}") for pointer, place, n in statement.places for k in range(n)]
    for first in range(0, len(statement.names), lanes):
        group = list(statement.names[first : first + lanes])
        width = len(group)
        group += ["zero()"] * (lanes - width)
        half = lanes // 2
        while half:
            for k in range(half):
                yield f"{indent}s{half}_{k} = fold{half}({group[k]}, {group[k + half]})"
            group = [f"s{half}_{k}" for k in range(half)]
            half //= 2
        yield f"{indent}st(total, 0, {group[0]})"
        for k, (pointer, place) in enumerate(targets[first : first + width]):
            yield f"{indent}put({pointer}, {place}, at(total, {k}))"


def _print(statements: Sequence[Statement], lanes: int, indent: str) -> Iterator[str]:
    more = indent + "    "
    for statement in statements:
        match statement:
            case Let("source" | "target", name, value):
                base, place = value.split(" + ", 1)
                yield f"{indent}{name} = {base} + ({place}) * SIZE"
            case Let(_, name, value):
                yield f"{indent}{name} = {value}"
            case Zero(name):
                yield f"{indent}{name} = zero()"
            case Increase(name, value):
                yield f"{indent}{name} = {name} + {value}"
            case Add(pointer, place, value):
                yield f"{indent}add({pointer}, {place}, {value})"
            case Sums():
                yield from _sums(statement, lanes, indent)
            case Clear(size):
                yield f"{indent}for s in range(0, {size}, {lanes}):"
                yield f"{more}st(acc, s, zero())"
            case Copy(pointer, place, first, size):
                yield f"{indent}for s in range(0, {size}, {lanes}):"
                yield f"{more}st({pointer}, {place} + s, ld(acc, {first} + s))"
            case Block(body):
                yield from _print(body, lanes, indent)
            case Given(pointer, body):
                yield f"{indent}if {pointer} != 0:"
                yield from _print(body, lanes, more)
            case Channels(size, body):
                yield f"{indent}for s in range(0, {size}, {lanes}):"
                yield from _print(body, lanes, more)
            case OverEdges(body):
                yield f"{indent}for e in range(index_at(row, i), index_at(row, i + 1)):"
                yield f"{more}j, knot = index_at(sender, e), knot_at(knots, e)"
                yield from _print(body, lanes, more)


def convolution_source(paths: TensorProductInstructions, kernel: str, scalar: str, lanes: int) -> str:
    """Source of a module with one kernel, a C function (addresses, first receiver, last receiver).

    Parameters
    ----------
    paths
        Which products to take.
    kernel
        A key of :data:`~mfbench.mfcore.backends.ir.GROUPS`.
    scalar
        "float32" or "float64".
    lanes
        Numbers in a vector: a power of two that divides the channels of every input irrep.
    """
    program = Program(paths)
    lines = [head(scalar, lanes), "", "@cfunc(types.void(types.int64, types.int64, types.int64), cache=True)"]
    lines.append("def kernel(p, first, last):")
    lines += [f"    {name} = index_at(p, {k})" for k, name in enumerate(program.pointers(kernel))]
    lines += ["    low = 0", f"    acc, total = room({program.n_out}), room({lanes})"]
    lines.append("    for i in range(first, last):")
    lines += _print(program.body(kernel), lanes, "        ")
    return "\n".join(lines) + "\n"
