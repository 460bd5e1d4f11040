"""C++ of matrix products whose rows lie anywhere in memory, in tiles of registers, and of the sigmoid of vectors.

GCC keeps the sums of a tile in registers only if each is a variable of its own, so tiles are printed.
"""

from __future__ import annotations

_PRODUCTS = r"""
#include <cmath>
// rows of a tile, atoms of a block; degrees up to 4
constexpr int TILE = REGISTER == 64 ? 8 : 6, BLOCK = 24, MAX_ROWS = BLOCK * 9;
static inline I padded(I n) { return (n + V - 1) / V * V; }
static inline v part(const S* p, I n) {
  if (n >= V) return ld(p);
  v a = zero;
  memcpy(&a, p, n * sizeof(S));
  return a;
}
static inline void put(S* p, v a, I n) { if (n >= V) st(p, a); else memcpy(p, &a, n * sizeof(S)); }

// a factor (k x n), or its transpose, times scale: panels of two vectors of columns, the last one of one or two
static void pack(const S* w, I k, I n, I stride, bool transposed, S scale, S* o) {
  for (I first = 0; first < n; first += 2 * V) {
    const I wide = n - first > V ? 2 * V : V;
    const I there = n - first < wide ? n - first : wide;
    if (there < wide) memset(o, 0, k * wide * sizeof(S));
    if (transposed) {
      for (I j = 0; j < there; ++j) for (I i = 0; i < k; ++i) o[i * wide + j] = scale * w[(first + j) * stride + i];
    } else {
      for (I i = 0; i < k; ++i) for (I j = 0; j < there; ++j) o[i * wide + j] = scale * w[i * stride + first + j];
    }
    o += k * wide;
  }
}
struct Factor { const S* const* rows; I k; const S* packed; };
@TILES@
// o = start + f + g, of n columns; no start is zero, and a factor with k = 0 is none
static void product(I rows, I n, const Factor& f, const Factor& g, const S* const* start, S* const* o) {
  for (I column = 0; column < n; column += 2 * V) {
    const bool wide = n - column > V;
    I r = 0;
    for (; r + TILE <= rows; r += TILE) tile<TILE>(wide, f, g, r, column, n, start, o);
    for (; r + 4 <= rows; r += 4) tile<4>(wide, f, g, r, column, n, start, o);
    for (; r + 2 <= rows; r += 2) tile<2>(wide, f, g, r, column, n, start, o);
    if (r < rows) tile<1>(wide, f, g, r, column, n, start, o);
  }
}
// o (k x n) += sum over rows of a^T b; n is a multiple of V, and rows of b have so many numbers
static void outer(I rows, const S* const* a, I k, const S* const* b, I n, S* o) {
  for (I j = 0; j < n; j += 2 * V) {
    const bool wide = n - j > V;
    I i = 0;
    for (; i + TILE <= k; i += TILE) outer_tile<TILE>(wide, rows, a, i, b, j, o + i * n + j, n);
    for (; i + 4 <= k; i += 4) outer_tile<4>(wide, rows, a, i, b, j, o + i * n + j, n);
    for (; i + 2 <= k; i += 2) outer_tile<2>(wide, rows, a, i, b, j, o + i * n + j, n);
    if (i < k) outer_tile<1>(wide, rows, a, i, b, j, o + i * n + j, n);
  }
}
"""

_SIGMOID = {
    # exp by a polynomial between -ln 2 / 2 and ln 2 / 2 (Cephes' coefficients) and an exponent; NaN stays NaN
    "float": r"""
typedef int32_t vi __attribute__((vector_size(V * sizeof(S))));
static inline v sigmoid(v x) {
  const v high = zero + 87.0f, low = zero - 87.0f, magic = zero + 12582912.0f;
  v y = -x;
  y = y > high ? high : y;
  y = y < low ? low : y;
  const v shifted = y * 1.44269504088896341f + magic, n = shifted - magic;
  const v r = (y - n * 0.693359375f) - n * -2.12194440e-4f;
  v p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const vi bits = (((vi)shifted - (vi)magic) << 23) + 0x3f800000;
  return 1.0f / (1.0f + p * (v)bits);
}
""",
    "double": r"""
static inline v sigmoid(v x) {
  v y;
  for (int k = 0; k < V; ++k) y[k] = S(1) / (S(1) + std::exp(-x[k]));
  return y;
}
""",
}


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
    """C++ source for `scalar` "float" or "double"; it needs the head of the kernels' runtime before it."""
    return _PRODUCTS.replace("@TILES@", _tiles()) + _SIGMOID[scalar]
