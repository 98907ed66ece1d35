// Arithmetic on rows of channels: splat, blur, slice, class mixing, soft-max and their gradients.
//
// Built once per instruction set; see rows.hpp for what each function computes.
#include "rows.hpp"

namespace crfrnn {
namespace CRFRNN_ISA {

template <typename T>
void embed(const T* features, int d, const T* scale, Simplices<T>* out);

namespace {

using Index = std::int64_t;

template <typename T>
struct VecOf;
template <>
struct VecOf<float> {
  typedef float Type __attribute__((vector_size(32), aligned(4), may_alias));
  typedef std::uint32_t Bits __attribute__((vector_size(32)));
};
template <>
struct VecOf<double> {
  typedef double Type __attribute__((vector_size(64), aligned(8), may_alias));
};
template <typename T>
using Vec = typename VecOf<T>::Type;

template <typename T>
inline Vec<T>* vec(T* p) {
  return reinterpret_cast<Vec<T>*>(p);
}
template <typename T>
inline const Vec<T>* vec(const T* p) {
  return reinterpret_cast<const Vec<T>*>(p);
}

// Asks for the row that a loop over `listed` will come to `Ahead` places after k. Rows that will be written
// are asked for as such, or the write would have to wait once more.
template <typename T, int V, int Ahead, bool Write = false>
inline void prefetch_row(const T* rows, const std::int32_t* listed, Index k, Index end) {
  constexpr Index kStep =
      static_cast<Index>(64 / sizeof(T)) < kLanes ? kLanes : static_cast<Index>(64 / sizeof(T));
  if (k + Ahead >= end) return;
  const T* row = rows + listed[k + Ahead] * Index{V * kLanes};
  for (Index i = 0; i < V * kLanes; i += kStep) __builtin_prefetch(row + i, Write, Write ? 2 : 3);
}

// Calls f(Vectors<n>()) for a group of n vectors.
template <int kV>
struct Vectors {
  static constexpr int kCount = kV;
};

template <typename F>
inline void for_width(Index width, const F& f) {
  if (width == 3 * kLanes) {
    f(Vectors<3>());
  } else if (width == 2 * kLanes) {
    f(Vectors<2>());
  } else {
    f(Vectors<1>());
  }
}

// ------------------------------------------------------------------------------ between vertices and points

template <typename T, int V>
void gather_rows(const GatherArgs<T>& a) {
  for (Index k = 0; k < a.shares; ++k) {
    prefetch_row<T, V, 40>(a.rows, a.shared, k, a.shares);
    const Vec<T>* row = vec(a.rows + a.shared[k] * Index{V * kLanes});
    for (int i = 0; i < V; ++i) vec(a.ghosts)[k * V + i] = row[i];
  }
}

template <typename T>
void gather(const GatherArgs<T>& a) {
  for_width(a.width, [&](auto vectors) { gather_rows<T, decltype(vectors)::kCount>(a); });
}

// Corners is the number of corners of a simplex, or 0 for any.
template <typename T, int V, int Corners>
void slice_points(const SimplexArgs<T>& a, const T* rows, const T* base, T* out) {
  const int corners = Corners > 0 ? Corners : a.corners;
  Vec<T> factor[V];
  for (int i = 0; i < V; ++i) factor[i] = a.factor ? vec(a.factor)[i] : Vec<T>{} + T(1);
  for (Index p = 0; p < a.count; ++p) {
    const std::int32_t* corner = a.corner + p * corners;
    const T* weight = a.weight + p * corners;
    Vec<T> s[V] = {};
    for (int j = 0; j < corners; ++j) {
      const Vec<T>* row = vec(rows + Index{corner[j]} * (V * kLanes));
      for (int i = 0; i < V; ++i) s[i] += weight[j] * row[i];
    }
    const T scale = a.scale ? a.scale[p] : a.gain;
    for (int i = 0; i < V; ++i) s[i] *= factor[i];
    Vec<T>* o = vec(out + p * a.stride);
    if (base) {
      const Vec<T>* b = vec(base + p * a.stride);
      for (int i = 0; i < V; ++i) o[i] = b[i] + scale * s[i];
    } else {
      for (int i = 0; i < V; ++i) o[i] = scale * s[i];
    }
  }
}

template <typename T, int V, int Corners>
void splat_points(const SimplexArgs<T>& a, const T* in, T* rows) {
  const int corners = Corners > 0 ? Corners : a.corners;
  for (Index p = 0; p < a.count; ++p) {
    const std::int32_t* corner = a.corner + p * corners;
    const T* weight = a.weight + p * corners;
    const T scale = a.scale ? a.scale[p] : a.gain;
    Vec<T> x[V];
    for (int i = 0; i < V; ++i) x[i] = scale * vec(in + p * a.stride)[i];
    for (int j = 0; j < corners; ++j) {
      Vec<T>* row = vec(rows + Index{corner[j]} * (V * kLanes));
      for (int i = 0; i < V; ++i) row[i] += weight[j] * x[i];
    }
  }
}

// Calls f(Vectors<width>(), Corners<n>()): the usual dimensions with the loop over the corners unrolled.
template <int kN>
struct Corners {
  static constexpr int kCount = kN;
};

template <typename T, typename F>
inline void for_simplices(const SimplexArgs<T>& a, const F& f) {
  for_width(a.width, [&](auto vectors) {
    if (a.corners == 3) {
      f(vectors, Corners<3>());
    } else if (a.corners == 6) {
      f(vectors, Corners<6>());
    } else {
      f(vectors, Corners<0>());
    }
  });
}

template <typename T>
void slice(const SimplexArgs<T>& a, const T* rows, const T* base, T* out) {
  for_simplices(a, [&](auto vectors, auto corners) {
    slice_points<T, decltype(vectors)::kCount, decltype(corners)::kCount>(a, rows, base, out);
  });
}

template <typename T>
void splat(const SimplexArgs<T>& a, const T* in, T* rows) {
  for_simplices(a, [&](auto vectors, auto corners) {
    splat_points<T, decltype(vectors)::kCount, decltype(corners)::kCount>(a, in, rows);
  });
}

template <typename T>
void merge(const MergeArgs<T>& a, Index begin, Index end) {
  for_width(a.width, [&](auto vectors) {
    constexpr int kV = decltype(vectors)::kCount;
    const Index last = a.vertices[end].first_place;
    for (Index v = begin; v < end; ++v) {
      Vec<T>* row = vec(a.rows + a.vertices[v].vertex * Index{kV * kLanes});
      Vec<T> sum[kV];
      for (int i = 0; i < kV; ++i) sum[i] = row[i];
      for (Index e = a.vertices[v].first_place; e < a.vertices[v + 1].first_place; ++e) {
        prefetch_row<T, kV, 40, true>(a.ghosts, a.place, e, last);
        const Vec<T>* part = vec(a.ghosts + a.place[e] * Index{kV * kLanes});
        for (int i = 0; i < kV; ++i) sum[i] += part[i];
      }
      for (int i = 0; i < kV; ++i) row[i] = sum[i];
    }
  });
}

// ---------------------------------------------------------------------------------------------------- blur

template <typename T, int V>
void blur_rows(const BlurArgs<T>& a, Index begin, Index end) {
  constexpr Index kWidth = V * kLanes;
  Vec<T> before[V] = {}, here[V], after[V] = {};
  T back = 0;
  Vec<T>* row = vec(a.rows + a.order[begin] * kWidth);
  for (int i = 0; i < V; ++i) here[i] = row[i];
  for (Index k = begin; k < end; ++k) {
    prefetch_row<T, V, 56, true>(a.rows, a.order, k, end);

    // The row after the range belongs to another thread.
    const Index next_k = k + 1 < end ? k + 1 : k;
    Vec<T>* next = vec(a.rows + a.order[next_k] * kWidth);
    for (int i = 0; i < V; ++i) after[i] = next[i];
    const T forth = a.link[k];
    for (int i = 0; i < V; ++i) row[i] = here[i] + back * before[i] + forth * after[i];
    for (int i = 0; i < V; ++i) before[i] = here[i];
    for (int i = 0; i < V; ++i) here[i] = after[i];
    back = forth;
    row = next;
  }
}

template <typename T>
void blur(const BlurArgs<T>& a, Index begin, Index end) {
  if (begin == end) return;
  for_width(a.width, [&](auto vectors) { blur_rows<T, decltype(vectors)::kCount>(a, begin, end); });
}

// -------------------------------------------------------------------------------------------------- mixing

template <typename T, int V, int R>
inline void mix_rows(const MixArgs<T>& a, Index first) {
  const T* in = a.in + first * a.in_stride;
  Vec<T> sum[R][V] = {};
  for (Index c = 0; c < a.channels; ++c) {
    const Vec<T>* m = vec(a.matrix + c * a.matrix_stride);
    for (int r = 0; r < R; ++r) {
      const T x = in[r * a.in_stride + c];
      for (int i = 0; i < V; ++i) sum[r][i] += x * m[i];
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int i = 0; i < V; ++i) vec(a.out + (first + r) * a.out_stride)[i] = sum[r][i];
  }
}

template <typename T>
void mix(const MixArgs<T>& a, Index begin, Index end) {
  for_width(a.width, [&](auto vectors) {
    constexpr int kV = decltype(vectors)::kCount;
    Index i = begin;
    for (; i + 4 <= end; i += 4) mix_rows<T, kV, 4>(a, i);
    for (; i < end; ++i) mix_rows<T, kV, 1>(a, i);
  });
}

// ------------------------------------------------------------------------------------------------ soft-max

inline Vec<float> exp_below_zero(Vec<float> x) {
  using V = Vec<float>;
  using B = VecOf<float>::Bits;  // unsigned, since the shift overflows where the result is not used
  // exp(x) = 2^n exp(r), |r| <= ln(2) / 2, with the Taylor series of exp(r) to r^7: an error below one unit
  // in the last place. ln(2) is split in two so that n ln(2) is exact.
  constexpr float kRound = 12582912.0f;
  const V shifted = x * 1.44269504088896341f + kRound;
  const V n = shifted - kRound;
  const V r = (x - n * 0.693359375f) + n * 2.12194440054690583e-4f;
  V p = r * (1.0f / 5040.0f) + (1.0f / 720.0f);
  p = p * r + (1.0f / 120.0f);
  p = p * r + (1.0f / 24.0f);
  p = p * r + (1.0f / 6.0f);
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const B power = ((B)shifted << 23) + (B)p;
  // Below the smallest normal number the shift above is meaningless; NaN stays NaN.
  const B tiny = (B)(x < -87.0f);
  return (V)(power & ~tiny);
}

inline Vec<double> exp_below_zero(Vec<double> x) {
  Vec<double> y;
  for (int i = 0; i < kLanes; ++i) y[i] = __builtin_exp(x[i]);
  return y;
}

template <typename T>
inline T reduce_max(Vec<T> v) {
  T half[kLanes / 2];
  for (int i = 0; i < kLanes / 2; ++i) half[i] = v[i] > v[i + 4] ? v[i] : v[i + 4];
  const T a = half[0] > half[2] ? half[0] : half[2], b = half[1] > half[3] ? half[1] : half[3];
  return a > b ? a : b;
}

template <typename T>
inline T reduce_sum(Vec<T> v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

// The soft-max of up to kRows rows, step by step: the steps of one row wait for each other, those of many
// rows do not. Vectors is the number of vectors of a row, or 0 for any.
constexpr Index kRows = 16;

template <typename T, int Vectors>
inline void softmax_rows(T* rows, Index any_vectors, Index count) {
  const Index vectors = Vectors > 0 ? Vectors : any_vectors;
  T top[kRows];
  Vec<T> sum[kRows];
  for (Index r = 0; r < count; ++r) {
    const Vec<T>* v = vec(rows) + r * vectors;
    Vec<T> high = v[0];
    for (Index i = 1; i < vectors; ++i) high = v[i] > high ? v[i] : high;
    top[r] = reduce_max<T>(high);
  }
  for (Index r = 0; r < count; ++r) {
    Vec<T>* v = vec(rows) + r * vectors;
    Vec<T> s = {};
    for (Index i = 0; i < vectors; ++i) {
      const Vec<T> e = exp_below_zero(v[i] - top[r]);
      v[i] = e;
      s += e;
    }
    sum[r] = s;
  }
  for (Index r = 0; r < count; ++r) {
    Vec<T>* v = vec(rows) + r * vectors;
    const T factor = T(1) / reduce_sum<T>(sum[r]);
    for (Index i = 0; i < vectors; ++i) v[i] *= factor;
  }
}

template <typename T>
void softmax(T* rows, Index stride, Index count) {
  for (Index first = 0; first < count; first += kRows) {
    const Index n = count - first < kRows ? count - first : kRows;
    if (stride == kGroup) {
      softmax_rows<T, 3>(rows + first * stride, 3, n);
    } else {
      softmax_rows<T, 0>(rows + first * stride, stride / kLanes, n);
    }
  }
}

template <typename T>
void softmax_gradient(const T* q, T* rows, Index stride, Index count) {
  const Index vectors = stride / kLanes;
  for (Index p = 0; p < count; ++p) {
    Vec<T>* s = vec(rows + p * stride);
    const Vec<T>* probability = vec(q + p * stride);
    Vec<T> dot = {};
    for (Index i = 0; i < vectors; ++i) dot += probability[i] * s[i];
    const T inner = reduce_sum<T>(dot);
    for (Index i = 0; i < vectors; ++i) s[i] = probability[i] * (s[i] - inner);
  }
}

template <typename T>
void tops(const T* rows, Index stride, Index count, T* found) {
  const Index vectors = stride / kLanes;
  for (Index p = 0; p < count; ++p) {
    const Vec<T>* v = vec(rows + p * stride);
    Vec<T> high = v[0];
    for (Index i = 1; i < vectors; ++i) high = v[i] > high ? v[i] : high;
    found[p] = reduce_max<T>(high);
  }
}

template <typename T>
void approach(const NearestArgs<T>& a, Index count) {
  for (Index i = 0; i < a.stride / kLanes; ++i) {
    Vec<T> nearest = vec(a.nearest)[i];
    const Vec<T> lift = vec(a.lift)[i];
    for (Index p = 0; p < count; ++p) {
      const Vec<T> could = vec(a.start + p * a.stride)[i] + lift;
      const Vec<T> is = vec(a.rows + p * a.stride)[i];
      const Vec<T> below = (could > is ? could : is) - a.tops[p];
      nearest = below > nearest ? below : nearest;
    }
    vec(a.nearest)[i] = nearest;
  }
}

template <typename T>
void add(const T* in, T* rows, Index stride, Index count) {
  for (Index i = 0; i < count * stride / kLanes; ++i) vec(rows)[i] += vec(in)[i];
}

// ------------------------------------------------------------------------------------------ outer products

template <typename T, int V, int R>
inline void outer_block(const OuterArgs<T>& a, Index channel, Index first, Index rows) {
  const T* y = a.y + first * a.y_width + channel;
  const T* x = a.x + first * (V * kLanes);
  T* sum = a.sum + channel * a.sum_stride;
  Vec<T> s[R][V];
  for (int r = 0; r < R; ++r) {
    for (int i = 0; i < V; ++i) s[r][i] = vec(sum + r * a.sum_stride)[i];
  }
  for (Index k = 0; k < rows; ++k) {
    const Vec<T>* xs = vec(x + k * (V * kLanes));
    for (int r = 0; r < R; ++r) {
      const T factor = y[k * a.y_width + r];
      for (int i = 0; i < V; ++i) s[r][i] += factor * xs[i];
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int i = 0; i < V; ++i) vec(sum + r * a.sum_stride)[i] = s[r][i];
  }
}

template <typename T>
void outer(const OuterArgs<T>& a, Index begin, Index end) {
  constexpr Index kRows = 128;  // of both operands stay in the first-level cache while all columns are done
  for_width(a.x_width, [&](auto vectors) {
    constexpr int kV = decltype(vectors)::kCount;
    for (Index first = begin; first < end; first += kRows) {
      const Index rows = end - first < kRows ? end - first : kRows;
      Index c = 0;
      for (; c + 4 <= a.channels; c += 4) outer_block<T, kV, 4>(a, c, first, rows);
      for (; c < a.channels; ++c) outer_block<T, kV, 1>(a, c, first, rows);
    }
  });
}

}  // namespace

#define CRFRNN_NAME_OF(isa) #isa
#define CRFRNN_NAME(isa) CRFRNN_NAME_OF(isa)

template <typename T>
RowOps<T> table() {
  RowOps<T> ops{};
  ops.isa = CRFRNN_NAME(CRFRNN_ISA);
  ops.embed = embed<T>;
  ops.gather = gather<T>;
  ops.slice = slice<T>;
  ops.splat = splat<T>;
  ops.merge = merge<T>;
  ops.blur = blur<T>;
  ops.mix = mix<T>;
  ops.outer = outer<T>;
  ops.softmax = softmax<T>;
  ops.softmax_gradient = softmax_gradient<T>;
  ops.tops = tops<T>;
  ops.approach = approach<T>;
  ops.add = add<T>;
  return ops;
}

template RowOps<float> table<float>();
template RowOps<double> table<double>();

}  // namespace CRFRNN_ISA
}  // namespace crfrnn
