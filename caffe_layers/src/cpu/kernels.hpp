// The inner loops, compiled once per instruction set and chosen at run time.
//
// One source file built several times with different compiler flags (rather than function multi-versioning,
// which needs ifunc and does not reach through templates, or a SIMD library as a dependency). The files that
// are built this way may include nothing that defines functions, so that no code for a newer processor leaks
// into the rest of the program.
//
// A row is the values of all channels at one point or vertex, padded to `stride` elements (a multiple of
// kLanes).
#pragma once

#include <cstdint>

#include "crfrnn/limits.hpp"

namespace crfrnn {

// How many points an embedding kernel takes at a time.
constexpr int kEmbedPoints = 16;

// The enclosing simplex of kEmbedPoints points, structure of arrays. Coordinate i of the corner of remainder
// 0 is base[i]; rank[i] is the place of coordinate i when the differences to it are sorted in descending
// order.
template <typename T>
struct Simplices {
  std::int32_t base[kMaxDimension + 1][kEmbedPoints];
  std::int32_t rank[kMaxDimension + 1][kEmbedPoints];
  T barycentric[kMaxDimension + 1][kEmbedPoints];
};

// splat: for v in [begin, end): out[v] = sum of weight * (scale ? scale[point] : 1) * in[point] over v's
// entries.
template <typename T>
struct SplatArgs {
  const std::int32_t* row_begin;
  const std::int32_t* entry_point;
  const T* entry_weight;
  const T* scale;
  const T* in;
  T* out;
  std::int64_t stride;
};

// blur: rows[order[i]] += link[i - 1] * rows[order[i - 1]] + link[i] * rows[order[i + 1]], all right-hand
// sides old. [begin, end) must start and end at the ends of chains.
template <typename T>
struct BlurArgs {
  const std::int32_t* order;
  const T* link;
  T* rows;
  std::int64_t stride;
};

// One kernel's contribution to a point: scale[p] * sum_j weight[p, j] * rows[corner[p, j]], then times `mix`
// if given.
template <typename T>
struct SliceTerm {
  const std::int32_t* corner;
  const T* weight;
  const T* scale;  // per point
  int corners;
  const T* rows;
  const T* mix;  // channels x stride, input channel major, or null
};

// Forward: out = start + sum of the terms; with `softmax` its soft-max over the row.
// Backward (q given): out = q * (s - <q, s>) with s the sum of the terms; with `total` also total += out.
template <typename T>
struct UpdateArgs {
  const SliceTerm<T>* terms;
  int term_count;
  const T* start;
  const T* q;
  T* total;
  T* out;
  T* scratch;  // 2 * kUpdateRows rows, one scratch per concurrent call
  std::int64_t stride;
  std::int64_t channels;
  bool softmax;
};

constexpr std::int64_t kUpdateRows = 32;

template <typename T>
struct Kernels {
  // features: kEmbedPoints x d. scale: d factors of the elevation.
  void (*embed)(const T* features, int d, const T* scale, Simplices<T>* out);
  void (*splat)(const SplatArgs<T>& args, std::int64_t begin, std::int64_t end);
  void (*blur)(const BlurArgs<T>& args, std::int64_t begin, std::int64_t end);
  // rows[i] = rows[i] * mix for i in [begin, end); scratch: 4 rows.
  void (*mix)(T* rows, const T* mix, std::int64_t channels, std::int64_t stride, T* scratch,
              std::int64_t begin, std::int64_t end);
  void (*update)(const UpdateArgs<T>& args, std::int64_t begin, std::int64_t end);
  void (*softmax)(T* rows, std::int64_t stride, std::int64_t begin, std::int64_t end);
  // sum[c] += y[i][c] * x[i] for i in [begin, end), c < channels; sum: channels x stride.
  void (*outer)(const T* y, const T* x, T* sum, std::int64_t channels, std::int64_t stride,
                std::int64_t begin, std::int64_t end);
};

// The kernels for this processor. CRFRNN_ISA=baseline|avx2 in the environment asks for a lesser set.
template <typename T>
const Kernels<T>& kernels();

}  // namespace crfrnn
