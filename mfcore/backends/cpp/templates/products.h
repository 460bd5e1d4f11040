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
