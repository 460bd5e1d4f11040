static inline v sigmoid(v x) {
  v y;
  for (int k = 0; k < V; ++k) y[k] = S(1) / (S(1) + std::exp(-x[k]));
  return y;
}
