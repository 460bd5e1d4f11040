constexpr I FEW = 8192;  // edges that are not worth waking other threads
static int team_of(I edges, int threads) { return edges < FEW ? 1 : threads; }

extern "C" void edge_differences(I n, const I* first, const I* second, const S* x, const S* added, S* o, int threads) {
  threads = team_of(n, threads);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (I e = 0; e < n; ++e) {
    const S *a = x + 3 * first[e], *b = x + 3 * second[e];
    for (int k = 0; k < 3; ++k) o[3 * e + k] = a[k] - b[k] + (added ? added[3 * e + k] : S(0));
  }
}
extern "C" void edge_sums(I n, const I* row, const I* sender, const S* g, S* o, int threads) {
  threads = team_of(row[n], threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const I thread = omp_get_thread_num(), team = omp_get_num_threads();
    const I low = n * thread / team, high = n * (thread + 1) / team;
    for (I i = low; i < high; ++i) {
      S x = 0, y = 0, z = 0;
      for (I e = row[i]; e < row[i + 1]; ++e) { x += g[3 * e]; y += g[3 * e + 1]; z += g[3 * e + 2]; }
      o[3 * i] = x; o[3 * i + 1] = y; o[3 * i + 2] = z;
    }
    for (I e = 0; e < row[n]; ++e) {
      const I j = sender[e];
      if (j >= low && j < high) for (int k = 0; k < 3; ++k) o[3 * j + k] -= g[3 * e + k];
    }
  }
}
