"""C++ of matrix products whose rows lie anywhere in memory, in tiles of registers, and of the sigmoid of vectors.

GCC keeps the sums of a tile in registers only if each is a variable of its own, so tiles are printed.
"""

from __future__ import annotations

from mfbench.mfcore.backends.cpp.source import template


def _tile(rows: int, columns: int) -> str:
    """Code for one tile of `rows` rows and `columns` vectors of columns, whose sums are variables of their own."""
    sums = [[f"s{r}_{q}" for q in range(columns)] for r in range(rows)]
    places = [(r, q, sums[r][q]) for r in range(rows) for q in range(columns)]
    declared = f"v {', '.join(f'{name} = zero' for _, _, name in places)};"
    weights = ", ".join(f"w{q} = ld(b + {q} * V)" for q in range(columns))

    def steps(factor: str) -> str:
        return "".join(
            f"{{ const S x = {factor.format(r=r)}; "
            + "".join(f"{sums[r][q]} += x * w{q}; " for q in range(columns))
            + "}\n"
            for r in range(rows)
        )

    pointers = ", ".join(f"*a{r} = h->rows[first + {r}]" for r in range(rows))
    begin = "\n".join(f"{n} = part(start[first + {r}] + column + {q} * V, left - {q} * V);" for r, q, n in places)
    whole = "\n".join(f"st(o[first + {r}] + column + {q} * V, {n});" for r, q, n in places)
    partly = "\n".join(f"put(o[first + {r}] + column + {q} * V, {n}, left - {q} * V);" for r, q, n in places)
    loaded = "\n".join(f"{n} = ld(o + {r} * stride + {q} * V);" for r, q, n in places)
    stored = "\n".join(f"st(o + {r} * stride + {q} * V, {n});" for r, q, n in places)
    return f"""
static void tile{rows}_{columns}(
    const Factor& f, const Factor& g, I first, I column, I n, const S* const* start, S* const* o) {{
{declared}
const I left = n - column;
if (start) {{
{begin}
}}
for (const Factor* h : {{&f, &g}}) if (h->k) {{
const S {pointers}, *b = h->packed + column * h->k;
for (I k = 0; k < h->k; ++k, b += {columns} * V) {{
const v {weights};
{steps("a{r}[k]")}}}
}}
if (left >= {columns} * V) {{
{whole}
}} else {{
{partly}
}}
}}
static void outer{rows}_{columns}(I count, const S* const* a, I i, const S* const* rows, I j, S* o, I stride) {{
{declared}
{loaded}
for (I row = 0; row < count; ++row) {{
const S *x0 = a[row] + i, *b = rows[row] + j;
const v {weights};
{steps("x0[{r}]")}}}
{stored}
}}"""


def _tiles() -> str:
    """All tiles, and one name for them."""
    made = ["template <int R> struct Tile;"]
    for rows in (1, 2, 4, 6, 8):
        made += [_tile(rows, 1), _tile(rows, 2)]
        made.append(f"template <> struct Tile<{rows}> {{")
        for name in ("tile", "outer"):
            made.append(f"static constexpr auto {name}_narrow = {name}{rows}_1, {name}_wide = {name}{rows}_2;")
        made.append("};")
    for name, of in (("tile", "tile"), ("outer_tile", "outer")):
        made.append(f"template <int R, class... A> static inline void {name}(bool wide, const A&... a) {{")
        made.append(f"if (wide) Tile<R>::{of}_wide(a...); else Tile<R>::{of}_narrow(a...);")
        made.append("}")
    return "\n".join(made)


def products_source(scalar: str) -> str:
    """C++ source for `scalar` "float" or "double"; it needs the vectors of channels before it."""
    return template("products.h", TILES=_tiles()) + template(f"sigmoid_{scalar}.h")
