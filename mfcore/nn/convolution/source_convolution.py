"""C++ source of the fused convolution of one set of paths: forward, backward and double backward.

Each kernel goes once over the receivers and their edges, a vector of channels at a time, and stores nothing per
edge. With M = Σ CG · Y (numbers of one edge), x the sender's features, w the radial weight from the table and g the
cotangent of the output, every kernel is a contraction of the one form Σ_edges g · w · M · x. The double backward
has cotangents (z, b, u) of the gradients to (x, Y, spline): it is the derivative of that form in their direction,
with B = Σ CG · b, and U the weight that u gives.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from mfcore.nn.convolution.paths import TensorProductPaths
from mfcore.nn.convolution.source_runtime import DRIVER, HEAD


class _Writer:
    """Writes the kernels of one set of paths; `terms[q][m]` are the (index in M, input component) of an output row."""

    def __init__(self, paths: TensorProductPaths) -> None:
        self.paths = paths
        self.lines: list[str] = []
        self.matrix: list[str] = []  # each number of M as a sum over harmonics, `@` standing for their array
        self.harmonic_terms: list[list[tuple[int, float]]] = []
        self.terms: list[list[list[tuple[int, int]]]] = []
        self.channel_offset = [0] * len(paths.paths)
        for k in range(len(paths.output_layout)):
            offset = 0
            for q in paths.paths_into(k):
                self.channel_offset[q] = offset
                offset += paths.input[paths.paths[q].k_in][2]
        for q, path in enumerate(paths.paths):
            cg = paths.coefficients(q)
            rows = []
            for m3 in range(cg.shape[2]):
                row = []
                for m1 in range(cg.shape[0]):
                    entries = [(path.l2**2 + m2, float(cg[m1, m2, m3])) for m2 in range(cg.shape[1]) if cg[m1, m2, m3]]
                    if entries:
                        row.append((len(self.harmonic_terms), m1))
                        self.harmonic_terms.append(entries)
                rows.append(row)
            self.terms.append(rows)

    def write(self, *lines: str) -> None:
        self.lines.extend(lines)

    def constants(self) -> None:
        p = self.paths
        widths = [(2 * degree + 1) * c for degree, _, c in p.input]
        self.write(
            f"constexpr int NX = {len(p.input)}, NO = {len(p.output_layout)}, NY = {p.n_harmonics};",
            f"constexpr I WEIGHTS = {p.n_weights}, WIDTH[NX] = {{{', '.join(map(str, widths))}}};",
        )

    def harmonics(self, name: str, array: str) -> None:
        """Numbers of one edge, M or B."""
        self.write(f"      S {name}[{len(self.harmonic_terms)}];")
        for n, entries in enumerate(self.harmonic_terms):
            value = " + ".join(f"S({c!r}) * {array}[{j}]" for j, c in entries)
            self.write(f"      {name}[{n}] = {value};")

    def begin(self, name: str) -> None:
        self.write(f"static void {name}_range(const Arguments& a, I first, I last, const Target& out) {{")
        self.write("  for (I i = first; i < last; ++i) {")

    def edges(self) -> None:
        self.write(
            "    for (I e = a.row[i]; e < a.row[i + 1]; ++e) {",
            "      const I j = a.sender[e]; const S* y = a.y + e * NY; const S* c = a.c + e * 4;",
            "      const S* t = a.t + (I)a.knot[e] * WEIGHTS; const S c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3];",
        )

    def load(self, prefix: str, array: str, k: int) -> None:
        degree, _, channels = self.paths.input[k]
        for m in range(2 * degree + 1):
            self.write(
                f"        const v {prefix}{m} = ld(a.{array}[{k}] + (j * {2 * degree + 1} + {m}) * {channels} + s);"
            )

    def blocks(self, body: Callable[[int], None]) -> None:
        """A loop over the channel vectors of each input irrep that a path uses."""
        for k, (_, _, channels) in enumerate(self.paths.input):
            if self.paths.paths_from(k):
                self.write(f"      for (int s = 0; s < {channels}; s += V) {{")
                body(k)
                self.write("      }")

    def output(self, q: int, m: int) -> tuple[int, str]:
        """Output irrep of path q, and the place of its component m relative to the atom's row."""
        k = self.paths.paths[q].k_out
        return k, f"{m * self.paths.output_layout[k][2] + self.channel_offset[q]} + s"

    def rows(self, prefix: str, array: str) -> None:
        for k, (degree, _, channels) in enumerate(self.paths.output_layout):
            width = (2 * degree + 1) * channels
            self.write(f"    const S* {prefix}{k} = a.{array}[{k}] + i * {width};")

    def accumulator(self) -> None:
        for k, (degree, _, channels) in enumerate(self.paths.output_layout):
            self.write(f"    v acc{k}[{(2 * degree + 1) * channels} / V];")
            self.write(f"    for (v& value : acc{k}) value = zero;")

    def store(self) -> None:
        for k, (degree, _, channels) in enumerate(self.paths.output_layout):
            width = (2 * degree + 1) * channels
            self.write(f"    for (int s = 0; s < {width}; s += V) st(a.o[{k}] + i * {width} + s, acc{k}[s / V]);")

    def accumulate(self, q: int, m: int, value: str) -> str:
        k, place = self.output(q, m)
        return f"acc{k}[({place}) / V] += {value};"

    def add_feature_gradient(self, k: int) -> None:
        degree, _, channels = self.paths.input[k]
        self.write("        if (out.gx[0]) {")
        for m in range(2 * degree + 1):
            place = f"((j - out.low) * {2 * degree + 1} + {m}) * {channels} + s"
            self.write(f"          add(out.gx[{k}] + {place}, X{m}_);")
        self.write("        }")

    def end(self, name: str) -> None:
        self.write("  }", "}")
        self.write(
            f'extern "C" int {name}(const void* const* p, I n, I rows, int threads) {{',
            "  Arguments a = {}; a.n = n; a.rows = rows;",
            "  a.row = (const I*)*p++; a.sender = (const I*)*p++; a.knot = (const int32_t*)*p++;",
            "  a.y = (const S*)*p++; a.c = (const S*)*p++; a.t = (const S*)*p++;",
            "  for (int k = 0; k < NX; ++k) a.x[k] = (const S*)*p++;",
        )
        loop_x, loop_o = "for (int k = 0; k < NX; ++k)", "for (int k = 0; k < NO; ++k)"
        read = {
            "forward": f"{loop_o} a.o[k] = (S*)*p++",
            "backward_geometry": f"{loop_o} a.g[k] = (const S*)*p++; {loop_x} a.gx[k] = (S*)*p++; "
            "a.gy = (S*)*p++; a.gc = (S*)*p++",
            "backward_parameters": f"{loop_o} a.g[k] = (const S*)*p++; {loop_x} a.gx[k] = (S*)*p++; a.gt = (S*)*p++",
            "double_backward": f"{loop_o} a.g[k] = (const S*)*p++; {loop_x} a.z[k] = (const S*)*p++; "
            f"a.b = (const S*)*p++; a.u = (const S*)*p++; {loop_o} a.o[k] = (S*)*p++; "
            f"{loop_x} a.gx[k] = (S*)*p++; a.gt = (S*)*p++",
        }[name]
        self.write(
            *(f"  {part};" for part in re.split(r"; (?=for|a\.)", read)),
            f"  return run(a, threads, {name}_range);",
            "}",
        )

    def weight(self, q: int, coefficients: str = "c") -> str:
        offset, n = self.paths.weight_offsets[q], self.paths.n_weights
        return " + ".join(f"{coefficients}{r} * ld(t + {r * n + offset} + s)" for r in range(4))

    def table_rows(self, q: int) -> str:
        offset, n = self.paths.weight_offsets[q], self.paths.n_weights
        return " ".join(f"const v t{r} = ld(t + {r * n + offset} + s);" for r in range(4))

    def product(self, q: int, m: int, *pairs: tuple[str, str]) -> str:
        """Σ over the terms of an output row of e.g. M · X for the pair ("M", "X")."""
        return " + ".join(f"{a}[{n}] * {x}{m1}" for n, m1 in self.terms[q][m] for a, x in pairs)

    def forward(self) -> None:
        self.begin("forward")
        self.accumulator()
        self.edges()
        self.harmonics("M", "y")

        def body(k: int) -> None:
            self.load("X", "x", k)
            for q in self.paths.paths_from(k):
                self.write(f"        {{ const v W = {self.weight(q)};")
                for m in range(len(self.terms[q])):
                    product = self.product(q, m, ("M", "X"))
                    self.write(f"          {self.accumulate(q, m, f'W * ({product})')}")
                self.write("        }")

        self.blocks(body)
        self.write("    }")
        self.store()
        self.end("forward")

    def backward(self, geometry: bool) -> None:
        name = "backward_geometry" if geometry else "backward_parameters"
        self.begin(name)
        self.rows("g", "g")
        self.edges()
        self.harmonics("M", "y")
        if geometry:
            self.write("      v Y[NY + 4]; for (v& value : Y) value = zero;")
        else:
            self.write("      S* gt = out.gt + (I)a.knot[e] * WEIGHTS;")

        def body(k: int) -> None:
            self.load("X", "x", k)
            for m in range(2 * self.paths.input[k][0] + 1):
                self.write(f"        v X{m}_ = zero;")
            for q in self.paths.paths_from(k):
                self.write(f"        {{ {self.table_rows(q)} const v W = c0 * t0 + c1 * t1 + c2 * t2 + c3 * t3;")
                self.write("          v w_ = zero;")
                for m, row in enumerate(self.terms[q]):
                    out, place = self.output(q, m)
                    adds = [f"X{m1}_ += M[{n}] * WG;" for n, m1 in row]
                    adds += [self.harmonic_gradient(n, f"WG * X{m1}") for n, m1 in row if geometry]
                    self.write(
                        f"          {{ const v G = ld(g{out} + {place}), WG = W * G; "
                        f"w_ += G * ({self.product(q, m, ('M', 'X'))}); {' '.join(adds)} }}"
                    )
                if geometry:
                    self.write("          " + " ".join(f"Y[NY + {r}] += w_ * t{r};" for r in range(4)))
                else:
                    self.add_table_gradient(q, "c{r} * w_")
                self.write("        }")
            self.add_feature_gradient(k)

        self.blocks(body)
        if geometry:
            self.write(
                "      S total[(NY + 4 + V - 1) / V * V];",
                "      sums<NY + 4>(Y, total);",
                "      memcpy(a.gy + e * NY, total, NY * sizeof(S));",
                "      memcpy(a.gc + e * 4, total + NY, 4 * sizeof(S));",
            )
        self.write("    }")
        self.end(name)

    def harmonic_gradient(self, n: int, value: str) -> str:
        """Add what a number of M gets to the harmonics that it is made of."""
        adds = " ".join(f"Y[{j}] += S({c!r}) * h;" for j, c in self.harmonic_terms[n])
        return f"{{ const v h = {value}; {adds} }}"

    def add_table_gradient(self, q: int, value: str) -> None:
        offset, n = self.paths.weight_offsets[q], self.paths.n_weights
        for r in range(4):
            self.write(f"          add(gt + {r * n + offset} + s, {value.format(r=r)});")

    def double_backward(self) -> None:
        self.begin("double_backward")
        self.rows("g", "g")
        self.accumulator()
        self.edges()
        self.write(
            "      const S *b = a.b + e * NY, *u = a.u + e * 4; const S u0 = u[0], u1 = u[1], u2 = u[2], u3 = u[3];",
            "      S* gt = out.gt + (I)a.knot[e] * WEIGHTS;",
        )
        self.harmonics("M", "y")
        self.harmonics("B", "b")

        def body(k: int) -> None:
            self.load("X", "x", k)
            self.load("Z", "z", k)
            for m in range(2 * self.paths.input[k][0] + 1):
                self.write(f"        v X{m}_ = zero;")
            for q in self.paths.paths_from(k):
                self.write(
                    f"        {{ v W, U; {{ {self.table_rows(q)} W = c0 * t0 + c1 * t1 + c2 * t2 + c3 * t3; "
                    "U = u0 * t0 + u1 * t1 + u2 * t2 + u3 * t3; } v w_ = zero, u_ = zero;"
                )
                for m, row in enumerate(self.terms[q]):
                    out, place = self.output(q, m)
                    adds = " ".join(f"X{m1}_ += M[{n}] * UG + B[{n}] * WG;" for n, m1 in row)
                    turned = self.product(q, m, ("M", "Z"), ("B", "X"))
                    plain = self.product(q, m, ("M", "X"))
                    self.write(
                        f"          {{ const v G = ld(g{out} + {place}), WG = W * G, UG = U * G; "
                        f"const v d = {turned}, f = {plain}; {self.accumulate(q, m, 'W * d + U * f')} "
                        f"w_ += G * d; u_ += G * f; {adds} }}"
                    )
                self.add_table_gradient(q, "c{r} * w_ + u{r} * u_")
                self.write("        }")
            self.add_feature_gradient(k)

        self.blocks(body)
        self.write("    }")
        self.store()
        self.end("double_backward")


def convolution_source(paths: TensorProductPaths, scalar: str) -> str:
    """C++ source of the kernels of these paths for `scalar` "float" or "double"."""
    divisor = math.gcd(*(channels for _, _, channels in paths.input))
    writer = _Writer(paths)
    writer.write(HEAD.replace("@SCALAR@", scalar).replace("@DIVISOR@", str(divisor & -divisor)))
    writer.constants()
    writer.write(DRIVER)
    writer.forward()
    writer.backward(geometry=True)
    writer.backward(geometry=False)
    writer.double_backward()
    return "\n".join(line for line in writer.lines if line)
