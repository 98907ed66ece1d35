// Building the permutohedral lattice of all images of a batch, by sorting the corners of all simplices.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "arena.hpp"
#include "backend.hpp"
#include "elevation.hpp"
#include "embed.hpp"
#include "lattice.hpp"
#include "lattice_pass.hpp"
#include "simplex.hpp"
#include "vertex_index.hpp"

namespace crfrnn {
namespace cuda {

template <typename T>
struct Normalize {
  Lattice<T> lattice;
  const Chunk<T, 1>* mass;  // the blurred field of ones
  Normalization normalization;
  T gain;
  const std::int32_t* status;
  std::int64_t pixels;

  CRFRNN_DEVICE std::int64_t size() const { return lattice.points; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t point) const {
    const std::int64_t first = point * lattice.corners;
    T before = T(1), after = gain;
    if (lattice.corner[first].vertex < 0) {
      before = after = T(0);
    } else if (normalization != Normalization::kNone) {
      T sum = 0;
      for (int j = 0; j < lattice.corners; ++j) {
        sum += lattice.corner[first + j].weight * mass[lattice.corner[first + j].vertex].v[0];
      }
      const T one = gain * sum + T(1e-20);
      if (normalization == Normalization::kAfter) {
        after = gain * (T(1) / one);
      } else if (normalization == Normalization::kBefore) {
        before = T(1) / one;
      } else {
        before = T(1) / sqrt(one);
        after = gain * before;
      }
    }
    if (status[point / pixels] != kFine) after = kNan<T>;
    lattice.after[point] = after;
    if (lattice.before) lattice.before[point] = before;
  }
};

// Most vertices a lattice can have; where all features are positions, their grid is a bound too.
template <typename T>
std::int64_t vertex_bound(const Points<T>& points, const KeyLayout& positions) {
  const int d = points.dimension();
  const double corners = d + 1;
  const double entries = static_cast<double>(points.count()) * corners;
  if (points.channels > 0) return static_cast<std::int64_t>(entries);
  // All coordinates of a vertex leave the same remainder when divided by d + 1.
  double cells = corners * points.images;
  for (int i = 0; i < d; ++i) cells *= std::floor(positions.extent[i] / corners) + 1;
  return static_cast<std::int64_t>(std::min(cells, entries));
}

// The layout of keys that are made of positions alone, or of 63 bits.
template <typename T>
KeyLayout position_layout(const Points<T>& points) {
  if (points.channels > 0) {
    KeyLayout layout{};
    layout.bits = kKeyBits;
    return layout;
  }
  const T low[2] = {};
  const T high[2] = {static_cast<T>(points.tiles.width - 1) / points.theta_x,
                     static_cast<T>(points.tiles.height - 1) / points.theta_y};
  return key_layout(low, high, elevation<T>(2), 2, points.images);
}

template <typename T>
Lattice<T> lay_out_lattice(const Points<T>& points, Normalization normalization, Arena* arena) {
  const KeyLayout positions = position_layout(points);
  Lattice<T> lattice{};
  lattice.corners = points.dimension() + 1;
  lattice.points = points.count();
  lattice.entries = lattice.points * lattice.corners;
  lattice.most_vertices = vertex_bound(points, positions);
  lattice.most_pieces = std::min(lattice.entries, lattice.most_vertices + lattice.entries / kPieceEntries);
  // The device may round an extent up where the host rounds it down: a bit more for each of two coordinates.
  lattice.key_bits = std::min(kKeyBits, positions.bits + 2);
  lattice.counts = arena->take<Counts>(1);
  lattice.corner = arena->take<Corner<T>>(lattice.entries);
  lattice.entry = arena->take<Entry<T>>(lattice.entries);
  lattice.piece = arena->take<Piece>(lattice.most_pieces);
  lattice.first_piece = arena->take<std::int32_t>(lattice.most_vertices + 1);
  lattice.joined = arena->take<std::int32_t>(lattice.most_joins());
  lattice.link = arena->take<Link>(lattice.corners * lattice.most_vertices);
  const bool scaled = normalization == Normalization::kBefore || normalization == Normalization::kSymmetric;
  lattice.before = scaled ? arena->take<T>(lattice.points) : nullptr;
  lattice.after = arena->take<T>(lattice.points);
  return lattice;
}

template <typename T>
BuildArrays<T> lay_out_build(const Lattice<T>& lattice, Arena* arena) {
  BuildArrays<T> build{};
  build.low = arena->take<Ordered<T>>(kMaxDimension);
  build.high = arena->take<Ordered<T>>(kMaxDimension);
  build.layout = arena->take<KeyLayout>(1);
  for (int i = 0; i < 2; ++i) {
    build.keys[i] = arena->take<std::uint64_t>(lattice.entries);
    build.entry_of[i] = arena->take<std::uint32_t>(lattice.entries);
  }
  build.barycentric = arena->take<T>(lattice.entries);
  build.vertex = arena->take<std::int32_t>(lattice.entries);
  build.begin = arena->take<std::int32_t>(lattice.most_vertices + 1);
  build.vertex_key = arena->take<std::uint64_t>(lattice.most_vertices);
  build.mass = lay_out_rows<T, 1>(lattice, 1, arena);
  build.temporary_bytes = std::max(Backend::sort_bytes(lattice.entries),
                                   Backend::sum_bytes(std::max(lattice.entries, lattice.most_vertices + 1)));
  build.temporary = arena->take<char>(static_cast<std::int64_t>(build.temporary_bytes));
  return build;
}

template <typename T>
void build_lattice(const Backend& backend, const Points<T>& points, Normalization normalization,
                   const Lattice<T>& lattice, BuildArrays<T> build, std::int32_t* status) {
  build_keys(backend, points, lattice, &build, status);
  const std::int64_t entries = lattice.entries;
  backend.launch(std::vector<MarkVertices<T>>{{build, entries}}, entries);
  backend.inclusive_sum(build.temporary, build.temporary_bytes, build.vertex, entries);
  backend.launch(std::vector<NumberVertices<T>>{{build, lattice}}, entries);
  backend.launch(std::vector<CountPieces<T>>{{build, lattice}}, lattice.most_vertices);
  backend.inclusive_sum(build.temporary, build.temporary_bytes, lattice.first_piece,
                        lattice.most_vertices + 1);
  backend.launch(std::vector<CutPieces<T>>{{build, lattice}}, lattice.most_vertices, CutPieces<T>::kWidth);
  backend.launch(std::vector<PadPieces<T>>{{build, lattice}}, lattice.most_pieces);
  backend.sort(build.temporary, build.temporary_bytes, build.keys, build.entry_of, lattice.most_pieces,
               kPieceKeyBits);
  backend.launch(std::vector<OrderPieces<T>>{{build, lattice}}, lattice.most_pieces);
  backend.launch(std::vector<ClearLinks<T>>{{lattice}}, lattice.most_vertices);
  backend.launch(std::vector<LinkNeighbours<T>>{{build, lattice}}, lattice.most_vertices * lattice.corners);

  std::vector<VertexRows<T, 1>> mass{build.mass};
  if (normalization != Normalization::kNone) {
    splat<T, 1>(backend, {lattice}, nullptr, {nullptr}, 1, 1, &mass);
    blur<T, 1>(backend, {lattice}, false, 1, 1, &mass);
  }
  const T gain = slice_gain<T>(points.dimension());
  backend.launch(
      std::vector<Normalize<T>>{{lattice, mass[0].now, normalization, gain, status, points.tiles.points()}},
      lattice.points);
}

}  // namespace cuda
}  // namespace crfrnn
