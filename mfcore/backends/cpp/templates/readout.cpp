constexpr S GAMMA = S(@GATE@);
constexpr I FEW = 2048;  // atoms that are not worth waking other threads
#define ATOMS _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1 && n >= FEW)") \
  for (I a = 0; a < n; ++a)

// a matrix (rows x columns), or its transpose, in rows of padded length
static S* copy_of(const S* w, I rows, I columns, bool transposed) {
  const I high = transposed ? columns : rows, wide = padded(transposed ? rows : columns);
  S* o = (S*)calloc(high * wide + V, sizeof(S));
  if (o) for (I i = 0; i < rows; ++i) for (I j = 0; j < columns; ++j)
    o[transposed ? j * wide + i : i * wide + j] = w[i * columns + j];
  return o;
}
// start + x^T w, one vector of columns
static inline v times(v start, const S* x, I n, const S* w, I wide) {
  v odd = zero;
  I i = 0;
  for (; i + 1 < n; i += 2) { start += x[i] * ld(w + i * wide); odd += x[i + 1] * ld(w + (i + 1) * wide); }
  if (i < n) start += x[i] * ld(w + i * wide);
  return start + odd;
}
static inline S sum(v x) { S all = 0; for (int k = 0; k < V; ++k) all += x[k]; return all; }

// o (c x k) = sum over atoms of x^T t
extern "C" void readout_matrix(I n, I c, I k, const S* x, const S* t, S* o) {
  constexpr int ROWS = 8;
  for (I i = 0; i < c; i += ROWS) for (I s = 0; s < k; s += V) {
    const I there = c - i < ROWS ? c - i : ROWS;
    v all[ROWS];
    for (int r = 0; r < ROWS; ++r) all[r] = zero;
    if (there == ROWS) for (I a = 0; a < n; ++a) {
      const v row = part(t + a * k + s, k - s);
      for (int r = 0; r < ROWS; ++r) all[r] += x[a * c + i + r] * row;
    }
    else for (I a = 0; a < n; ++a) {
      const v row = part(t + a * k + s, k - s);
      for (I r = 0; r < there; ++r) all[r] += x[a * c + i + r] * row;
    }
    for (I r = 0; r < there; ++r) put(o + (i + r) * k + s, all[r], k - s);
  }
}
// z = x h + b, y = sum of GAMMA silu(z) o; o has rows of `step` numbers, 0 for one row of all atoms
extern "C" int readout_forward(I n, I c, I k, I step, const S* x, const S* h, const S* o, const S* b, S* y, S* z,
                               int threads) {
  S* w = copy_of(h, c, k, false);
  if (!w) return 1;
  const I wide = padded(k);
  ATOMS {
    v total = zero;
    for (I s = 0; s < k; s += V) {
      const v u = times(b ? part(b + a * k + s, k - s) : zero, x + a * c, c, w + s, wide);
      put(z + a * k + s, u, k - s);
      total += u * sigmoid(u) * part(o + a * step + s, k - s);
    }
    y[a] = GAMMA * sum(total);
  }
  free(w);
  return 0;
}
// t = extra + g GAMMA o silu'(z), for_x = t h^T, and for_o = g GAMMA silu(z); no g, extra, for_x or for_o is possible
extern "C" int readout_backward(I n, I c, I k, I step, const S* z, const S* h, const S* o, const S* g, const S* extra,
                                S* t, S* for_x, S* for_o, int threads) {
  S* w = for_x ? copy_of(h, c, k, true) : nullptr;
  if (for_x && !w) return 1;
  const I wide = padded(c);
  ATOMS {
    const S by = g ? GAMMA * g[a] : S(0);
    for (I s = 0; s < k; s += V) {
      v made = extra ? part(extra + a * k + s, k - s) : zero;
      if (g) {
        const v u = part(z + a * k + s, k - s), f = sigmoid(u);
        made += by * part(o + a * step + s, k - s) * f * (S(1) + u * (S(1) - f));
        if (for_o) put(for_o + a * k + s, by * u * f, k - s);
      }
      put(t + a * k + s, made, k - s);
    }
    for (I s = 0; for_x && s < c; s += V) put(for_x + a * c + s, times(zero, t + a * k, k, w + s, wide), c - s);
  }
  free(w);
  return 0;
}
// of D = sum of d · (g GAMMA o silu'(z) h^T): by g, by z, and by o (of each atom)
extern "C" int readout_double(I n, I c, I k, I step, const S* z, const S* h, const S* o, const S* g, const S* d,
                              S* for_g, S* for_z, S* for_o, int threads) {
  S* w = copy_of(h, c, k, false);
  if (!w) return 1;
  const I wide = padded(k);
  ATOMS {
    const S by = GAMMA * g[a];
    v total = zero;
    for (I s = 0; s < k; s += V) {
      const v along = times(zero, d + a * c, c, w + s, wide), out = part(o + a * step + s, k - s);
      const v u = part(z + a * k + s, k - s), f = sigmoid(u), rest = S(1) - f;
      const v moved = f * (S(1) + u * rest) * along;
      total += moved * out;
      put(for_z + a * k + s, by * out * along * f * rest * (S(2) + u * (rest - f)), k - s);
      if (for_o) put(for_o + a * k + s, by * moved, k - s);
    }
    if (for_g) for_g[a] = GAMMA * sum(total);
  }
  free(w);
  return 0;
}
