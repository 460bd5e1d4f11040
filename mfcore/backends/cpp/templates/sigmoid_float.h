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
