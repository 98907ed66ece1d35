// The passes of mean_field.hpp as a sequence of jobs.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "arena.hpp"
#include "backend.hpp"
#include "crfrnn/cuda/mean_field.hpp"
#include "lattice.hpp"
#include "matrices.hpp"
#include "rows.hpp"

namespace crfrnn {
namespace cuda {

// ------------------------------------------------------------------------------------------------- checks

inline void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

inline void check_theta(const char* name, double theta) {
  require(std::isfinite(theta) && theta > 0,
          std::string(name) + " must be finite and greater than 0, got " + std::to_string(theta));
}

inline void check_channels(std::int64_t channels) {
  require(channels >= 1 && channels <= kMaxClasses, "there must be 1 to " + std::to_string(kMaxClasses) +
                                                        " channels on a CUDA device, got " +
                                                        std::to_string(channels));
}

inline void check_dimension(std::int64_t d) {
  require(d >= 1 && d <= kMaxDimension, "a kernel must have 1 to " + std::to_string(kMaxDimension) +
                                            " features, the position included, got " + std::to_string(d));
}

inline void check_points(std::int64_t points, std::int64_t d) {
  require(points >= 1, "there must be at least one point to filter");
  require(points <= std::numeric_limits<std::int32_t>::max() / (d + 1),
          std::to_string(points) + " points in " + std::to_string(d) +
              " dimensions are too many for 32-bit vertex numbers: compute fewer images at a time");
}

template <typename T>
void check_kernel(const KernelFeatures<T>& features, std::int64_t points) {
  const bool position = features.theta_x != 0 || features.theta_y != 0;
  if (position) {
    check_theta("theta of the position", features.theta_x);
    check_theta("theta of the position", features.theta_y);
  }
  if (features.channels > 0) check_theta("theta of the features", features.theta);
  const std::int64_t d = features.channels + (position ? 2 : 0);
  check_dimension(d);
  check_points(points, d);
}

template <typename T>
void check_field(const Field<T>& field) {
  require(field.batch >= 1 && field.height >= 1 && field.width >= 1,
          "mean field needs at least one image and one pixel");
  check_channels(field.classes);
  require(field.iterations >= 1,
          "the number of iterations must be at least 1, got " + std::to_string(field.iterations));
  require(!field.kernels.empty() && field.kernels.size() <= kMaxKernels,
          "mean field on a CUDA device needs 1 to " + std::to_string(kMaxKernels) + " kernels, got " +
              std::to_string(field.kernels.size()));
  require(field.height <= std::numeric_limits<std::int32_t>::max() / field.width &&
              field.batch <= std::numeric_limits<std::int32_t>::max() / (field.height * field.width),
          "the images of a batch have more than 2^31 pixels: compute fewer at a time");
  require(field.parameter_sets == 1 || field.parameter_sets == field.iterations,
          "there are " + std::to_string(field.parameter_sets) + " sets of parameters, but " +
              std::to_string(field.iterations) + " iterations: give one set for all, or one for each");
  for (const Kernel<T>& kernel : field.kernels) {
    check_kernel(kernel.features, field.batch * field.height * field.width);
  }
}

// ------------------------------------------------------------------------------------------------- sizes

// How rows of `channels` are cut into chunks and shared among lanes.
struct RowShape {
  explicit RowShape(std::int64_t channels)
      : channels(static_cast<int>(channels)), groups((static_cast<int>(channels) + kChunk - 1) / kChunk) {
    while (width < groups && width < Lanes::kWidest) width *= 2;
  }
  int channels;
  int groups;
  int width = 1;  // lanes
};

template <typename T>
std::int64_t points_of(const Field<T>& field) {
  return field.batch * field.height * field.width;
}

template <typename T>
Tiles tiles_of(const Field<T>& field) {
  return {static_cast<std::int32_t>(field.width), static_cast<std::int32_t>(field.height)};
}

// Which set of parameters iteration t (from 0) has.
template <typename T>
int set_of(const Field<T>& field, int t) {
  return field.parameter_sets == 1 ? 0 : t;
}

template <typename T>
Points<T> kernel_points(const Field<T>& field, const Kernel<T>& kernel) {
  const KernelFeatures<T>& from = kernel.features;
  const std::int64_t pixels = field.height * field.width;
  Points<T> points{};
  points.values = from.values;
  points.channels = static_cast<int>(from.channels);
  points.strides = {kernel.shared ? 0 : from.channels * pixels, pixels, 1};
  points.theta = static_cast<T>(from.theta);
  points.theta_x = static_cast<T>(from.theta_x);
  points.theta_y = static_cast<T>(from.theta_y);
  points.position = from.theta_x != 0 || from.theta_y != 0;
  points.mask = field.mask;
  points.images = field.batch;
  points.tiles = tiles_of(field);
  return points;
}

// ------------------------------------------------------------------------------------------------- arrays

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
  for (const Kernel<T>& kernel : field.kernels) {
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
std::vector<VertexRows<T, kChunk>> lay_out_vertex_rows(const std::vector<Lattice<T>>& lattices, int groups,
                                                       Arena* arena) {
  std::vector<VertexRows<T, kChunk>> rows;
  for (const Lattice<T>& lattice : lattices) rows.push_back(lay_out_rows<T, kChunk>(lattice, groups, arena));
  return rows;
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

// ------------------------------------------------------------------------------------------------- steps

struct Fill {
  std::int32_t* to;
  std::int32_t value;
  std::int64_t count;
  CRFRNN_DEVICE std::int64_t size() const { return count; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t i) const { to[i] = value; }
};

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
  const std::int64_t pixels = field.height * field.width;
  return {planes,
          {field.classes * pixels, pixels, 1},
          tiles_of(field),
          static_cast<int>(field.classes),
          padding,
          lattice.corner,
          lattice.corners,
          out,
          copy,
          points_of(field),
          RowShape(field.classes).groups};
}

template <typename T>
FromRows<T> planes_of_rows(const Field<T>& field, const Chunk<T>* rows, T* planes) {
  const std::int64_t pixels = field.height * field.width;
  return {rows,
          planes,
          {field.classes * pixels, pixels, 1},
          tiles_of(field),
          static_cast<int>(field.classes),
          points_of(field),
          RowShape(field.classes).groups};
}

template <typename T>
void mix(const Backend& backend, const std::vector<Lattice<T>>& lattices,
         const std::vector<Chunk<T>*>& matrices, const RowShape& shape,
         std::vector<VertexRows<T, kChunk>>* rows) {
  std::vector<Mix<T>> jobs;
  std::int64_t items = 0;
  for (std::size_t k = 0; k < lattices.size(); ++k) {
    VertexRows<T, kChunk>& r = (*rows)[k];
    jobs.push_back({&lattices[k].counts->vertices, matrices[k], r.now, r.other, shape.groups});
    r.exchange();
    items = std::max(items, lattices[k].most_vertices / Mix<T>::kRows + 1);
  }
  backend.launch(jobs, items, shape.width);
}

// What Update gets beside the terms.
template <typename T>
struct UpdateArrays {
  Finish finish;
  const Chunk<T>* start;
  const Chunk<T>* q;
  const std::int32_t* was_relu;
  Chunk<T>* total;
  Chunk<T>* out;
};

template <typename T, int kPerLane>
void update_with(const Backend& backend, const std::vector<SliceTerm<T>>& terms,
                 const UpdateArrays<T>& arrays, std::int64_t points, const RowShape& shape) {
  std::vector<Update<T, kPerLane>> job(1);
  std::copy(terms.begin(), terms.end(), job[0].term);
  job[0].terms = static_cast<int>(terms.size());
  job[0].finish = arrays.finish;
  job[0].start = arrays.start;
  job[0].q = arrays.q;
  job[0].was_relu = arrays.was_relu;
  job[0].total = arrays.total;
  job[0].out = arrays.out;
  job[0].points = points;
  job[0].groups = shape.groups;
  backend.launch(job, points, shape.width);
}

template <typename T>
void update(const Backend& backend, const std::vector<SliceTerm<T>>& terms, const UpdateArrays<T>& arrays,
            std::int64_t points, const RowShape& shape) {
  constexpr int kMany = 8, kMost = kMaxClasses / kChunk / Lanes::kWidest;
  if (shape.groups <= shape.width) {
    update_with<T, 1>(backend, terms, arrays, points, shape);
  } else if (shape.groups <= kMany * shape.width) {
    update_with<T, kMany>(backend, terms, arrays, points, shape);
  } else {
    update_with<T, kMost>(backend, terms, arrays, points, shape);
  }
}

template <typename T>
std::vector<SliceTerm<T>> slice_terms(const std::vector<Lattice<T>>& lattices,
                                      const std::vector<VertexRows<T, kChunk>>& rows,
                                      const std::vector<const T*>& scale) {
  std::vector<SliceTerm<T>> terms;
  for (std::size_t k = 0; k < lattices.size(); ++k) {
    terms.push_back({lattices[k].corner, scale[k], rows[k].now, lattices[k].corners});
  }
  return terms;
}

template <typename T>
std::vector<const T*> before(const std::vector<Lattice<T>>& lattices) {
  std::vector<const T*> factors;
  for (const Lattice<T>& lattice : lattices) factors.push_back(lattice.before);
  return factors;
}

template <typename T>
std::vector<const T*> after(const std::vector<Lattice<T>>& lattices) {
  std::vector<const T*> factors;
  for (const Lattice<T>& lattice : lattices) factors.push_back(lattice.after);
  return factors;
}

// ------------------------------------------------------------------------------------------------- forward

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
  update(backend, {}, UpdateArrays<T>{activation(field), start, nullptr, nullptr, nullptr, q}, points, shape);
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
    const Kernel<T>& kernel = field.kernels[k];
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
    mix(backend, kept.lattices, kept.forward[set_of(field, t)], shape, &rows);
    const bool last = t + 1 == field.iterations;
    update(backend, slice_terms(kept.lattices, rows, after(kept.lattices)),
           UpdateArrays<T>{last ? Finish::kNothing : activation(field), arrays.unary, nullptr, nullptr,
                           nullptr, last ? arrays.scores : kept.q[t + 1]},
           points, shape);
  }
  const std::vector<FromRows<T>> result{planes_of_rows(field, arrays.scores, top)};
  backend.launch(result, points);
}

// ------------------------------------------------------------------------------------------------- backward

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
                      const KernelFieldGradient<T>& gradient, std::int64_t sets, const RowShape& shape) {
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
                         const KernelFieldGradient<T>& gradient, void* workspace, Stream stream) {
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
      if (!shared || t == 0) sum_parts(backend, arrays, set_of(field, t), shape);
    }
    if (t == 0 && !gradient.q0) break;
    blur(backend, lattices, true, shape.groups, shape.width, &rows);
    mix(backend, lattices, arrays.kept.backward[set_of(field, t)], shape, &rows);
    update(backend, slice_terms(lattices, rows, before(lattices)),
           UpdateArrays<T>{Finish::kGradient, nullptr, arrays.kept.q[t], arrays.kept.relu,
                           t > 0 ? arrays.total : nullptr, arrays.g},
           points, shape);
  }
  std::vector<FromRows<T>> results;
  if (gradient.q0) results.push_back(planes_of_rows(field, arrays.g, gradient.q0));
  if (gradient.unary) results.push_back(planes_of_rows(field, arrays.total, gradient.unary));
  backend.launch(results, points);
  if (weights) matrix_gradients(backend, arrays, gradient, field.parameter_sets, shape);
}

// ---------------------------------------------------------------------------------------------- the filter

template <typename T>
struct FilterArrays {
  Lattice<T> lattice;
  BuildArrays<T> build;
  Chunk<T>* rows;  // points
  std::vector<VertexRows<T, kChunk>> vertex_rows;
};

template <typename T>
Points<T> table_points(const T* features, std::int64_t count, int dimension) {
  Points<T> points{};
  points.values = features;
  points.channels = dimension;
  points.strides = {0, 1, dimension};
  points.theta = T(1);
  points.images = 1;
  points.tiles = {1, static_cast<std::int32_t>(count)};
  return points;
}

template <typename T>
FilterArrays<T> lay_out_filter(const Points<T>& points, int groups, Arena* work) {
  FilterArrays<T> arrays{};
  arrays.lattice = lay_out_lattice(points, Normalization::kNone, work);
  const std::size_t begin = work->mark();
  arrays.build = lay_out_build(arrays.lattice, work);
  work->rewind(begin);
  arrays.rows = work->template take<Chunk<T>>(points.count() * groups);
  arrays.vertex_rows = lay_out_vertex_rows<T>({arrays.lattice}, groups, work);
  return arrays;
}

inline void check_filter(std::int64_t points, int dimension, std::int64_t channels) {
  check_dimension(dimension);
  check_channels(channels);
  check_points(points, dimension);
}

template <typename T>
std::size_t filter_memory(std::int64_t points, int dimension, std::int64_t channels) {
  check_filter(points, dimension, channels);
  Arena work(nullptr);
  lay_out_filter(table_points<T>(nullptr, points, dimension), RowShape(channels).groups, &work);
  return work.bytes();
}

template <typename T>
void permutohedral_filter(const T* in, const T* features, T* out, std::int32_t* status, std::int64_t points,
                          int dimension, std::int64_t channels, bool reverse, void* workspace,
                          Stream stream) {
  check_filter(points, dimension, channels);
  const Backend backend(stream);
  const Points<T> at = table_points(features, points, dimension);
  const RowShape shape(channels);
  Arena work(workspace);
  FilterArrays<T> arrays = lay_out_filter(at, shape.groups, &work);
  const std::vector<Lattice<T>> lattices{arrays.lattice};
  const Strides strides{0, 1, channels};

  backend.launch(std::vector<Fill>{{status, kFine, 1}}, 1);
  build_lattice(backend, at, Normalization::kNone, arrays.lattice, arrays.build, status);
  const std::vector<ToRows<T>> start{{in, strides, at.tiles, shape.channels, T(0), arrays.lattice.corner,
                                      arrays.lattice.corners, arrays.rows, nullptr, points, shape.groups}};
  backend.launch(start, points, ToRows<T>::kWidth);
  splat<T, kChunk>(backend, lattices, arrays.rows, {nullptr}, shape.groups, shape.width, &arrays.vertex_rows);
  blur(backend, lattices, reverse, shape.groups, shape.width, &arrays.vertex_rows);
  update(backend, slice_terms(lattices, arrays.vertex_rows, after(lattices)),
         UpdateArrays<T>{Finish::kNothing, nullptr, nullptr, nullptr, nullptr, arrays.rows}, points, shape);
  const std::vector<FromRows<T>> result{
      {arrays.rows, out, strides, at.tiles, shape.channels, points, shape.groups}};
  backend.launch(result, points);
}

}  // namespace cuda
}  // namespace crfrnn
