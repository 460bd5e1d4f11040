#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#ifdef _OPENMP
#include <omp.h>
#else
static inline int omp_get_thread_num() { return 0; }
static inline int omp_get_num_threads() { return 1; }
#endif
typedef @SCALAR@ S;
typedef int64_t I;
#if defined(__AVX512F__)
#define REGISTER 64
#elif defined(__AVX__)
#define REGISTER 32
#else
#define REGISTER 16
#endif
constexpr int FULL = REGISTER / sizeof(S), V = FULL < @DIVISOR@ ? FULL : @DIVISOR@;
typedef S v __attribute__((vector_size(V * sizeof(S))));
typedef S vu __attribute__((vector_size(V * sizeof(S)), aligned(sizeof(S)), may_alias));
static inline v ld(const S* p) { return *(const vu*)p; }
static inline v ld(const S* p, I k) { return ld(p + k); }
static inline S at(const S* p, I k) { return p[k]; }
static inline void st(S* p, v a) { *(vu*)p = a; }
static inline void add(S* p, v a) { st(p, ld(p) + a); }
static const v zero = {};
// halves of a beside halves of b: in each block of 2H lanes, H sums of a and then H sums of b
template <int H, int... L> static inline v fold(v a, v b, std::integer_sequence<int, L...>) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(a, b, (L % (2 * H) < H ? L : V + L - H)...) +
         __builtin_shufflevector(a, b, (L % (2 * H) < H ? L + H : V + L)...);
#else
  typedef decltype(a < b) mask;
  return __builtin_shuffle(a, b, mask{(L % (2 * H) < H ? L : V + L - H)...}) +
         __builtin_shuffle(a, b, mask{(L % (2 * H) < H ? L + H : V + L)...});
#endif
}
template <int H> static inline void fold_all(v* a) {
  if constexpr (H > 0) {
    for (int k = 0; k < H; ++k) a[k] = fold<H>(a[k], a[k + H], std::make_integer_sequence<int, V>());
    fold_all<H / 2>(a);
  }
}
// sums over the lanes of each of N vectors
template <int N> static inline void sums(const v* a, S* out) {
  for (int first = 0; first < N; first += V) {
    v b[V];
    for (int k = 0; k < V; ++k) b[k] = first + k < N ? a[first + k] : zero;
    fold_all<V / 2>(b);
    memcpy(out + first, b, sizeof(v));
  }
}
