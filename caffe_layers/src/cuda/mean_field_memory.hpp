// Where the arrays of a forward and of a backward pass of mean_field.hpp lie.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "arena.hpp"
#include "backend.hpp"
#include "crfrnn/cuda/mean_field.hpp"
#include "lattice_pass.hpp"
#include "permutohedral.hpp"

namespace crfrnn {
namespace cuda {

template <typename T>
std::int64_t points_of(const Field<T>& field) {
  return field.batch * field.pixels();
}

template <typename T>
Tiles tiles_of(const Field<T>& field) {
  return {static_cast<std::int32_t>(field.width), static_cast<std::int32_t>(field.height)};
}

template <typename T>
Points<T> kernel_points(const Field<T>& field, const FieldKernel<T>& kernel) {
  const KernelFeatures<T>& from = kernel.features;
  const std::int64_t pixels = field.pixels();
  Points<T> points{};
  points.values = from.values;
  points.channels = static_cast<int>(from.channels);
  points.strides = {kernel.shared ? 0 : from.channels * pixels, pixels, 1};
  points.theta = static_cast<T>(from.theta);
  points.theta_x = static_cast<T>(from.theta_x);
  points.theta_y = static_cast<T>(from.theta_y);
  points.position = from.has_position();
  points.mask = field.mask;
  points.images = field.batch;
  points.tiles = tiles_of(field);
  return points;
}

// What backward needs of a forward pass.
template <typename T>
struct Kept {
  std::vector<Lattice<T>> lattices;
  T* weights;          // kernels x parameter_sets x classes x classes
  T* compatibility;    // parameter_sets x classes x classes
  std::int32_t* relu;  // 1 if that is the activation
  // Mixing matrices, for every set of parameters one for each kernel.
  std::vector<std::vector<Chunk<T>*>> forward;
  std::vector<std::vector<Chunk<T>*>> backward;
  std::vector<Chunk<T>*> q;  // of every iteration, or one that all share
};

template <typename T>
Kept<T> lay_out_kept(const Field<T>& field, bool every_q, Arena* arena) {
  const RowShape shape(field.classes);
  const auto kernels = static_cast<std::int64_t>(field.kernels.size());
  Kept<T> kept{};
  for (const FieldKernel<T>& kernel : field.kernels) {
    kept.lattices.push_back(lay_out_lattice(kernel_points(field, kernel), kernel.normalization, arena));
  }
  const std::int64_t matrices = field.parameter_sets * field.classes * field.classes;
  kept.weights = arena->take<T>(kernels * matrices);
  kept.compatibility = arena->take<T>(matrices);
  kept.relu = arena->take<std::int32_t>(1);
  for (auto* mixing : {&kept.forward, &kept.backward}) {
    mixing->resize(field.parameter_sets);
    for (std::vector<Chunk<T>*>& set : *mixing) {
      for (std::int64_t k = 0; k < kernels; ++k) {
        set.push_back(arena->take<Chunk<T>>(std::int64_t{kChunk} * shape.groups * shape.groups));
      }
    }
  }
  for (int t = 0; t < field.iterations; ++t) {
    const bool own = every_q || t == 0;
    kept.q.push_back(own ? arena->take<Chunk<T>>(points_of(field) * shape.groups) : kept.q[0]);
  }
  return kept;
}

template <typename T>
struct ForwardArrays {
  Kept<T> kept;
  std::vector<BuildArrays<T>> builds;
  Chunk<T>* unary;   // points
  Chunk<T>* scores;  // points
  std::vector<VertexRows<T, kChunk>> rows;
};

// `state` null: what backward would need lies in the workspace, and only one Q.
template <typename T>
ForwardArrays<T> lay_out_forward(const Field<T>& field, Arena* state, Arena* work) {
  const int groups = RowShape(field.classes).groups;
  ForwardArrays<T> arrays{};
  arrays.kept = lay_out_kept(field, state != nullptr, state ? state : work);
  // The lattices are built one after the other, before the first row is written.
  const std::size_t begin = work->mark();
  for (const Lattice<T>& lattice : arrays.kept.lattices) {
    arrays.builds.push_back(lay_out_build(lattice, work));
    work->rewind(begin);
  }
  arrays.unary = work->template take<Chunk<T>>(points_of(field) * groups);
  arrays.scores = state ? work->template take<Chunk<T>>(points_of(field) * groups) : arrays.kept.q.back();
  arrays.rows = lay_out_vertex_rows(arrays.kept.lattices, groups, work);
  return arrays;
}

// How many shares the vertices are divided into for the outer products: enough to fill a device where there
// are few classes, few enough for little memory where there are many.
inline int outer_parts(int groups) {
  const std::int64_t parts = (std::int64_t{1} << 18) / (std::int64_t{groups} * groups);
  return static_cast<int>(std::max<std::int64_t>(1, std::min<std::int64_t>(1024, parts)));
}

template <typename T>
struct BackwardArrays {
  Kept<T> kept;
  Chunk<T>* g;      // points: with respect to the scores of an iteration
  Chunk<T>* total;  // points: with respect to the unaries
  std::vector<VertexRows<T, kChunk>> rows;
  std::vector<VertexRows<T, kChunk>> filtered;
  std::vector<Chunk<T>*> parts;
  double* correlation;  // parameter_sets x kernels x classes x classes: sum_t sum_points G_t F_k^T
};

template <typename T>
BackwardArrays<T> lay_out_backward(const Field<T>& field, bool weights, Arena* state, Arena* work) {
  const int groups = RowShape(field.classes).groups;
  BackwardArrays<T> arrays{};
  arrays.kept = lay_out_kept(field, true, state);
  arrays.g = work->template take<Chunk<T>>(points_of(field) * groups);
  arrays.total = work->template take<Chunk<T>>(points_of(field) * groups);
  arrays.rows = lay_out_vertex_rows(arrays.kept.lattices, groups, work);
  if (!weights) return arrays;
  arrays.filtered = lay_out_vertex_rows(arrays.kept.lattices, groups, work);
  for (std::size_t k = 0; k < field.kernels.size(); ++k) {
    arrays.parts.push_back(
        work->template take<Chunk<T>>(std::int64_t{outer_parts(groups)} * kChunk * groups * groups));
  }
  arrays.correlation = work->template take<double>(
      field.parameter_sets * static_cast<std::int64_t>(field.kernels.size()) * field.classes * field.classes);
  return arrays;
}

}  // namespace cuda
}  // namespace crfrnn
