"""Triton source of the convolution kernels of one set of paths.

What is computed is the program of the CPU's kernels, :mod:`~mfbench.mfcore.backends.ir`; only the loops differ. A
CPU's thread walks over receivers and adds to whatever an edge touches. Here no two programs (one warp each) write to
the same place, so that nothing is atomic and results repeat: a pass is several kernels, one for each thing that it
writes, and an edge is computed once in each.

=====================  ==============================================  =======================================
kernel                 one program for                                 writes
=====================  ==============================================  =======================================
forward, cotangents    a receiver × a block of channels                the output; ∂D/∂g
features, ..._twice    a sender × a block of channels                  ∂S/∂x; ∂D/∂x
geometry               an edge                                         ∂S/∂Y, ∂S/∂c
table, ..._twice       some edges of one spline interval × a block     its part of ∂S/∂t; of ∂D/∂t
reduction              a row of the table × a block of weights         the sum of these parts
=====================  ==============================================  =======================================

A block is of the channels of one input irrep. Lanes beyond its last channel read zeros and write nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mfbench.mfcore.backends.ir import OF_INPUT, OF_OUTPUT, Program
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions

#: Most channels of a block. In float32, two for each thread of a warp share what they need of the edge; in float64 the
#: registers would not do for two. No kernel spills registers up to lmax 2 (lmax 3 with blocks of 32).
BLOCKS = {"float32": 64, "float64": 32}

#: Pointers of each kernel. Groups in OF_INPUT and OF_OUTPUT stand for one pointer per irrep.
POINTERS: dict[str, tuple[str, ...]] = {
    "forward": ("row", "sender", "knots", "y", "c", "t", "x", "o"),
    "cotangents": ("row", "sender", "knots", "y", "c", "t", "x", "z", "b", "u", "o"),
    "features": ("row", "order", "receiver", "knots", "y", "c", "t", "g", "gx"),
    "features_twice": ("row", "order", "receiver", "knots", "y", "c", "t", "g", "b", "u", "gx"),
    "geometry": ("sender", "receiver", "knots", "y", "c", "t", "x", "g", "gy", "gc"),
    "table": ("first", "last", "order", "sender", "receiver", "y", "c", "x", "g", "parts"),
    "table_twice": ("first", "last", "order", "sender", "receiver", "y", "c", "x", "g", "z", "b", "u", "parts"),
    "reduction": ("start", "parts", "gt"),
}
#: Pointers to integers, with their type; all others are to real numbers.
INTEGERS = {"knots": "i32"} | dict.fromkeys(("row", "sender", "receiver", "order", "first", "last", "start"), "i64")

HEAD = """import triton
import triton.language as tl

"""
_REDUCTION = """
@triton.jit
def reduction(start, parts, gt, n_intervals: tl.constexpr):
    row = tl.program_id(0)
    s = tl.program_id(1) * 128 + tl.arange(0, 128)
    total = tl.zeros((128,), tl.@SCALAR@)
    for r in range(4):
        k = row - r
        inside = (k >= 0) & (k < n_intervals)
        k = tl.minimum(tl.maximum(k, 0), n_intervals - 1)
        begin = tl.load(start + k)
        end = tl.where(inside, tl.load(start + k + 1), begin)
        for part in range(begin, end):
            total += tl.load(parts + (part * 4 + r) * @WEIGHTS@ + s, mask=s < @WEIGHTS@, other=0.0)
    tl.store(gt + row * @WEIGHTS@ + s, total, mask=s < @WEIGHTS@)
"""


def _power_of_two(n: int) -> int:
    """The least power of two that is not below n."""
    return 1 << (n - 1).bit_length()


class TritonProgram(Program):
    """The kernels of one set of paths, as Triton source.

    Parameters
    ----------
    paths
        Which products to take.
    scalar
        "float32" or "float64".
    block
        Most channels of a block, a power of two; by default that of :data:`BLOCKS`.
    """

    def __init__(self, paths: TensorProductInstructions, scalar: str, block: int | None = None) -> None:
        super().__init__(paths)
        self.scalar, self._most = scalar, block or BLOCKS[scalar]

    def pointers(self, kernel: str) -> list[str]:
        """Names of a kernel's pointers, in order."""
        names: list[str] = []
        for group in POINTERS[kernel]:
            count = len(self.widths) if group in OF_INPUT else len(self.out_widths) if group in OF_OUTPUT else None
            names.extend([group] if count is None else [f"{group}{k}" for k in range(count)])
        return names

    def blocks(self, kernel: str) -> list[tuple[int, int, int]]:
        """(input irrep, channels of a block, number of blocks) of a kernel that is divided into blocks."""
        everything = kernel in ("features", "features_twice")  # zeros too have to be written
        return [
            (k, size, -(-channels // size))
            for k, (_, _, channels) in enumerate(self.paths.input)
            if everything or self.paths.paths_from(k)
            for size in (self._size(k),)
        ]

    def source(self) -> str:
        """Source of a module with all kernels."""
        lines = [HEAD]
        for kernel, body in (
            ("forward", lambda k: self._of_receiver(k, twice=False)),
            ("cotangents", lambda k: self._of_receiver(k, twice=True)),
            ("features", lambda k: self._of_sender(k, twice=False)),
            ("features_twice", lambda k: self._of_sender(k, twice=True)),
            ("table", lambda k: self._of_interval(k, twice=False)),
            ("table_twice", lambda k: self._of_interval(k, twice=True)),
        ):
            lines += self._in_blocks(kernel, body)
        lines += ["", "@triton.jit", f"def geometry({', '.join(self.pointers('geometry'))}):", *self._geometry()]
        reduction = _REDUCTION.replace("@SCALAR@", self.scalar).replace("@WEIGHTS@", str(self.paths.n_weights))
        return "\n".join(lines) + "\n" + reduction

    def _in_blocks(self, kernel: str, body: Callable[[int], Iterator[str]]) -> Iterator[str]:
        """A function for each input irrep, and the kernel that calls the one that its program is for."""
        arguments = ", ".join(self.pointers(kernel))
        first = 0
        calls: list[str] = []
        for k, size, number in self.blocks(kernel):
            yield "\n@triton.jit"
            yield f"def {kernel}_{k}(i, block, {arguments}):"
            yield f"    s = block * {size} + tl.arange(0, {size})"
            yield f"    inside = s < {self.paths.input[k][2]}"
            yield from (f"    {line}" for line in body(k))
            calls.append(f"{'el' if calls else ''}if block < {first + number}:")
            calls.append(f"    {kernel}_{k}(i, block - {first}, {arguments})")
            first += number
        yield "\n@triton.jit"
        yield f"def {kernel}({arguments}):"
        yield "    i = tl.program_id(0).to(tl.int64)"
        yield "    block = tl.program_id(1)"
        yield from (f"    {line}" for line in calls)

    def _size(self, k: int) -> int:
        return min(_power_of_two(self.paths.input[k][2]), self._most)

    def _zeros(self, size: int) -> str:
        return f"tl.zeros(({size},), tl.{self.scalar})"

    @staticmethod
    def _read(name: str, pointer: str, place: str) -> str:
        """A vector of channels."""
        return f"{name} = tl.load({pointer} + {place}, mask=inside, other=0.0)"

    @staticmethod
    def _numbers(letter: str, pointer: str, start: str, n: int) -> Iterator[str]:
        """Real numbers of the edge, the same in all lanes."""
        for k in range(n):
            yield f"{letter}{k} = tl.load({pointer} + {start} + {k})"

    def _coefficients(self, k: int, letter: str, harmonics: str) -> Iterator[str]:
        """Numbers of one edge, M or B, that the paths from irrep k need."""
        used = sorted({n for q in self.paths.paths_from(k) for row in self._terms[q] for n, _ in row})
        for n in used:
            yield f"{letter}{n} = " + " + ".join(f"{c!r} * {harmonics}{j}" for j, c in self._harmonics[n])

    def _of_edge(self, k: int, twice: bool) -> Iterator[str]:
        """The numbers that a kernel needs of edge `e` for the paths from irrep k."""
        n = self.paths.n_harmonics
        yield from self._numbers("y", "y", f"e * {n}", n)
        yield from self._coefficients(k, "M", "y")
        yield from self._numbers("c", "c", "e * 4", 4)
        if twice:
            yield from self._numbers("b", "b", f"e * {n}", n)
            yield from self._coefficients(k, "B", "b")
            yield from self._numbers("u", "u", "e * 4", 4)

    def _features(self, k: int, letter: str, group: str) -> Iterator[str]:
        degree, _, channels = self.paths.input[k]
        for m in range(2 * degree + 1):
            yield self._read(f"{letter}{m}", f"{group}{k}", f"j * {self.widths[k]} + {m * channels} + s")

    def _weight(self, q: int, **of: str) -> Iterator[str]:
        """Radial weights of path q for spline weights of the given letters, and its rows t0 … t3 of the table."""
        offset, n = self.paths.weight_offsets[q], self.paths.n_weights
        for r in range(4):
            yield self._read(f"t{r}", "t", f"knot * {n} + {r * n + offset} + s")
        for name, letter in of.items():
            yield f"{name} = " + " + ".join(f"{letter}{r} * t{r}" for r in range(4))

    def _cotangent(self, q: int, m: int, atom: str) -> str:
        k, place = self._place(q, m)
        return self._read("G", f"g{k}", f"{atom} * {self.out_widths[k]} + {place}")

    def _of_receiver(self, k: int, twice: bool) -> Iterator[str]:
        """Sum over the edges into atom i: Σ W M x, or Σ W (M z + B x) + U M x."""
        places = [(q, m) for q in self.paths.paths_from(k) for m in range(len(self._terms[q]))]
        for q, m in places:
            yield f"A{q}_{m} = {self._zeros(self._size(k))}"
        yield "for e in range(tl.load(row + i), tl.load(row + i + 1)):"
        body = ["j = tl.load(sender + e)", "knot = tl.load(knots + e)", *self._of_edge(k, twice)]
        body += self._features(k, "X", "x")
        if twice:
            body += self._features(k, "Z", "z")
        for q in self.paths.paths_from(k):
            body += self._weight(q, W="c", **({"U": "u"} if twice else {}))
            for m in range(len(self._terms[q])):
                value = f"W * ({self._product(q, m, ('M', 'X'))})"
                if twice:
                    turned = self._product(q, m, ("M", "Z"), ("B", "X"))
                    value = f"W * ({turned}) + U * ({self._product(q, m, ('M', 'X'))})"
                body.append(f"A{q}_{m} += {value}")
        yield from (f"    {line}" for line in body)
        for q, m in places:
            out, place = self._place(q, m)
            yield f"tl.store(o{out} + i * {self.out_widths[out]} + {place}, A{q}_{m}, mask=inside)"

    def _of_sender(self, k: int, twice: bool) -> Iterator[str]:
        """Sum over the edges that leave atom i: Σ M W g, or Σ (M U + B W) g."""
        degree, _, channels = self.paths.input[k]
        for m in range(2 * degree + 1):
            yield f"H{m} = {self._zeros(self._size(k))}"
        if self.paths.paths_from(k):
            yield "for p in range(tl.load(row + i), tl.load(row + i + 1)):"
            body = ["e = tl.load(order + p)", "to = tl.load(receiver + e)", "knot = tl.load(knots + e)"]
            body += self._of_edge(k, twice)
            for q in self.paths.paths_from(k):
                body += self._weight(q, W="c", **({"U": "u"} if twice else {}))
                for m, row in enumerate(self._terms[q]):
                    body += [self._cotangent(q, m, "to"), "WG = W * G"]
                    if twice:
                        body.append("UG = U * G")
                    body += [f"H{m1} += M{n} * UG + B{n} * WG" if twice else f"H{m1} += M{n} * WG" for n, m1 in row]
            yield from (f"    {line}" for line in body)
        for m in range(2 * degree + 1):
            yield f"tl.store(gx{k} + i * {self.widths[k]} + {m * channels} + s, H{m}, mask=inside)"

    def _of_interval(self, k: int, twice: bool) -> Iterator[str]:
        """Sums of c (g M x), or of c g (M z + B x) + u (g M x), over edges of one interval: four rows of the table."""
        paths = self.paths.paths_from(k)
        for q in paths:
            for r in range(4):
                yield f"P{q}_{r} = {self._zeros(self._size(k))}"
        yield "for p in range(tl.load(first + i), tl.load(last + i)):"
        body = ["e = tl.load(order + p)", "j = tl.load(sender + e)", "to = tl.load(receiver + e)"]
        body += [*self._of_edge(k, twice), *self._features(k, "X", "x")]
        if twice:
            body += self._features(k, "Z", "z")
        for q in paths:
            for m in range(len(self._terms[q])):
                sign = "+=" if m else "="
                body.append(self._cotangent(q, m, "to"))
                plain = self._product(q, m, ("M", "X"))
                body.append(f"{'du' if twice else 'dw'} {sign} G * ({plain})")
                if twice:
                    body.append(f"dw {sign} G * ({self._product(q, m, ('M', 'Z'), ('B', 'X'))})")
            body += [f"P{q}_{r} += c{r} * dw" + (f" + u{r} * du" if twice else "") for r in range(4)]
        yield from (f"    {line}" for line in body)
        n = self.paths.n_weights
        for q in paths:
            for r in range(4):
                place = f"(i * 4 + {r}) * {n} + {self.paths.weight_offsets[q]} + s"
                yield f"tl.store(parts + {place}, P{q}_{r}, mask=inside)"

    def _geometry(self) -> Iterator[str]:
        """Σ over channels and paths of g w x CG, for each harmonic, and of g (M x) t, for each spline weight."""
        n = self.paths.n_harmonics
        size = max(self._size(k) for k in range(len(self.widths)) if self.paths.paths_from(k))
        lines = ["e = tl.program_id(0).to(tl.int64)", "j = tl.load(sender + e)", "to = tl.load(receiver + e)"]
        lines += ["knot = tl.load(knots + e)", *self._numbers("y", "y", f"e * {n}", n)]
        lines += self._numbers("c", "c", "e * 4", 4)
        lines += [f"Y{k} = {self._zeros(size)}" for k in range(n + 4)]
        for k, (_, _, channels) in enumerate(self.paths.input):
            if not self.paths.paths_from(k):
                continue
            lines += [*self._coefficients(k, "M", "y"), f"for first in range(0, {channels}, {size}):"]
            lines += [f"    {line}" for line in self._geometry_of(k, size)]
        lines += [f"tl.store(gy + e * {n} + {k}, tl.sum(Y{k}, 0))" for k in range(n)]
        lines += [f"tl.store(gc + e * 4 + {r}, tl.sum(Y{n + r}, 0))" for r in range(4)]
        return (f"    {line}" for line in lines)

    def _geometry_of(self, k: int, size: int) -> Sequence[str]:
        lines = [f"s = first + tl.arange(0, {size})", f"inside = s < {self.paths.input[k][2]}"]
        lines += self._features(k, "X", "x")
        for q in self.paths.paths_from(k):
            lines += self._weight(q, W="c")
            for m, row in enumerate(self._terms[q]):
                lines += [self._cotangent(q, m, "to"), "WG = W * G"]
                lines.append(f"dw {'+=' if m else '='} G * ({self._product(q, m, ('M', 'X'))})")
                for n, m1 in row:
                    lines.append(f"h = WG * X{m1}")
                    lines += [f"Y{j} += {c!r} * h" for j, c in self._harmonics[n]]
            lines += [f"Y{self.paths.n_harmonics + r} += dw * t{r}" for r in range(4)]
        return lines
