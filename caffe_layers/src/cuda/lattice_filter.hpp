// The permutohedral filter of crfrnn/cuda/mean_field.hpp as a sequence of jobs.
#pragma once

#include <vector>

#include "arena.hpp"
#include "backend.hpp"
#include "checks.hpp"
#include "crfrnn/cuda/mean_field.hpp"
#include "lattice_pass.hpp"
#include "permutohedral.hpp"
#include "pixel_rows.hpp"

namespace crfrnn {
namespace cuda {

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
  ToRows<T> start{};
  start.in = in;
  start.strides = strides;
  start.tiles = at.tiles;
  start.channels = shape.channels;
  start.corner = arrays.lattice.corner;
  start.corners = arrays.lattice.corners;
  start.out = arrays.rows;
  start.points = points;
  start.groups = shape.groups;
  backend.launch(std::vector<ToRows<T>>{start}, points, ToRows<T>::kWidth);
  splat<T, kChunk>(backend, lattices, arrays.rows, {nullptr}, shape.groups, shape.width, &arrays.vertex_rows);
  blur(backend, lattices, reverse, shape.groups, shape.width, &arrays.vertex_rows);
  UpdateArrays<T> slice;
  slice.out = arrays.rows;
  update(backend, slice_terms(lattices, arrays.vertex_rows, after(lattices)), slice, points, shape);
  const std::vector<FromRows<T>> result{
      {arrays.rows, out, strides, at.tiles, shape.channels, points, shape.groups}};
  backend.launch(result, points);
}

}  // namespace cuda
}  // namespace crfrnn
