constexpr S GAMMA = S(@GATE@), TAU = S(@PSEUDOSCALAR@);
enum Kind { SCALARS, GATED, PSEUDOSCALARS };
// one irrep: 2l+1, channels of messages, of sums, of results and of the connected features, and where its gates begin
struct Irrep { I d, c, w, f, kind, gate, j; };
constexpr int MOST = 16, GROUPS = 12;
struct Update {
  I atoms, n, species_count, mixes; double scale; Irrep k[MOST];
  I start[MOST], row;  // place of an irrep in an atom's row of sums, and the row's length: all padded
  const I* species; S *added, *sums, *turned, *extra, *for_added;
  S *group[GROUPS][MOST];
};
enum Group { MESSAGES, FEATURES, OUTWARD, CONNECTING, INWARD, FOR_FEATURES, FOR_MIXED, TO_FEATURES, TO_OTHER,
             GRAD_OUTWARD, GRAD_CONNECTING, GRAD_INWARD };

// rows of an irrep of the atoms of a block
struct Atoms { const I* index; I count; };
struct Rows {
  const S* p[MAX_ROWS];
  operator const S* const*() const { return p; }
  S* const* out() const { return (S* const*)p; }
};
static void rows_of(Rows& r, const Atoms& a, const S* base, I per_atom, I d, I step) {
  for (I q = 0, n = 0; q < a.count; ++q) for (I m = 0; m < d; ++m) r.p[n++] = base + a.index[q] * per_atom + m * step;
}
static void rows_in_block(Rows& r, const Atoms& a, const S* base, I per_atom, I d, I step) {
  for (I q = 0, n = 0; q < a.count; ++q) for (I m = 0; m < d; ++m) r.p[n++] = base + q * per_atom + m * step;
}
// packed matrices: of each irrep Wout, Wsc of each species, and Win
struct Packed { S *out[MOST], *in[MOST], *connecting[MOST]; S* memory; };
static bool pack_all(const Update& u, Packed& p, bool transposed, bool outward, bool connecting, bool inward) {
  I size = 0;
  for (I k = 0; k < u.n; ++k) {
    const Irrep& i = u.k[k];
    size += (i.c + V) * (i.w + V) + u.species_count * (i.j + V) * (i.w + V) + (i.f + V) * (i.f + V);
  }
  S* m = p.memory = (S*)malloc(size * sizeof(S) + 64);
  if (!m) return false;
  for (I k = 0; k < u.n; ++k) {
    const Irrep& i = u.k[k];
    p.out[k] = m;
    if (outward) {
      if (transposed) pack(u.group[OUTWARD][k], i.w, i.c, i.w, true, (S)u.scale, m);
      else pack(u.group[OUTWARD][k], i.c, i.w, i.w, false, (S)u.scale, m);
    }
    m += transposed ? i.w * padded(i.c) : i.c * padded(i.w);
    p.connecting[k] = m;
    if (i.j) for (I s = 0; s < u.species_count; ++s) {
      const S* w = u.group[CONNECTING][k] + s * i.w;
      if (connecting) {
        if (transposed) pack(w, i.w, i.j, u.species_count * i.w, true, S(1), m);
        else pack(w, i.j, i.w, u.species_count * i.w, false, S(1), m);
      }
      m += transposed ? i.w * padded(i.j) : i.j * padded(i.w);
    }
    p.in[k] = m;
    if (u.mixes && inward) pack(u.group[INWARD][k], i.f, i.f, i.f, transposed, S(1), m);
    m += i.f * padded(i.f);
  }
  return true;
}
// gradients of matrices: a thread's own, in rows of padded length
struct Sums { S *out[MOST], *in[MOST], *connecting[MOST]; S* memory; };
static bool allocate(const Update& u, Sums& g) {
  I size = 0;
  for (I k = 0; k < u.n; ++k) {
    const Irrep& i = u.k[k];
    size += (i.c + u.species_count * i.j) * padded(i.w) + i.f * padded(i.f);
  }
  S* m = g.memory = (S*)calloc(size + 16, sizeof(S));
  for (I k = 0; m && k < u.n; ++k) {
    const Irrep& i = u.k[k];
    g.out[k] = m; m += i.c * padded(i.w);
    g.connecting[k] = m; m += u.species_count * i.j * padded(i.w);
    g.in[k] = m; m += i.f * padded(i.f);
  }
  return g.memory;
}
static void write(S* o, I k, I n, I stride, const S* s, S scale) {
  for (I i = 0; i < k; ++i) for (I j = 0; j < n; ++j) o[i * stride + j] = scale * s[i * padded(n) + j];
}
static void add_all(const Update& u, Sums* g, int threads) {
  I size = 0;
  for (I k = 0; k < u.n; ++k)
    size += (u.k[k].c + u.species_count * u.k[k].j) * padded(u.k[k].w) + u.k[k].f * padded(u.k[k].f);
  for (int t = 1; t < threads; ++t) for (I q = 0; q < size; ++q) g[0].memory[q] += g[t].memory[q];
  for (I k = 0; k < u.n; ++k) {
    const Irrep& i = u.k[k];
    if (u.group[GRAD_OUTWARD][k]) write(u.group[GRAD_OUTWARD][k], i.c, i.w, i.w, g[0].out[k], (S)u.scale);
    if (u.group[GRAD_INWARD][k]) write(u.group[GRAD_INWARD][k], i.f, i.f, i.f, g[0].in[k], S(1));
    if (u.group[GRAD_CONNECTING][k]) for (I s = 0; s < u.species_count; ++s)
      write(u.group[GRAD_CONNECTING][k] + s * i.w, i.j, i.w, u.species_count * i.w,
            g[0].connecting[k] + s * i.j * padded(i.w), S(1));
  }
}
// memory of one thread for one block
struct Room { S *made, *first, *second, *copy; };

// sums of a block: messages Wout + features Wsc + added
static void sums_of(const Update& u, const Packed& p, const Atoms& a, I species, S* to, bool in_block) {
  Rows m, f, start, o;
  for (I k = 0; k < u.n; ++k) {
    const Irrep& i = u.k[k];
    const S *messages = u.group[MESSAGES][k], *features = i.j ? u.group[FEATURES][k] : nullptr;
    const bool adds = k == 0 && u.added;
    if (messages) rows_of(m, a, messages, i.d * i.c, i.d, i.c);
    if (features) rows_of(f, a, features, i.d * i.j, i.d, i.j);
    if (adds) rows_of(start, a, u.added, i.w, 1, 0);
    if (in_block) rows_in_block(o, a, to + u.start[k], u.row, i.d, padded(i.w));
    else rows_of(o, a, to + u.start[k], u.row, i.d, padded(i.w));
    const Factor first{m, messages ? i.c : 0, p.out[k]};
    const Factor second{f, features ? i.j : 0, p.connecting[k] + species * i.j * padded(i.w)};
    product(a.count * i.d, i.w, first, second, adds ? (const S* const*)start : nullptr, o.out());
  }
}
// scale·silu of the scalars, and its first and second derivative, for one atom
static inline void activate(I n, const S* x, S* value, S* slope, S* curve) {
  for (I s = 0; s < n; s += V) {
    const v a = ld(x + s), g = sigmoid(a), h = S(1) - g;
    st(value + s, GAMMA * (a * g));
    if (slope) st(slope + s, GAMMA * (g * (S(1) + a * h)));
    if (curve) st(curve + s, GAMMA * (g * h * (S(2) + a * (h - g))));
  }
}
static inline v tanh_of(v x) { for (int l = 0; l < V; ++l) x[l] = std::tanh(x[l]); return x; }

// results of an irrep from the sums of an atom: o rows of `step` numbers
static inline void results(const Update& u, I k, const S* sums, const S* value, S* o, I step) {
  const Irrep& i = u.k[k];
  for (I m = 0; m < i.d; ++m) for (I s = 0; s < i.f; s += V) {
    const v x = i.kind == SCALARS ? zero : part(sums + u.start[k] + m * padded(i.w) + s, i.f - s);
    const v y = i.kind == SCALARS ? ld(value + s)
              : i.kind == GATED ? x * part(value + i.gate + s, i.f - s) : TAU * tanh_of(x);
    put(o + m * step + s, y, i.f - s);
  }
}
static void mix(const Update& u, const Packed& p, const Atoms& a) {
  Rows f, o;
  for (I k = 0; u.mixes && k < u.n; ++k) {
    const Irrep& i = u.k[k];
    rows_of(f, a, u.group[TO_FEATURES][k], i.d * i.f, i.d, i.f);
    rows_of(o, a, u.group[TO_OTHER][k], i.d * i.f, i.d, i.f);
    product(a.count * i.d, i.f, Factor{f, i.f, p.in[k]}, Factor{f, 0, nullptr}, nullptr, o.out());
  }
}
static void forward_block(const Update& u, const Packed& p, const Atoms& a, I species, Room& room, Sums*) {
  sums_of(u, p, a, species, u.sums, false);
  for (I q = 0; q < a.count; ++q) {
    const S* x = u.sums + a.index[q] * u.row;
    activate(padded(u.k[0].w), x, room.copy, nullptr, nullptr);
    for (I k = 0; k < u.n; ++k)
      results(u, k, x, room.copy, u.group[TO_FEATURES][k] + a.index[q] * u.k[k].d * u.k[k].f, u.k[k].f);
  }
  mix(u, p, a);
}
// rows of a tensor (atoms, d, n) whose numbers up to the padded end may be read
static void readable(Rows& r, const Atoms& a, const S* base, I d, I n, S* copy) {
  if (n % V == 0) { rows_of(r, a, base, d * n, d, n); return; }
  for (I q = 0; q < a.count; ++q) for (I m = 0; m < d; ++m) {
    S* o = copy + (q * d + m) * padded(n);
    for (I s = 0; s < n; s += V) st(o + s, part(base + (a.index[q] * d + m) * n + s, n - s));
  }
  rows_in_block(r, a, copy, d * padded(n), d, padded(n));
}
static void gradients(const Update& u, const Atoms& a, I species, const S* back, Sums& g) {
  Rows x, y;
  for (I k = 0; k < u.n; ++k) {
    const Irrep& i = u.k[k];
    rows_in_block(y, a, back + u.start[k], u.row, i.d, padded(i.w));
    if (u.group[GRAD_OUTWARD][k] && u.group[MESSAGES][k]) {
      rows_of(x, a, u.group[MESSAGES][k], i.d * i.c, i.d, i.c);
      outer(a.count * i.d, x, i.c, y, padded(i.w), g.out[k]);
    }
    if (u.group[GRAD_CONNECTING][k] && u.group[FEATURES][k]) {
      rows_of(x, a, u.group[FEATURES][k], i.d * i.j, i.d, i.j);
      outer(a.count * i.d, x, i.j, y, padded(i.w), g.connecting[k] + species * i.j * padded(i.w));
    }
  }
}
// gradient of Win of irrep k, from rows x of results or of their directions
static void inward_gradient(const Update& u, I k, const Atoms& a, const Rows& x, Sums& g, S* copy) {
  Rows y;
  readable(y, a, u.group[FOR_MIXED][k], u.k[k].d, u.k[k].f, copy);
  outer(a.count * u.k[k].d, x, u.k[k].f, y, padded(u.k[k].f), g.in[k]);
}
static void backward_block(const Update& u, const Packed& p, const Atoms& a, I species, Room& room, Sums* g) {
  Rows x, y, z;
  S *total = u.turned, *back = room.first;
  const bool local = !total;
  if (local) total = room.second;
  for (I k = 0; k < u.n; ++k) {
    const Irrep& i = u.k[k];
    const S *start = u.group[FOR_FEATURES][k], *mixed = u.mixes ? u.group[FOR_MIXED][k] : nullptr;
    if (mixed) rows_of(x, a, mixed, i.d * i.f, i.d, i.f);
    if (start) rows_of(y, a, start, i.d * i.f, i.d, i.f);
    if (local) rows_in_block(z, a, total + u.start[k], u.row, i.d, padded(i.w));
    else rows_of(z, a, total + u.start[k], u.row, i.d, padded(i.w));
    product(a.count * i.d, i.f, Factor{x, mixed ? i.f : 0, p.in[k]}, Factor{x, 0, nullptr},
            start ? (const S* const*)y : nullptr, z.out());
  }
  const I wide = padded(u.k[0].w) + V;
  S *value = room.copy, *slope = value + wide;
  for (I q = 0; q < a.count; ++q) {
    const I atom = a.index[q];
    const S *o = u.sums + atom * u.row, *extra = u.extra ? u.extra + atom * u.row : nullptr;
    S *t = total + (local ? q : atom) * u.row, *r = back + q * u.row;
    activate(padded(u.k[0].w), o, value, slope, nullptr);
    for (I k = 0; k < u.n; ++k) {
      const Irrep& i = u.k[k];
      const I at = u.start[k], step = padded(i.w);
      for (I s = 0; i.kind != SCALARS && s < i.f; s += V) {
        v sum = zero;
        const v gate = i.kind == GATED ? part(value + i.gate + s, i.f - s) : zero;
        for (I m = 0; m < i.d; ++m) {
          const I place = at + m * step + s;
          const v tk = ld(t + place), ok = ld(o + place);
          v made;
          if (i.kind == GATED) { sum += tk * ok; made = tk * gate; }
          else { const v y = tanh_of(ok); made = TAU * tk * (S(1) - y * y); }
          st(r + place, extra ? made + ld(extra + place) : made);
        }
        if (i.kind == GATED) put(t + i.gate + s, sum, i.f - s);
      }
    }
    for (I s = 0; s < u.k[0].w; s += V) {
      const v made = ld(t + s) * ld(slope + s);
      st(r + s, extra ? made + ld(extra + s) : made);
    }
    if (u.for_added) memcpy(u.for_added + atom * u.k[0].w, r, u.k[0].w * sizeof(S));
    if (g && u.group[GRAD_INWARD][0]) for (I k = 0; k < u.n; ++k)
      results(u, k, o, value, room.made + q * u.row + u.start[k], padded(u.k[k].w));
  }
  for (I k = 0; k < u.n; ++k) {
    const Irrep& i = u.k[k];
    rows_in_block(x, a, back + u.start[k], u.row, i.d, padded(i.w));
    const Factor none{x, 0, nullptr};
    if (u.group[TO_OTHER][k]) {
      rows_of(y, a, u.group[TO_OTHER][k], i.d * i.c, i.d, i.c);
      product(a.count * i.d, i.c, Factor{x, i.w, p.out[k]}, none, nullptr, y.out());
    }
    if (i.j && u.group[TO_FEATURES][k]) {
      rows_of(y, a, u.group[TO_FEATURES][k], i.d * i.j, i.d, i.j);
      const Factor f{x, i.w, p.connecting[k] + species * i.w * padded(i.j)};
      product(a.count * i.d, i.j, f, none, nullptr, y.out());
    }
  }
  if (!g) return;
  gradients(u, a, species, back, *g);
  for (I k = 0; u.mixes && k < u.n; ++k) if (u.group[GRAD_INWARD][k] && u.group[FOR_MIXED][k]) {
    rows_in_block(x, a, room.made + u.start[k], u.row, u.k[k].d, padded(u.k[k].w));
    inward_gradient(u, k, a, x, *g, room.copy);
  }
}
static void double_block(const Update& u, const Packed& p, const Atoms& a, I species, Room& room, Sums* g) {
  Rows x;
  S *along = room.first, *back = room.second;
  sums_of(u, p, a, species, along, true);
  const I wide = padded(u.k[0].w) + V;
  S *value = room.copy, *slope = value + wide, *curve = slope + wide, *turn = curve + wide;
  for (I q = 0; q < a.count; ++q) {
    const I atom = a.index[q];
    const S *o = u.sums + atom * u.row, *t = u.turned + atom * u.row, *d = along + q * u.row;
    S *h = back + q * u.row, *e = u.extra + atom * u.row;
    activate(padded(u.k[0].w), o, value, slope, curve);
    for (I s = 0; s < u.k[0].w; s += V) {
      const v ds = ld(d + s), ts = ld(t + s), ss = ld(slope + s);
      st(turn + s, ss * ds);
      st(h + s, ts * ss);
      st(e + s, ts * ld(curve + s) * ds);
    }
    for (I s = 0; s < u.k[0].f; s += V)
      put(u.group[TO_FEATURES][0] + atom * u.k[0].f + s, ld(turn + s), u.k[0].f - s);
    for (I k = 0; k < u.n; ++k) {
      const Irrep& i = u.k[k];
      S* to = u.group[TO_FEATURES][k] + atom * i.d * i.f;
      for (I s = 0; i.kind != SCALARS && s < i.f; s += V) {
        v sum = zero;
        const bool gated = i.kind == GATED;
        const v gate = gated ? part(value + i.gate + s, i.f - s) : zero;
        const v moved = gated ? part(turn + i.gate + s, i.f - s) : zero;
        for (I m = 0; m < i.d; ++m) {
          const I place = u.start[k] + m * padded(i.w) + s;
          const v tk = ld(t + place), ok = ld(o + place), dk = ld(d + place);
          if (gated) {
            sum += tk * dk;
            st(h + place, tk * gate);
            st(e + place, tk * moved);
            put(to + m * i.f + s, dk * gate + ok * moved, i.f - s);
          } else {
            const v y = tanh_of(ok), first = TAU * (S(1) - y * y);
            st(h + place, tk * first);
            st(e + place, tk * dk * (S(-2) * y * first));
            put(to + m * i.f + s, dk * first, i.f - s);
          }
        }
        if (gated) {
          const v before = part(e + i.gate + s, i.f - s);
          put(e + i.gate + s, before + sum * part(slope + i.gate + s, i.f - s), i.f - s);
        }
      }
    }
  }
  mix(u, p, a);
  if (!g) return;
  gradients(u, a, species, back, *g);
  for (I k = 0; u.mixes && k < u.n; ++k) if (u.group[GRAD_INWARD][k] && u.group[FOR_MIXED][k]) {
    rows_of(x, a, u.group[TO_FEATURES][k], u.k[k].d * u.k[k].f, u.k[k].d, u.k[k].f);
    inward_gradient(u, k, a, x, *g, room.copy);
  }
}
typedef void (*Step)(const Update&, const Packed&, const Atoms&, I, Room&, Sums*);

static int run(const void* const* p, const I* numbers, double scale, I atoms, int threads, Step step, bool transposed) {
  Update u;
  u.atoms = atoms; u.scale = scale; u.n = *numbers++; u.mixes = *numbers++; u.species_count = *numbers++;
  u.row = 0;
  for (I k = 0; k < u.n; ++k) {
    Irrep& i = u.k[k];
    i.d = *numbers++; i.c = *numbers++; i.w = *numbers++; i.f = *numbers++; i.kind = *numbers++; i.gate = *numbers++;
    i.j = *numbers++;
    u.start[k] = u.row;
    u.row += i.d * padded(i.w);
  }
  u.species = (const I*)*p++; u.added = (S*)*p++; u.sums = (S*)*p++; u.turned = (S*)*p++; u.extra = (S*)*p++;
  u.for_added = (S*)*p++;
  for (int g = 0; g < GROUPS; ++g) for (I k = 0; k < u.n; ++k) u.group[g][k] = (S*)*p++;
  bool wanted = false, outward = false, connecting = false;
  for (I k = 0; k < u.n; ++k) {
    wanted = wanted || u.group[GRAD_OUTWARD][k] || u.group[GRAD_CONNECTING][k] || u.group[GRAD_INWARD][k];
    outward = outward || !transposed || u.group[TO_OTHER][k];
    connecting = connecting || !transposed || u.group[TO_FEATURES][k];
  }
  // atoms by species
  I* order = (I*)malloc((atoms + u.species_count + 1) * sizeof(I));
  Packed packed;
  if (!order || !pack_all(u, packed, transposed, outward, connecting, true)) { free(order); return 1; }
  I *begin = order + atoms, count = 0;
  for (I s = 0; s <= u.species_count; ++s) begin[s] = 0;
  for (I q = 0; q < atoms; ++q) ++begin[(u.species ? u.species[q] : 0) + 1];
  for (I s = 0; s < u.species_count; ++s) begin[s + 1] += begin[s];
  for (I q = 0; q < atoms; ++q) order[begin[u.species ? u.species[q] : 0]++] = q;
  for (I s = u.species_count; s > 0; --s) begin[s] = begin[s - 1];
  begin[0] = 0;
  for (I s = 0; s < u.species_count; ++s) count += (begin[s + 1] - begin[s] + BLOCK - 1) / BLOCK;
  if (threads > count / 2) threads = count > 1 ? (int)(count / 2) : 1;
  Sums* sums = wanted ? (Sums*)calloc(threads, sizeof(Sums)) : nullptr;
  int failed = wanted && !sums, team = 1;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const int thread = omp_get_thread_num(), all = omp_get_num_threads();
    const I wide = padded(u.k[0].w) + V;
    I widest = 4 * wide;
    for (I k = 0; k < u.n; ++k) {
      const I numbers = BLOCK * u.k[k].d * padded(u.k[k].f);
      if (numbers > widest) widest = numbers;
    }
    S* memory = (S*)malloc((3 * BLOCK * u.row + widest + 4 * V) * sizeof(S));
    const bool good = memory && (!sums || allocate(u, sums[thread]));
#pragma omp atomic
    failed += !good;
#pragma omp barrier
    if (!failed) {
      if (thread == 0) team = all;
      Room room{memory, memory + BLOCK * u.row, memory + 2 * BLOCK * u.row, memory + 3 * BLOCK * u.row};
      const I first = count * thread / all, last = count * (thread + 1) / all;
      I number = 0;
      for (I s = 0; s < u.species_count; ++s) for (I q = begin[s]; q < begin[s + 1]; q += BLOCK, ++number)
        if (number >= first && number < last) {
          const I left = begin[s + 1] - q;
          step(u, packed, Atoms{order + q, left < BLOCK ? left : BLOCK}, s, room, sums ? sums + thread : nullptr);
        }
    }
    free(memory);
  }
  if (!failed && sums) add_all(u, sums, team);
  if (sums) for (int t = 0; t < threads; ++t) free(sums[t].memory);
  free(sums); free(packed.memory); free(order);
  return failed != 0;
}
extern "C" int update_lanes() { return V; }
extern "C" int update_forward(const void* const* p, const I* n, double scale, I atoms, int threads) {
  return run(p, n, scale, atoms, threads, forward_block, false);
}
extern "C" int update_backward(const void* const* p, const I* n, double scale, I atoms, int threads) {
  return run(p, n, scale, atoms, threads, backward_block, true);
}
extern "C" int update_double(const void* const* p, const I* n, double scale, I atoms, int threads) {
  return run(p, n, scale, atoms, threads, double_block, false);
}
