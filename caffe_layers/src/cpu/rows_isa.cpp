// Arithmetic on rows of channels: splat, blur, slice, class mixing, soft-max and their gradients.
//
// Built once per instruction set; see kernels.hpp for what each kernel computes.
#include "kernels.hpp"

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
  typedef std::int32_t Mask __attribute__((vector_size(32)));
};
template <>
struct VecOf<double> {
  typedef double Type __attribute__((vector_size(64), aligned(8), may_alias));
  typedef std::int64_t Mask __attribute__((vector_size(64)));
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

template <typename T>
inline void prefetch_row(const T* row, int vectors) {
  for (int i = 0; i < vectors;
       i += static_cast<int>(64 / (sizeof(T) * kLanes) ? 64 / (sizeof(T) * kLanes) : 1)) {
    __builtin_prefetch(row + i * kLanes);
  }
}

// Calls f<vectors>(first element) over the columns of a row, three vectors at a time: as many accumulators as
// fit the registers of every instruction set, and few enough columns for the rows of many classes to stay in
// the cache.
template <int kV>
struct Columns {
  static constexpr int kVectors = kV;
};

template <typename F>
inline void for_columns(Index stride, const F& f) {
  Index column = 0;
  for (; column + 3 * kLanes <= stride; column += 3 * kLanes) f(Columns<3>(), column);
  if (stride - column == 2 * kLanes) f(Columns<2>(), column);
  if (stride - column == kLanes) f(Columns<1>(), column);
}

// ---------------------------------------------------------------------------------------------------- splat,
// blur

template <typename T, int V, bool Scaled>
void splat_columns(const SplatArgs<T>& a, Index begin, Index end, Index column) {
  constexpr Index kAhead = 12;
  const T* in = a.in + column;
  const Index last = a.row_begin[end];
  for (Index v = begin; v < end; ++v) {
    Vec<T> sum[V] = {};
    for (Index e = a.row_begin[v]; e < a.row_begin[v + 1]; ++e) {
      if (e + kAhead < last) prefetch_row(in + a.entry_point[e + kAhead] * a.stride, V);
      const Index point = a.entry_point[e];
      const Vec<T>* row = vec(in + point * a.stride);
      T weight = a.entry_weight[e];
      if (Scaled) weight *= a.scale[point];
      for (int i = 0; i < V; ++i) sum[i] += weight * row[i];
    }
    Vec<T>* out = vec(a.out + v * a.stride + column);
    for (int i = 0; i < V; ++i) out[i] = sum[i];
  }
}

template <typename T>
void splat(const SplatArgs<T>& a, Index begin, Index end) {
  for_columns(a.stride, [&](auto columns, Index column) {
    constexpr int kV = decltype(columns)::kVectors;
    if (a.scale) {
      splat_columns<T, kV, true>(a, begin, end, column);
    } else {
      splat_columns<T, kV, false>(a, begin, end, column);
    }
  });
}

template <typename T, int V>
void blur_columns(const BlurArgs<T>& a, Index begin, Index end, Index column) {
  constexpr Index kAhead = 12;
  T* rows = a.rows + column;
  Vec<T> before[V] = {}, here[V], after[V] = {};
  T back = 0;
  Vec<T>* row = vec(rows + a.order[begin] * a.stride);
  for (int i = 0; i < V; ++i) here[i] = row[i];
  for (Index k = begin; k < end; ++k) {
    if (k + kAhead < end) prefetch_row(rows + a.order[k + kAhead] * a.stride, V);
    // The row after the range belongs to another thread.
    const Index next_k = k + 1 < end ? k + 1 : k;
    Vec<T>* next = vec(rows + a.order[next_k] * a.stride);
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
  for_columns(a.stride, [&](auto columns, Index column) {
    blur_columns<T, decltype(columns)::kVectors>(a, begin, end, column);
  });
}

// --------------------------------------------------------------------------------------------------------
// mixing

template <typename T, int V, int R>
inline void mix_rows(const T* in, const T* mix, Index channels, Index stride, T* out) {
  Vec<T> sum[R][V] = {};
  for (Index c = 0; c < channels; ++c) {
    const Vec<T>* m = vec(mix + c * stride);
    for (int r = 0; r < R; ++r) {
      const T x = in[r * stride + c];
      for (int i = 0; i < V; ++i) sum[r][i] += x * m[i];
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int i = 0; i < V; ++i) vec(out + r * stride)[i] = sum[r][i];
  }
}

template <typename T, int R>
inline void mix_block(T* rows, const T* mix, Index channels, Index stride, T* scratch) {
  const T* in = rows;
  if (stride > 3 * kLanes) {
    // Several column groups: the first result must not overwrite what the second reads.
    for (Index i = 0; i < R * stride; ++i) scratch[i] = rows[i];
    in = scratch;
  }
  for_columns(stride, [&](auto columns, Index column) {
    mix_rows<T, decltype(columns)::kVectors, R>(in, mix + column, channels, stride, rows + column);
  });
}

template <typename T>
void mix(T* rows, const T* mix, Index channels, Index stride, T* scratch, Index begin, Index end) {
  Index i = begin;
  for (; i + 4 <= end; i += 4) mix_block<T, 4>(rows + i * stride, mix, channels, stride, scratch);
  for (; i < end; ++i) mix_block<T, 1>(rows + i * stride, mix, channels, stride, scratch);
}

// -------------------------------------------------------------------------------------------------------
// soft-max

inline Vec<float> exp_below_zero(Vec<float> x) {
  using V = Vec<float>;
  using M = VecOf<float>::Mask;
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
  const M power = ((M)shifted << 23) + (M)p;
  // Below the smallest normal number the shift above is meaningless; NaN stays NaN.
  const M tiny = x < -87.0f;
  return (V)(power & ~tiny);
}

inline Vec<double> exp_below_zero(Vec<double> x) {
  Vec<double> y;
  for (int i = 0; i < kLanes; ++i) y[i] = __builtin_exp(x[i]);
  return y;
}

template <typename T>
inline T reduce_max(Vec<T> v) {
  T m = v[0];
  for (int i = 1; i < kLanes; ++i) m = v[i] > m ? v[i] : m;
  return m;
}

template <typename T>
inline T reduce_sum(Vec<T> v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

template <typename T>
inline void softmax_row(T* row, Index vectors) {
  Vec<T>* v = vec(row);
  Vec<T> high = v[0];
  for (Index i = 1; i < vectors; ++i) high = v[i] > high ? v[i] : high;
  const T top = reduce_max<T>(high);
  Vec<T> sum = {};
  for (Index i = 0; i < vectors; ++i) {
    const Vec<T> e = exp_below_zero(v[i] - top);
    v[i] = e;
    sum += e;
  }
  const T factor = T(1) / reduce_sum<T>(sum);
  for (Index i = 0; i < vectors; ++i) v[i] *= factor;
}

template <typename T>
void softmax(T* rows, Index stride, Index begin, Index end) {
  for (Index i = begin; i < end; ++i) softmax_row(rows + i * stride, stride / kLanes);
}

// ----------------------------------------------------------------------------------------------------------
// slice

template <typename T, int V>
inline void slice_row(const SliceTerm<T>& term, Index point, Index stride, Index column, Vec<T>* sum) {
  const std::int32_t* corner = term.corner + point * term.corners;
  const T* weight = term.weight + point * term.corners;
  const T* rows = term.rows + column;
  Vec<T> s[V] = {};
  for (int j = 0; j < term.corners; ++j) {
    const Vec<T>* row = vec(rows + corner[j] * stride);
    for (int i = 0; i < V; ++i) s[i] += weight[j] * row[i];
  }
  const T scale = term.scale[point];
  for (int i = 0; i < V; ++i) sum[i] += scale * s[i];
}

// out rows [0, count) = start (or zero) + the terms that were mixed at the vertices, or that one term which
// was not.
template <typename T>
void slice_block(const UpdateArgs<T>& a, const SliceTerm<T>* only, const T* start, Index first, Index count,
                 T* out) {
  for_columns(a.stride, [&](auto columns, Index column) {
    constexpr int kV = decltype(columns)::kVectors;
    for (Index p = 0; p < count; ++p) {
      Vec<T> sum[kV] = {};
      if (start) {
        const Vec<T>* s = vec(start + (first + p) * a.stride + column);
        for (int i = 0; i < kV; ++i) sum[i] = s[i];
      }
      if (only) {
        slice_row<T, kV>(*only, first + p, a.stride, column, sum);
      } else {
        for (int t = 0; t < a.term_count; ++t) {
          if (!a.terms[t].mix) slice_row<T, kV>(a.terms[t], first + p, a.stride, column, sum);
        }
      }
      Vec<T>* o = vec(out + p * a.stride + column);
      for (int i = 0; i < kV; ++i) o[i] = sum[i];
    }
  });
}

template <typename T>
void update_block(const UpdateArgs<T>& a, Index first, Index count) {
  const Index vectors = a.stride / kLanes;
  T* out = a.out + first * a.stride;
  slice_block<T>(a, nullptr, a.start, first, count, out);
  for (int t = 0; t < a.term_count; ++t) {
    if (!a.terms[t].mix) continue;
    T* sliced = a.scratch;
    slice_block<T>(a, &a.terms[t], nullptr, first, count, sliced);
    mix<T>(sliced, a.terms[t].mix, a.channels, a.stride, a.scratch + kUpdateRows * a.stride, 0, count);
    for (Index i = 0; i < count * vectors; ++i) vec(out)[i] += vec(sliced)[i];
  }
  if (a.q) {
    for (Index p = 0; p < count; ++p) {
      Vec<T>* s = vec(out + p * a.stride);
      const Vec<T>* q = vec(a.q + (first + p) * a.stride);
      Vec<T> dot = {};
      for (Index i = 0; i < vectors; ++i) dot += q[i] * s[i];
      const T inner = reduce_sum<T>(dot);
      for (Index i = 0; i < vectors; ++i) s[i] = q[i] * (s[i] - inner);
      if (a.total) {
        Vec<T>* total = vec(a.total + (first + p) * a.stride);
        for (Index i = 0; i < vectors; ++i) total[i] += s[i];
      }
    }
  } else if (a.softmax) {
    softmax<T>(out, a.stride, 0, count);
  }
}

template <typename T>
void update(const UpdateArgs<T>& a, Index begin, Index end) {
  for (Index first = begin; first < end; first += kUpdateRows) {
    update_block<T>(a, first, end - first < kUpdateRows ? end - first : kUpdateRows);
  }
}

// ------------------------------------------------------------------------------------------------- outer
// products

template <typename T, int V, int R>
inline void outer_block(const T* y, const T* x, T* sum, Index stride, Index rows) {
  Vec<T> s[R][V];
  for (int r = 0; r < R; ++r) {
    for (int i = 0; i < V; ++i) s[r][i] = vec(sum + r * stride)[i];
  }
  for (Index k = 0; k < rows; ++k) {
    const Vec<T>* xs = vec(x + k * stride);
    for (int r = 0; r < R; ++r) {
      const T factor = y[k * stride + r];
      for (int i = 0; i < V; ++i) s[r][i] += factor * xs[i];
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int i = 0; i < V; ++i) vec(sum + r * stride)[i] = s[r][i];
  }
}

template <typename T>
void outer(const T* y, const T* x, T* sum, Index channels, Index stride, Index begin, Index end) {
  constexpr Index kRows = 128;  // of both operands stay in the first-level cache while all columns are done
  for (Index first = begin; first < end; first += kRows) {
    const Index rows = end - first < kRows ? end - first : kRows;
    for_columns(stride, [&](auto columns, Index column) {
      constexpr int kV = decltype(columns)::kVectors;
      const T* xs = x + first * stride + column;
      Index c = 0;
      for (; c + 4 <= channels; c += 4) {
        outer_block<T, kV, 4>(y + first * stride + c, xs, sum + c * stride + column, stride, rows);
      }
      for (; c < channels; ++c) {
        outer_block<T, kV, 1>(y + first * stride + c, xs, sum + c * stride + column, stride, rows);
      }
    });
  }
}

}  // namespace

template <typename T>
Kernels<T> table() {
  return {embed<T>, splat<T>, blur<T>, mix<T>, update<T>, softmax<T>, outer<T>};
}

template Kernels<float> table<float>();
template Kernels<double> table<double>();

}  // namespace CRFRNN_ISA
}  // namespace crfrnn
