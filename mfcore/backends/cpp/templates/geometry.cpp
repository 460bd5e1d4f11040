#include <cmath>
#include <cstdint>
typedef @SCALAR@ S;
typedef int64_t I;
constexpr int NY = @NY@, LANES = 16;
static inline S root(S a) { return std::sqrt(a); }

static inline void harmonics(S x, S y, S z, S* o) {
@MONOMIALS@
@HARMONICS@
}
// Σ_k g[k] ∂Y_k/∂(x, y, z)
static inline void harmonics_vjp(S x, S y, S z, const S* g, S* o) {
@LOWER@
@GRADIENTS@
@VJP@
}
// ∂Y/∂(x, y, z) · (dx, dy, dz)
static inline void harmonics_jvp(S x, S y, S z, S dx, S dy, S dz, S* o) {
@LOWER@
@JVP@
}
// the four B-splines at distance r times the envelope, and the derivatives of these products; the interval
static inline int radial(S r, S cutoff, int knots, S* c, S* d) {
  const S inverse = S(1) / cutoff, step = (S)knots * inverse;
  const S x = inverse * r, s = step * r;
  S place = s;
  place = place > S(0) ? place : S(0);
  place = place < (S)(knots - 1) ? place : (S)(knots - 1);
  const int interval = (int)place;
  const S u = s - (S)interval, w = S(1) - u, uu = u * u, ww = w * w;
  const S sixth = S(1) / S(6);
  const S b[4] = {sixth * (w * ww), sixth * (S(4) - S(3) * (uu * (S(1) + w))),
                  sixth * (S(4) - S(3) * (ww * (S(1) + u))), sixth * (u * uu)};
  const S e[4] = {(S(-0.5) * step) * ww, (S(0.5) * step) * (u * (S(3) * u - S(4))),
                  (S(-0.5) * step) * (w * (S(3) * w - S(4))), (S(0.5) * step) * uu};
  const S below = @POWER@;  // x^(p-1)
  const S one = S(1) - x, a = below * x;
  S envelope = S(1) - a * (S(@A@) - x * (S(@B@) - S(@C@) * x));
  S slope = (S(@SLOPE@) * inverse) * (below * (one * one));
  const bool outside = x >= S(1);  // false for NaN, which stays NaN
  envelope = outside ? S(0) : envelope;
  slope = outside ? S(0) : slope;
  for (int k = 0; k < 4; ++k) { c[k] = b[k] * envelope; d[k] = e[k] * envelope + b[k] * slope; }
  return interval;
}
static inline void backward_edge(const S* vector, S cutoff, int knots, const S* gy, const S* gc, S* o) {
  const S r = root(vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]), q = S(1) / r;
  const S x = q * vector[0], y = q * vector[1], z = q * vector[2];
  S c[4], d[4], s[3];
  radial(r, cutoff, knots, c, d);
  harmonics_vjp(x, y, z, gy, s);
  const S along = x * s[0] + y * s[1] + z * s[2];
  const S radial_part = gc[0] * d[0] + gc[1] * d[1] + gc[2] * d[2] + gc[3] * d[3] - q * along;
  o[0] = q * s[0] + x * radial_part;
  o[1] = q * s[1] + y * radial_part;
  o[2] = q * s[2] + z * radial_part;
}

#define PARALLEL _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1)")

extern "C" void geometry_forward(I n, const S* v, S cutoff, int knots, S* y, int32_t* knot, S* c, int threads) {
  PARALLEL
  for (I block = 0; block < n; block += LANES) {
    const int lanes = n - block < LANES ? (int)(n - block) : LANES;
    S Y[NY][LANES], C[4][LANES]; int32_t K[LANES]; S X[3][LANES];
    for (int l = 0; l < LANES; ++l)
      for (int k = 0; k < 3; ++k) X[k][l] = l < lanes ? v[3 * (block + l) + k] : S(1);
    for (int l = 0; l < LANES; ++l) {
      const S r = root(X[0][l] * X[0][l] + X[1][l] * X[1][l] + X[2][l] * X[2][l]), q = S(1) / r;
      S h[NY], w[4], d[4];
      K[l] = radial(r, cutoff, knots, w, d);
      harmonics(q * X[0][l], q * X[1][l], q * X[2][l], h);
      for (int k = 0; k < NY; ++k) Y[k][l] = h[k];
      for (int k = 0; k < 4; ++k) C[k][l] = w[k];
    }
    for (int l = 0; l < lanes; ++l) {
      const I e = block + l;
      for (int k = 0; k < NY; ++k) y[e * NY + k] = Y[k][l];
      for (int k = 0; k < 4; ++k) c[e * 4 + k] = C[k][l];
      knot[e] = K[l];
    }
  }
}
extern "C" void geometry_backward(I n, const S* v, S cutoff, int knots, const S* gy, const S* gc, S* gv, int threads) {
  PARALLEL
  for (I block = 0; block < n; block += LANES) {
    const int lanes = n - block < LANES ? (int)(n - block) : LANES;
    S X[3][LANES], GY[NY][LANES], GC[4][LANES], O[3][LANES];
    for (int l = 0; l < LANES; ++l) {
      const I e = block + (l < lanes ? l : 0);
      for (int k = 0; k < 3; ++k) X[k][l] = v[3 * e + k];
      for (int k = 0; k < NY; ++k) GY[k][l] = gy[e * NY + k];
      for (int k = 0; k < 4; ++k) GC[k][l] = gc[e * 4 + k];
    }
    for (int l = 0; l < LANES; ++l) {
      S x[3], g[NY], c[4], o[3];
      for (int k = 0; k < 3; ++k) x[k] = X[k][l];
      for (int k = 0; k < NY; ++k) g[k] = GY[k][l];
      for (int k = 0; k < 4; ++k) c[k] = GC[k][l];
      backward_edge(x, cutoff, knots, g, c, o);
      for (int k = 0; k < 3; ++k) O[k][l] = o[k];
    }
    for (int l = 0; l < lanes; ++l) for (int k = 0; k < 3; ++k) gv[3 * (block + l) + k] = O[k][l];
  }
}
extern "C" void geometry_tangent(I n, const S* v, S cutoff, int knots, const S* a, S* b, S* u, int threads) {
  PARALLEL
  for (I block = 0; block < n; block += LANES) {
    const int lanes = n - block < LANES ? (int)(n - block) : LANES;
    S X[3][LANES], A[3][LANES], B[NY][LANES], U[4][LANES];
    for (int l = 0; l < LANES; ++l) {
      const I e = block + (l < lanes ? l : 0);
      for (int k = 0; k < 3; ++k) { X[k][l] = v[3 * e + k]; A[k][l] = a[3 * e + k]; }
    }
    for (int l = 0; l < LANES; ++l) {
      const S r = root(X[0][l] * X[0][l] + X[1][l] * X[1][l] + X[2][l] * X[2][l]), q = S(1) / r;
      const S x = q * X[0][l], y = q * X[1][l], z = q * X[2][l];
      const S along = x * A[0][l] + y * A[1][l] + z * A[2][l];
      const S dx = q * (A[0][l] - x * along), dy = q * (A[1][l] - y * along), dz = q * (A[2][l] - z * along);
      S h[NY], w[4], d[4];
      radial(r, cutoff, knots, w, d);
      harmonics_jvp(x, y, z, dx, dy, dz, h);
      for (int k = 0; k < NY; ++k) B[k][l] = h[k];
      for (int k = 0; k < 4; ++k) U[k][l] = d[k] * along;
    }
    for (int l = 0; l < lanes; ++l) {
      const I e = block + l;
      for (int k = 0; k < NY; ++k) b[e * NY + k] = B[k][l];
      for (int k = 0; k < 4; ++k) u[e * 4 + k] = U[k][l];
    }
  }
}
