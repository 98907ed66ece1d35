// The forward and the backward pass of crfrnn/cuda/mean_field.hpp, each as a sequence of jobs.
#pragma once

#include <vector>

#include "arena.hpp"
#include "backend.hpp"
#include "checks.hpp"
#include "class_matrix.hpp"
#include "crfrnn/cuda/mean_field.hpp"
#include "lattice_pass.hpp"
#include "mean_field_memory.hpp"
#include "permutohedral.hpp"
#include "pixel_rows.hpp"

namespace crfrnn {
namespace cuda {

// Keeps a copy of the matrices, and their products.
template <typename T>
void copy_matrices(const Backend& backend, const Field<T>& field, const Kept<T>& kept) {
  const std::int64_t size = field.classes * field.classes, sets = field.parameter_sets;
  const int groups = RowShape(field.classes).groups;
  std::vector<CopyNumbers<T>> copies{{field.compatibility, kept.compatibility, sets * size}};
  std::vector<MixingMatrices<T>> products;
  for (std::size_t k = 0; k < field.weights.size(); ++k) {
    T* weights = kept.weights + static_cast<std::int64_t>(k) * sets * size;
    copies.push_back({field.weights[k], weights, sets * size});
    for (std::int64_t set = 0; set < sets; ++set) {
      products.push_back({weights + set * size, kept.compatibility + set * size, kept.forward[set][k],
                          kept.backward[set][k], static_cast<int>(field.classes), groups});
    }
  }
  backend.launch(copies, sets * size);
  backend.launch(products, std::int64_t{kChunk} * kChunk * groups * groups);
}

template <typename T>
ToRows<T> rows_of_planes(const Field<T>& field, const T* planes, T padding, const Lattice<T>& lattice,
                         Chunk<T>* out, Chunk<T>* copy) {
  const std::int64_t pixels = field.pixels();
  ToRows<T> job{};
  job.in = planes;
  job.strides = {field.classes * pixels, pixels, 1};
  job.tiles = tiles_of(field);
  job.channels = static_cast<int>(field.classes);
  job.padding = padding;
  job.corner = lattice.corner;
  job.corners = lattice.corners;
  job.out = out;
  job.copy = copy;
  job.points = points_of(field);
  job.groups = RowShape(field.classes).groups;
  return job;
}

template <typename T>
FromRows<T> planes_of_rows(const Field<T>& field, const Chunk<T>* rows, T* planes) {
  const std::int64_t pixels = field.pixels();
  FromRows<T> job{};
  job.in = rows;
  job.out = planes;
  job.strides = {field.classes * pixels, pixels, 1};
  job.tiles = tiles_of(field);
  job.channels = static_cast<int>(field.classes);
  job.points = points_of(field);
  job.groups = RowShape(field.classes).groups;
  return job;
}

template <typename T>
Finish activation(const Field<T>& field) {
  return field.activation == Activation::kRelu ? Finish::kRelu : Finish::kSoftmax;
}

template <typename T>
void start_rows(const Backend& backend, const Field<T>& field, const ForwardArrays<T>& arrays,
                const RowShape& shape) {
  const Lattice<T>& lattice = arrays.kept.lattices[0];
  const std::int64_t points = points_of(field);
  Chunk<T>* q = arrays.kept.q[0];
  std::vector<ToRows<T>> jobs{
      rows_of_planes<T>(field, field.unary, -kInfinity<T>, lattice, arrays.unary, nullptr)};
  const Chunk<T>* start = arrays.unary;
  if (field.q0 != field.unary) {
    jobs.push_back(rows_of_planes<T>(field, field.q0, -kInfinity<T>, lattice, q, nullptr));
    start = q;
  }
  backend.launch(jobs, points, ToRows<T>::kWidth);
  UpdateArrays<T> to_q;
  to_q.finish = activation(field);
  to_q.start = start;
  to_q.out = q;
  update(backend, {}, to_q, points, shape);
}

template <typename T>
Memory forward_memory(const Field<T>& field, bool keep_state) {
  check_field(field);
  Arena state(nullptr), work(nullptr);
  lay_out_forward(field, keep_state ? &state : nullptr, &work);
  return {state.bytes(), work.bytes()};
}

template <typename T>
void mean_field_forward(const Field<T>& field, T* top, std::int32_t* status, void* state, void* workspace,
                        Stream stream) {
  check_field(field);
  require(field.weights.size() == field.kernels.size(), "mean field needs a matrix of weights per kernel");
  const Backend backend(stream);
  Arena state_arena(state), work(workspace);
  const ForwardArrays<T> arrays = lay_out_forward(field, state ? &state_arena : nullptr, &work);
  const Kept<T>& kept = arrays.kept;
  const RowShape shape(field.classes);
  const std::int64_t points = points_of(field);

  backend.launch(std::vector<Fill>{{status, kFine, field.batch},
                                   {kept.relu, field.activation == Activation::kRelu ? 1 : 0, 1}},
                 field.batch);
  for (std::size_t k = 0; k < field.kernels.size(); ++k) {
    const FieldKernel<T>& kernel = field.kernels[k];
    build_lattice(backend, kernel_points(field, kernel), kernel.normalization, kept.lattices[k],
                  arrays.builds[k], status);
  }
  copy_matrices(backend, field, kept);
  start_rows(backend, field, arrays, shape);
  for (int t = 0; t < field.iterations; ++t) {
    std::vector<VertexRows<T, kChunk>> rows = arrays.rows;
    splat<T, kChunk>(backend, kept.lattices, kept.q[t], before(kept.lattices), shape.groups, shape.width,
                     &rows);
    blur(backend, kept.lattices, false, shape.groups, shape.width, &rows);
    mix(backend, kept.lattices, kept.forward[field.set_of(t)], shape, &rows);
    const bool last = t + 1 == field.iterations;
    UpdateArrays<T> next;
    next.finish = last ? Finish::kNothing : activation(field);
    next.start = arrays.unary;
    next.out = last ? arrays.scores : kept.q[t + 1];
    update(backend, slice_terms(kept.lattices, rows, after(kept.lattices)), next, points, shape);
  }
  const std::vector<FromRows<T>> result{planes_of_rows(field, arrays.scores, top)};
  backend.launch(result, points);
}

// correlation parts (+)= sum_v y[v] x[v]^T for every kernel.
template <typename T>
void correlate(const Backend& backend, const BackwardArrays<T>& arrays,
               const std::vector<VertexRows<T, kChunk>>& y, const std::vector<VertexRows<T, kChunk>>& x,
               int groups, bool add) {
  const int parts = outer_parts(groups);
  std::vector<OuterProducts<T>> jobs;
  for (std::size_t k = 0; k < y.size(); ++k) {
    jobs.push_back(
        {&arrays.kept.lattices[k].counts->vertices, y[k].now, x[k].now, arrays.parts[k], parts, groups, add});
  }
  backend.launch(jobs, std::int64_t{parts} * groups * groups);
}

// correlation = the sum of the parts, for the kernels of one set of parameters.
template <typename T>
void sum_parts(const Backend& backend, const BackwardArrays<T>& arrays, int set, const RowShape& shape) {
  const std::int64_t size = std::int64_t{shape.channels} * shape.channels;
  std::vector<SumParts<T>> sums;
  for (Chunk<T>* parts : arrays.parts) {
    const auto matrix = static_cast<std::int64_t>(set * arrays.parts.size() + sums.size());
    sums.push_back(
        {parts, arrays.correlation + matrix * size, outer_parts(shape.groups), shape.channels, shape.groups});
  }
  backend.launch(sums, size, Lanes::kWidest);
}

template <typename T>
void matrix_gradients(const Backend& backend, const BackwardArrays<T>& arrays,
                      const FieldGradient<T>& gradient, std::int64_t sets, const RowShape& shape) {
  const std::int64_t size = std::int64_t{shape.channels} * shape.channels;
  const Kept<T>& kept = arrays.kept;
  const auto kernels = static_cast<std::int64_t>(arrays.parts.size());
  std::vector<WeightGradient<T>> of_weights;
  std::vector<CompatibilityGradient<T>> of_compatibility;
  for (std::int64_t set = 0; set < sets; ++set) {
    const double* correlation = arrays.correlation + set * kernels * size;
    for (std::size_t k = 0; k < gradient.weights.size(); ++k) {
      if (!gradient.weights[k]) continue;
      of_weights.push_back({kept.compatibility + set * size,
                            correlation + static_cast<std::int64_t>(k) * size,
                            gradient.weights[k] + set * size, shape.channels});
    }
    if (!gradient.compatibility) continue;
    of_compatibility.push_back({kept.weights + set * size, sets * size, correlation,
                                gradient.compatibility + set * size, static_cast<int>(kernels),
                                shape.channels});
  }
  backend.launch(of_weights, size);
  backend.launch(of_compatibility, size);
}

template <typename T>
std::size_t backward_memory(const Field<T>& field, bool weights) {
  check_field(field);
  Arena state(nullptr), work(nullptr);
  lay_out_backward(field, weights, &state, &work);
  return work.bytes();
}

template <typename T>
void mean_field_backward(const Field<T>& field, const void* state, const T* top_diff,
                         const FieldGradient<T>& gradient, void* workspace, Stream stream) {
  check_field(field);
  bool weights = gradient.compatibility != nullptr;
  for (const T* w : gradient.weights) weights = weights || w != nullptr;
  const Backend backend(stream);
  Arena state_arena(state), work(workspace);
  const BackwardArrays<T> arrays = lay_out_backward(field, weights, &state_arena, &work);
  const std::vector<Lattice<T>>& lattices = arrays.kept.lattices;
  const RowShape shape(field.classes);
  const std::int64_t points = points_of(field);

  const std::vector<ToRows<T>> start{
      rows_of_planes(field, top_diff, T(0), lattices[0], arrays.g, arrays.total)};
  backend.launch(start, points, ToRows<T>::kWidth);
  for (int t = field.iterations; t-- > 0;) {
    // The transposed filter splats with the factor after slicing and slices with the one before splatting.
    std::vector<VertexRows<T, kChunk>> rows = arrays.rows;
    splat<T, kChunk>(backend, lattices, arrays.g, after(lattices), shape.groups, shape.width, &rows);
    if (weights) {
      std::vector<VertexRows<T, kChunk>> filtered = arrays.filtered;
      splat<T, kChunk>(backend, lattices, arrays.kept.q[t], before(lattices), shape.groups, shape.width,
                       &filtered);
      blur(backend, lattices, false, shape.groups, shape.width, &filtered);
      const bool shared = field.parameter_sets == 1;
      correlate(backend, arrays, rows, filtered, shape.groups, shared && t + 1 < field.iterations);
      if (!shared || t == 0) sum_parts(backend, arrays, field.set_of(t), shape);
    }
    if (t == 0 && !gradient.q0) break;
    blur(backend, lattices, true, shape.groups, shape.width, &rows);
    mix(backend, lattices, arrays.kept.backward[field.set_of(t)], shape, &rows);
    UpdateArrays<T> next;
    next.finish = Finish::kGradient;
    next.q = arrays.kept.q[t];
    next.was_relu = arrays.kept.relu;
    if (t > 0) next.total = arrays.total;
    next.out = arrays.g;
    update(backend, slice_terms(lattices, rows, before(lattices)), next, points, shape);
  }
  std::vector<FromRows<T>> results;
  if (gradient.q0) results.push_back(planes_of_rows(field, arrays.g, gradient.q0));
  if (gradient.unary) results.push_back(planes_of_rows(field, arrays.total, gradient.unary));
  backend.launch(results, points);
  if (weights) matrix_gradients(backend, arrays, gradient, field.parameter_sets, shape);
}

}  // namespace cuda
}  // namespace crfrnn
