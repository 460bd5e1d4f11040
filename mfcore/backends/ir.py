"""The kernels of a convolution as statements that printers turn into C++ or Python source.

A kernel is a loop over receivers, their edges, and vectors of channels, and stores nothing per edge. With M = Σ CG · Y
(numbers of one edge), x the sender's features, w the radial weight from the table and g the cotangent of the output,
every kernel is a contraction of the one form Σ_edges g · w · M · x. The double backward has cotangents (z, b, u) of
the gradients to (x, Y, spline): it is the derivative of that form in their direction, with B = Σ CG · b, and U the
weight that u gives.

Expressions are text that both languages read alike: names, +, -, *, parentheses, ``S(number)`` for a real constant,
``at(pointer, index)`` for a number in memory and ``ld(pointer, index)`` for a vector. Names that a printer has to
define: the pointers of a kernel; ``i`` (receiver), ``e`` (edge), ``j`` (sender), ``knot`` and ``s`` (first channel of
a vector); ``low``, the atom that gradients of features begin with; ``acc``, room for the output of one receiver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions


class Let(NamedTuple):
    """A constant: a vector of channels, a real number, an index, or a pointer to real numbers to read or write."""

    kind: Literal["vector", "scalar", "index", "source", "target"]
    name: str
    value: str


class Zero(NamedTuple):
    """A new vector variable, zero."""

    name: str


class Increase(NamedTuple):
    """Add to a vector variable."""

    name: str
    value: str


class Add(NamedTuple):
    """Add a vector to memory."""

    pointer: str
    place: str
    value: str


class Sums(NamedTuple):
    """Sums over the lanes of each vector variable, to memory: so many of them for each (pointer, place)."""

    names: tuple[str, ...]
    places: tuple[tuple[str, str, int], ...]


class Clear(NamedTuple):
    """Set `size` numbers of the accumulator to zero."""

    size: int


class Copy(NamedTuple):
    """Write `size` numbers of the accumulator, from `first` on, to memory."""

    pointer: str
    place: str
    first: int
    size: int


class Block(NamedTuple):
    """Statements with names of their own."""

    body: list[Statement]


class Given(NamedTuple):
    """Statements that are left out if a pointer is null."""

    pointer: str
    body: list[Statement]


class Channels(NamedTuple):
    """A loop over the vectors of `size` channels; `s` is the first channel of each."""

    size: int
    body: list[Statement]


class OverEdges(NamedTuple):
    """A loop over the edges `e` into receiver `i`, with sender `j` and spline interval `knot`."""

    body: list[Statement]


Statement = Let | Zero | Increase | Add | Sums | Clear | Copy | Block | Given | Channels | OverEdges

#: Arguments of each kernel after edges, Y ("y"), spline ("c"), table ("t") and features ("x"). Those that every
#: receiver may add to come last.
GROUPS: dict[str, tuple[str, ...]] = {
    "forward": ("o",),
    "backward_geometry": ("g", "gy", "gc", "gx"),
    "backward_parameters": ("g", "gx", "gt"),
    "double_backward": ("g", "z", "b", "u", "o", "gx", "gt"),
}
#: Groups with a tensor for each input irrep and for each output irrep; the others are one tensor.
OF_INPUT, OF_OUTPUT = ("x", "z", "gx"), ("g", "o")


class Program:
    """The kernels of one set of paths."""

    def __init__(self, paths: TensorProductInstructions) -> None:
        self.paths = paths
        self.widths = [(2 * degree + 1) * c for degree, _, c in paths.input]
        self.out_widths = [(2 * degree + 1) * c for degree, _, c in paths.output_layout]
        #: size of the accumulator, and where each output irrep begins in it
        self.n_out = sum(self.out_widths)
        self._out_start = [sum(self.out_widths[:k]) for k in range(len(self.out_widths))]
        #: each number of M as a sum over harmonics
        self._harmonics: list[list[tuple[int, float]]] = []
        #: [path][row of the output]: the (index in M, input component) of its terms
        self._terms: list[list[list[tuple[int, int]]]] = []
        self._channel = [0] * len(paths.paths)  # of each path in its output irrep
        for k in range(len(paths.output_layout)):
            offset = 0
            for q in paths.paths_into(k):
                self._channel[q] = offset
                offset += paths.input[paths.paths[q].k_in][2]
        for q, path in enumerate(paths.paths):
            cg = paths.coefficients(q)
            rows = []
            for m3 in range(cg.shape[2]):
                row = []
                for m1 in range(cg.shape[0]):
                    entries = [(path.l2**2 + m2, float(cg[m1, m2, m3])) for m2 in range(cg.shape[1]) if cg[m1, m2, m3]]
                    if entries:
                        row.append((len(self._harmonics), m1))
                        self._harmonics.append(entries)
                rows.append(row)
            self._terms.append(rows)

    def pointers(self, kernel: str) -> list[str]:
        """Names of a kernel's pointers, in order: those of the edges and inputs first."""
        names = ["row", "sender", "knots", "y", "c", "t"]
        for group in ("x", *GROUPS[kernel]):
            count = len(self.widths) if group in OF_INPUT else len(self.out_widths) if group in OF_OUTPUT else None
            names.extend([group] if count is None else [f"{group}{k}" for k in range(count)])
        return names

    def body(self, kernel: str) -> list[Statement]:
        """Statements of a kernel for receiver `i`."""
        made: dict[str, Callable[[], list[Statement]]] = {
            "forward": self._forward,
            "backward_geometry": lambda: self._backward(geometry=True),
            "backward_parameters": lambda: self._backward(geometry=False),
            "double_backward": self._double_backward,
        }
        return made[kernel]()

    def _edge(self) -> list[Statement]:
        """The numbers of an edge that all kernels need: its harmonics, spline weights and rows of the table."""
        n, w = self.paths.n_harmonics, self.paths.n_weights
        made: list[Statement] = [Let("source", "ye", f"y + e * {n}"), Let("source", "te", f"t + knot * {w}")]
        made += [Let("scalar", f"c{r}", f"at(c, e * 4 + {r})") for r in range(4)]
        return made + self._matrix("M", "ye")

    def _matrix(self, name: str, pointer: str) -> list[Statement]:
        """Numbers of one edge, M or B."""
        return [
            Let("scalar", f"{name}{n}", " + ".join(f"S({c!r}) * at({pointer}, {j})" for j, c in entries))
            for n, entries in enumerate(self._harmonics)
        ]

    def _table_target(self) -> Let:
        return Let("target", "gte", f"gt + knot * {self.paths.n_weights}")

    def _load(self, prefix: str, group: str, k: int) -> list[Statement]:
        """The sender's components of irrep k, as X0, X1 and so on."""
        degree, _, channels = self.paths.input[k]
        return [
            Let("vector", f"{prefix}{m}", f"ld({group}{k}, j * {self.widths[k]} + {m * channels} + s)")
            for m in range(2 * degree + 1)
        ]

    def _rows(self, body: Callable[[int], list[Statement]]) -> list[Statement]:
        """A loop over the channel vectors of each input irrep that a path uses."""
        return [
            Channels(channels, body(k))
            for k, (_, _, channels) in enumerate(self.paths.input)
            if self.paths.paths_from(k)
        ]

    def _place(self, q: int, m: int) -> tuple[int, str]:
        """Output irrep of path q, and the index of its component m in the atom's row."""
        k = self.paths.paths[q].k_out
        return k, f"{m * self.paths.output_layout[k][2] + self._channel[q]} + s"

    def _accumulate(self, q: int, m: int, value: str) -> Add:
        k, place = self._place(q, m)
        return Add("acc", f"{self._out_start[k]} + {place}", value)

    def _store(self) -> list[Statement]:
        return [Copy(f"o{k}", f"i * {width}", self._out_start[k], width) for k, width in enumerate(self.out_widths)]

    def _cotangents(self) -> list[Statement]:
        return [Let("source", f"gi{k}", f"g{k} + i * {width}") for k, width in enumerate(self.out_widths)]

    def _weights(self, q: int, **of: str) -> list[Statement]:
        """Radial weights of path q for spline weights of the given letters, and its four rows of the table."""
        offset, n = self.paths.weight_offsets[q], self.paths.n_weights
        rows: list[Statement] = [Let("vector", f"t{r}", f"ld(te, {r * n + offset} + s)") for r in range(4)]
        sums = {name: " + ".join(f"{letter}{r} * t{r}" for r in range(4)) for name, letter in of.items()}
        return rows + [Let("vector", name, value) for name, value in sums.items()]

    def _product(self, q: int, m: int, *pairs: tuple[str, str]) -> str:
        """Σ over the terms of an output row of e.g. M · X for the pair ("M", "X")."""
        return " + ".join(f"{a}{n} * {x}{m1}" for n, m1 in self._terms[q][m] for a, x in pairs)

    def _feature_gradients(self, k: int) -> Given:
        """Add what is in H0, H1, … to the gradients of the sender's features."""
        degree, _, channels = self.paths.input[k]
        adds: list[Statement] = [
            Add(f"gx{k}", f"(j - low) * {self.widths[k]} + {m * channels} + s", f"H{m}") for m in range(2 * degree + 1)
        ]
        return Given(f"gx{k}", adds)

    def _table_gradients(self, q: int, value: str) -> list[Statement]:
        offset, n = self.paths.weight_offsets[q], self.paths.n_weights
        return [Add("gte", f"{r * n + offset} + s", value.format(r=r)) for r in range(4)]

    def _forward(self) -> list[Statement]:
        def body(k: int) -> list[Statement]:
            made = self._load("X", "x", k)
            for q in self.paths.paths_from(k):
                rows = range(len(self._terms[q]))
                adds = [self._accumulate(q, m, f"W * ({self._product(q, m, ('M', 'X'))})") for m in rows]
                made.append(Block([*self._weights(q, W="c"), *adds]))
            return made

        return [Clear(self.n_out), OverEdges(self._edge() + self._rows(body)), *self._store()]

    def _backward(self, geometry: bool) -> list[Statement]:
        n_harmonics = self.paths.n_harmonics
        totals = tuple(f"Y{n}" for n in range(n_harmonics + 4)) if geometry else ()

        def body(k: int) -> list[Statement]:
            made = self._load("X", "x", k)
            made += [Zero(f"H{m}") for m in range(2 * self.paths.input[k][0] + 1)]
            for q in self.paths.paths_from(k):
                block = [*self._weights(q, W="c"), Zero("dw")]
                for m, row in enumerate(self._terms[q]):
                    out, place = self._place(q, m)
                    product = self._product(q, m, ("M", "X"))
                    inner: list[Statement] = [
                        Let("vector", "G", f"ld(gi{out}, {place})"),
                        Let("vector", "WG", "W * G"),
                        Increase("dw", f"G * ({product})"),
                    ]
                    for n, m1 in row:
                        inner.append(Increase(f"H{m1}", f"M{n} * WG"))
                        if geometry:
                            inner.append(Let("vector", f"h{n}", f"WG * X{m1}"))
                            inner += [Increase(f"Y{jj}", f"S({c!r}) * h{n}") for jj, c in self._harmonics[n]]
                    block.append(Block(inner))
                if geometry:
                    block += [Increase(f"Y{n_harmonics + r}", f"dw * t{r}") for r in range(4)]
                else:
                    block += self._table_gradients(q, "c{r} * dw")
                made.append(Block(block))
            made.append(self._feature_gradients(k))
            return made

        before: list[Statement] = [Zero(name) for name in totals]
        after: list[Statement] = []
        if geometry:
            after.append(Sums(totals, (("gy", f"e * {n_harmonics}", n_harmonics), ("gc", "e * 4", 4))))
        else:
            before.append(self._table_target())
        return [*self._cotangents(), OverEdges([*self._edge(), *before, *self._rows(body), *after])]

    def _double_backward(self) -> list[Statement]:
        def body(k: int) -> list[Statement]:
            made = self._load("X", "x", k) + self._load("Z", "z", k)
            made += [Zero(f"H{m}") for m in range(2 * self.paths.input[k][0] + 1)]
            for q in self.paths.paths_from(k):
                block = [*self._weights(q, W="c", U="u"), Zero("dw"), Zero("du")]
                for m, row in enumerate(self._terms[q]):
                    out, place = self._place(q, m)
                    turned = self._product(q, m, ("M", "Z"), ("B", "X"))
                    inner: list[Statement] = [
                        Let("vector", "G", f"ld(gi{out}, {place})"),
                        Let("vector", "WG", "W * G"),
                        Let("vector", "UG", "U * G"),
                        Let("vector", "d", turned),
                        Let("vector", "f", self._product(q, m, ("M", "X"))),
                        self._accumulate(q, m, "W * d + U * f"),
                        Increase("dw", "G * d"),
                        Increase("du", "G * f"),
                    ]
                    inner += [Increase(f"H{m1}", f"M{n} * UG + B{n} * WG") for n, m1 in row]
                    block.append(Block(inner))
                made.append(Block(block + self._table_gradients(q, "c{r} * dw + u{r} * du")))
            made.append(self._feature_gradients(k))
            return made

        directions: list[Statement] = [Let("source", "be", f"b + e * {self.paths.n_harmonics}")]
        directions += [Let("scalar", f"u{r}", f"at(u, e * 4 + {r})") for r in range(4)]
        edge = [*self._edge(), *directions, *self._matrix("B", "be"), self._table_target(), *self._rows(body)]
        return [*self._cotangents(), Clear(self.n_out), OverEdges(edge), *self._store()]
