struct Arguments {
  I n, rows; const I *row, *sender; const int32_t* knot; S *y, *c, *t, *b, *u;
  S *x[NX], *g[NO], *z[NX], *o[NO], *gx[NX], *gy, *gc, *gt;
};
// where a thread adds: rows from `low` on of the gradients of the features (none if gx[0] is null), and a table
struct Target { S* gx[NX]; S* gt; I low, high; };
typedef void (*Range)(const Arguments&, I, I, const Target&);

// first receiver of a thread: about equal numbers of edges, always the same for the same number of threads
static I boundary(const Arguments& a, int thread, int threads) {
  if (thread >= threads) return a.n;
  const I target = a.row[a.n] * thread / threads;
  I low = 0, high = a.n;
  while (low < high) { const I mid = (low + high) / 2; if (a.row[mid] < target) low = mid + 1; else high = mid; }
  return thread ? low : 0;
}
static bool allocate(Target& p, const Arguments& a, I first, I last) {
  p.low = p.high = 0;
  for (I e = a.row[first]; e < a.row[last]; ++e) {
    if (p.high == 0 || a.sender[e] < p.low) p.low = a.sender[e];
    if (a.sender[e] >= p.high) p.high = a.sender[e] + 1;
  }
  bool good = true;
  for (int k = 0; k < NX; ++k) {
    p.gx[k] = a.gx[0] ? (S*)calloc((p.high - p.low) * WIDTH[k] + 1, sizeof(S)) : nullptr;
    good = good && (p.gx[k] || !a.gx[0]);
  }
  p.gt = a.gt ? (S*)calloc(a.rows * WEIGHTS, sizeof(S)) : nullptr;
  return good && (p.gt || !a.gt);
}
// sums what the threads made, in their order, so that results repeat bit for bit
static void reduce(const Arguments& a, const Target* p, int thread, int threads) {
  if (a.gx[0]) for (int k = 0; k < NX; ++k) {
    const I w = WIDTH[k];
    for (I j = a.n * thread / threads; j < a.n * (thread + 1) / threads; ++j) {
      S* o = a.gx[k] + j * w;
      memset(o, 0, w * sizeof(S));
      for (int t = 0; t < threads; ++t) if (j >= p[t].low && j < p[t].high) {
        const S* s = p[t].gx[k] + (j - p[t].low) * w;
        for (I q = 0; q < w; ++q) o[q] += s[q];
      }
    }
  }
  if (a.gt) {
    const I size = a.rows * WEIGHTS, first = size * thread / threads, last = size * (thread + 1) / threads;
    for (I q = first; q < last; ++q) a.gt[q] = 0;
    for (int t = 0; t < threads; ++t) for (I q = first; q < last; ++q) a.gt[q] += p[t].gt[q];
  }
}
static int run(const Arguments& a, int threads, Range range) {
  const I most = a.row[a.n] / 128 + 1;
  if (threads > most) threads = (int)most;
  if (threads <= 1) {
    Target p; p.low = 0; p.high = a.n; p.gt = a.gt;
    for (int k = 0; k < NX; ++k) {
      p.gx[k] = a.gx[k];
      if (a.gx[0]) memset(a.gx[k], 0, a.n * WIDTH[k] * sizeof(S));
    }
    if (a.gt) memset(a.gt, 0, a.rows * WEIGHTS * sizeof(S));
    range(a, 0, a.n, p);
    return 0;
  }
  Target* p = (Target*)calloc(threads, sizeof(Target));
  if (!p) return 1;
  int failed = 0;
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num(), team = omp_get_num_threads();
    const I first = boundary(a, thread, team), last = boundary(a, thread + 1, team);
    const bool good = allocate(p[thread], a, first, last);
#pragma omp atomic
    failed += !good;
#pragma omp barrier
    if (!failed) range(a, first, last, p[thread]);
#pragma omp barrier
    if (!failed) reduce(a, p, thread, team);
#pragma omp barrier
    for (int k = 0; k < NX; ++k) free(p[thread].gx[k]);
    free(p[thread].gt);
  }
  free(p);
  return failed != 0;
}
