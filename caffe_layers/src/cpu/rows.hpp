// The inner loops, compiled once per instruction set and chosen at run time.
//
// One source file built several times with different compiler flags (rather than function multi-versioning,
// which needs ifunc and does not reach through templates, or a SIMD library as a dependency). The files that
// are built this way may include nothing that defines functions, so that no code for a newer processor leaks
// into the rest of the program.
//
// A row is the values of all channels at one point or vertex, padded to `stride` elements (a multiple of
// kLanes). Rows of vertices are stored in groups of at most kGroup channels (the last group may be narrower):
// all rows of the first group, then all of the second, so that with many classes the rows that a block of
// points reads still fit a cache.
#pragma once

#include <cstdint>

#include "crfrnn/lattice_block.hpp"
#include "crfrnn/limits.hpp"

namespace crfrnn {

// How many points are embedded at a time.
constexpr int kEmbedPoints = 16;

// The enclosing simplex of kEmbedPoints points, structure of arrays. Coordinate i of the corner of remainder
// 0 is at[i].base; at[i].rank is the place of coordinate i when the differences to it are sorted in
// descending order. What few dimensions need lies together, however many there may be.
template <typename T>
struct Simplices {
  struct {
    std::int32_t base[kEmbedPoints];
    std::int32_t rank[kEmbedPoints];
    T barycentric[kEmbedPoints];
  } at[kMaxDimension + 1];
};

// Channels per group of vertex rows: three vectors of every instruction set, as many accumulators as fit the
// registers.
constexpr std::int64_t kGroup = 3 * kLanes;

// gather: ghosts[k] = rows[shared[k]], k < shares.
template <typename T>
struct GatherArgs {
  const T* rows;
  const std::int32_t* shared;
  std::int64_t shares;
  std::int64_t width;
  T* ghosts;
};

// slice: out[p] = base[p] + s f sum_j weight[p, j] rows[corner[p, j]], base null for zero, with s = scale[p],
// or `gain` where scale is null, and f a factor per channel, or 1 where null.
// splat: rows[corner[p, j]] += s weight[p, j] in[p].
template <typename T>
struct SimplexArgs {
  const std::int32_t* corner;
  const T* weight;
  const T* scale;
  T gain;
  const T* factor;
  int corners;
  std::int64_t count;   // of points
  std::int64_t width;   // of the vertices' rows, and how much of a point's row is read or written
  std::int64_t stride;  // between the rows of points
};

// merge: rows[vertex] += the rows of its ghosts, for shared vertices [begin, end).
template <typename T>
struct MergeArgs {
  const SharedVertex* vertices;
  const std::int32_t* place;  // of them among ghosts
  const T* ghosts;
  T* rows;
  std::int64_t width;
};

// blur: rows[order[i]] += link[i - 1] * rows[order[i - 1]] + link[i] * rows[order[i + 1]], all right-hand
// sides old. [begin, end) must start and end at the ends of chains.
template <typename T>
struct BlurArgs {
  const std::int32_t* order;
  const T* link;
  T* rows;
  std::int64_t width;
};

// mix: out[i] = in[i] * matrix, for a group of the output's channels. In place if the row is one group.
template <typename T>
struct MixArgs {
  const T* in;
  std::int64_t in_stride;
  const T* matrix;  // channels x matrix_stride, input channel major, from the group's first column on
  std::int64_t matrix_stride;
  std::int64_t channels;
  T* out;
  std::int64_t out_stride;
  std::int64_t width;
};

// outer: sum[c] += y[i][c] * x[i] for i in [begin, end), c < channels.
template <typename T>
struct OuterArgs {
  const T* y;
  std::int64_t y_width;
  std::int64_t channels;
  const T* x;
  std::int64_t x_width;
  T* sum;
  std::int64_t sum_stride;
};

// approach: nearest[c] = max(nearest[c], max(rows[p][c], start[p][c] + lift[c]) - tops[p]).
template <typename T>
struct NearestArgs {
  const T* rows;
  const T* start;
  const T* lift;
  const T* tops;
  std::int64_t stride;
  T* nearest;
};

// The loops as one instruction set computes them.
template <typename T>
struct RowOps {
  const char* isa;  // its name
  // features: kEmbedPoints x d. scale: d factors of the elevation.
  void (*embed)(const T* features, int d, const T* scale, Simplices<T>* out);
  void (*gather)(const GatherArgs<T>& args);
  void (*slice)(const SimplexArgs<T>& args, const T* rows, const T* base, T* out);
  void (*splat)(const SimplexArgs<T>& args, const T* in, T* rows);
  void (*merge)(const MergeArgs<T>& args, std::int64_t begin, std::int64_t end);
  void (*blur)(const BlurArgs<T>& args, std::int64_t begin, std::int64_t end);
  void (*mix)(const MixArgs<T>& args, std::int64_t begin, std::int64_t end);
  void (*outer)(const OuterArgs<T>& args, std::int64_t begin, std::int64_t end);
  // The following change `count` rows.
  void (*softmax)(T* rows, std::int64_t stride, std::int64_t count);
  // rows = q * (rows - <q, rows>), the gradient of the soft-max with result q.
  void (*softmax_gradient)(const T* q, T* rows, std::int64_t stride, std::int64_t count);
  // tops = the largest value of each row.
  void (*tops)(const T* rows, std::int64_t stride, std::int64_t count, T* tops);
  void (*approach)(const NearestArgs<T>& args, std::int64_t count);
  void (*add)(const T* in, T* rows, std::int64_t stride, std::int64_t count);
};

// The loops for this processor. CRFRNN_ISA=baseline|avx2 in the environment asks for a lesser set.
template <typename T>
const RowOps<T>& row_ops();

}  // namespace crfrnn
