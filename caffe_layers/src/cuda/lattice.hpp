// The permutohedral lattice of all images of a batch, built by sorting the corners of all simplices.
//
// An image's number is part of its vertices' keys, so one lattice holds all images and none sees another. The
// entries of a vertex keep the order of their points: a result does not depend on what else is in the batch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "arena.hpp"
#include "backend.hpp"
#include "rows.hpp"
#include "simplex.hpp"

namespace crfrnn {
namespace cuda {

// What the points of a lattice are.
template <typename T>
struct Points {
  const T* values;  // or null
  Strides strides;
  int channels;
  T theta;
  T theta_x;
  T theta_y;
  bool position;
  const std::uint8_t* mask;  // per pixel, or null
  std::int64_t images;
  Tiles tiles;  // of one image

  CRFRNN_HD std::int64_t count() const { return images * tiles.points(); }
  CRFRNN_HD int dimension() const { return channels + (position ? 2 : 0); }

  CRFRNN_DEVICE bool taken(std::int64_t point) const {
    if (!mask) return true;
    const std::int64_t first = point / tiles.points() * tiles.points();
    return mask[first + tiles.pixel(point - first)] != 0;
  }
  // D: the dimension, or 0 where it is not known at compile time.
  template <int D>
  CRFRNN_DEVICE void features(std::int64_t point, T* f) const {
    const std::int64_t image = point / tiles.points();
    std::int32_t x, y;
    tiles.place(static_cast<std::int32_t>(point - image * tiles.points()), &x, &y);
    const T* from =
        values + image * strides.image + (static_cast<std::int64_t>(y) * tiles.width + x) * strides.pixel;
    const int d = D > 0 ? D : dimension(), first = position ? 2 : 0;
    CRFRNN_UNROLL
    for (int i = 0; i < d; ++i) {
      if (i < first) {
        f[i] = i == 0 ? static_cast<T>(x) / theta_x : static_cast<T>(y) / theta_y;
      } else {
        f[i] = from[(i - first) * strides.channel] / theta;
      }
    }
  }
};

struct Counts {
  std::int32_t vertices;
  std::int32_t pieces;
  std::int32_t joins;  // vertices of several pieces
};

// Arrays in device memory; the sizes there, not here, are how much of them is used.
template <typename T>
struct Lattice {
  std::int64_t points;
  std::int64_t entries;  // points x corners
  std::int64_t most_vertices;
  std::int64_t most_pieces;
  int corners;
  int key_bits;

  Counts* counts;
  Corner<T>* corner;  // points x corners
  Entry<T>* entry;    // sorted by vertex, then by point
  Piece* piece;
  std::int32_t* first_piece;  // of each vertex
  std::int32_t* joined;       // the vertices of several pieces
  Link* link;                 // corners x most_vertices
  T* before;                  // factor per point before splatting, or null for 1
  T* after;                   // factor per point after slicing, the gain of the lattice included

  std::int64_t most_joins() const { return entries / kPieceEntries; }
  Pieces<T> pieces() const { return {&counts->pieces, piece, first_piece, &counts->joins, joined, entry}; }
};

// -------------------------------------------------------------------------------- jobs: keys of all corners

// Signed integers in the order of the numbers they stand for.
template <typename T>
using Ordered = typename std::conditional<sizeof(T) == 4, std::int32_t, std::int64_t>::type;

template <typename T>
CRFRNN_DEVICE Ordered<T> mirrored(Ordered<T> bits) {
  return bits < 0 ? bits ^ kLargest<Ordered<T>> : bits;
}
template <typename T>
CRFRNN_DEVICE Ordered<T> ordered(T value) {
  union {
    T value;
    Ordered<T> bits;
  } both;
  both.value = value;
  return mirrored<T>(both.bits);
}
template <typename T>
CRFRNN_DEVICE T unordered(Ordered<T> order) {
  union {
    T value;
    Ordered<T> bits;
  } both;
  both.bits = mirrored<T>(order);
  return both.value;
}

// Rows of the vertices and a second set of the same size, exchanged by every step that cannot work in place.
template <typename T, int W>
struct VertexRows {
  Chunk<T, W>* now;
  Chunk<T, W>* other;  // room for most_pieces rows
  void exchange() { std::swap(now, other); }
};

template <typename T, int W>
VertexRows<T, W> lay_out_rows(const Lattice<T>& lattice, int groups, Arena* arena) {
  return {arena->take<Chunk<T, W>>(lattice.most_vertices * groups),
          arena->take<Chunk<T, W>>(lattice.most_pieces * groups)};
}

// What the build of one lattice needs beside the lattice itself.
template <typename T>
struct BuildArrays {
  Ordered<T>* low;  // of the features, per dimension
  Ordered<T>* high;
  KeyLayout* layout;
  std::uint64_t* keys[2];      // entries
  std::uint32_t* entry_of[2];  // entries: point x corners + corner
  T* barycentric;              // points x corners, of points inside the field
  std::int32_t* vertex;        // entries: 1 + vertex
  std::int32_t* begin;         // vertices: first entry, and the number of entries
  std::uint64_t* vertex_key;   // vertices
  VertexRows<T, 1> mass;       // the field of ones
  void* temporary;
  std::size_t temporary_bytes;
};

template <typename T>
struct StartBuild {
  BuildArrays<T> build;
  Counts* counts;
  CRFRNN_DEVICE std::int64_t size() const { return kMaxDimension; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t i) const {
    build.low[i] = kLargest<Ordered<T>>;
    build.high[i] = kSmallest<Ordered<T>>;
    if (i == 0) *counts = {0, 0, 0};
  }
};

// Bounds of the features, over blocks of points.
template <typename T, int D>
struct FeatureRange {
  static constexpr std::int64_t kBlock = 256;
  Points<T> points;
  Elevation<T> scale;
  BuildArrays<T> build;

  CRFRNN_DEVICE std::int64_t size() const { return (points.count() + kBlock - 1) / kBlock; }
  CRFRNN_DEVICE void operator()(const Lanes& lanes, std::int64_t block) const {
    const int d = dimension_of<D>(points.dimension());
    Ordered<T> low[D > 0 ? D : kMaxDimension], high[D > 0 ? D : kMaxDimension];
    for (int i = 0; i < d; ++i) {
      low[i] = kLargest<Ordered<T>>;
      high[i] = kSmallest<Ordered<T>>;
    }
    const std::int64_t end = (block + 1) * kBlock < points.count() ? (block + 1) * kBlock : points.count();
    for (std::int64_t p = block * kBlock + lanes.lane(); p < end; p += lanes.width()) {
      if (!points.taken(p)) continue;
      T f[D > 0 ? D : kMaxDimension];
      Coordinates<T, D> elevated;
      points.template features<D>(p, f);
      elevate<T, D>(f, d, scale, &elevated);
      if (status_of<T, D>(f, d, elevated) != kFine) continue;
      for (int i = 0; i < d; ++i) {
        const Ordered<T> value = ordered(f[i]);
        low[i] = value < low[i] ? value : low[i];
        high[i] = value > high[i] ? value : high[i];
      }
    }
    for (int i = 0; i < d; ++i) {
      // The bitwise complement turns the order round, without the overflow of a minus sign.
      const Ordered<T> least = ~lanes.max(static_cast<Ordered<T>>(~low[i]));
      const Ordered<T> most = lanes.max(high[i]);
      if (lanes.lane() != 0) continue;
      atomic_min(&build.low[i], least);
      atomic_max(&build.high[i], most);
    }
  }
};

template <typename T>
struct MakeLayout {
  BuildArrays<T> build;
  Elevation<T> scale;
  int dimension;
  std::int64_t images;

  CRFRNN_DEVICE std::int64_t size() const { return 1; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t) const {
    T low[kMaxDimension], high[kMaxDimension];
    for (int i = 0; i < dimension; ++i) {
      low[i] = T(1);
      high[i] = T(0);
      if (build.low[i] > build.high[i]) continue;  // no points
      low[i] = unordered<T>(build.low[i]);
      high[i] = unordered<T>(build.high[i]);
    }
    *build.layout = key_layout(low, high, scale, dimension, images);
  }
};

// The simplex of every point: keys of its corners, barycentric coordinates.
template <typename T, int D>
struct Embed {
  Points<T> points;
  Elevation<T> scale;
  BuildArrays<T> build;
  Corner<T>* corner;
  std::int32_t* status;  // per image

  CRFRNN_DEVICE std::int64_t size() const { return points.count(); }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t point) const {
    const int d = dimension_of<D>(points.dimension());
    const std::int64_t first = point * (d + 1);
    T f[D > 0 ? D : kMaxDimension];
    Coordinates<T, D> elevated;
    bool inside = points.taken(point);
    if (inside) {
      points.template features<D>(point, f);
      elevate<T, D>(f, d, scale, &elevated);
      const Status found = status_of<T, D>(f, d, elevated);
      inside = found == kFine;
      if (!inside) atomic_max(&status[point / points.tiles.points()], static_cast<std::int32_t>(found));
    }
    for (int r = 0; r <= d; ++r) {
      build.entry_of[0][first + r] = static_cast<std::uint32_t>(first + r);
      if (inside) continue;
      build.keys[0][first + r] = kNoKey;
      corner[first + r] = {-1, T(0)};
    }
    if (!inside) return;
    Simplex<T, D> simplex;
    find_simplex<T, D>(elevated, d, &simplex);
    const KeyLayout& layout = *build.layout;
    std::uint64_t key = layout.origin + layout.image_factor * (point / points.tiles.points());
    for (int i = 0; i < d; ++i) {
      key += layout.factor[i] * static_cast<std::uint64_t>(static_cast<std::int64_t>(simplex.base[i]));
    }
    for (int r = 0; r <= d; ++r) {
      if (r > 0) key += layout.ones - (d + 1) * layout.factor[simplex.of_rank[d + 1 - r]];
      build.keys[0][first + r] = key & kKeyMask;
      build.barycentric[first + r] = simplex.barycentric[r];
    }
  }
};

// ------------------------------------------------------------------- jobs: vertices, pieces and neighbours

// Vertices are numbered in the order of their keys, in which the neighbours of neighbouring vertices along an
// axis are neighbours, too.

// 1 at the first entry of every vertex.
template <typename T>
struct MarkVertices {
  BuildArrays<T> build;
  std::int64_t entries;
  CRFRNN_DEVICE std::int64_t size() const { return entries; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t e) const {
    const std::uint64_t* keys = build.keys[0];
    build.vertex[e] = keys[e] != kNoKey && (e == 0 || keys[e] != keys[e - 1]) ? 1 : 0;
  }
};

template <typename T>
struct NumberVertices {
  BuildArrays<T> build;
  Lattice<T> lattice;
  CRFRNN_DEVICE std::int64_t size() const { return lattice.entries; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t e) const {
    const std::uint64_t key = build.keys[0][e];
    if (key == kNoKey) return;
    const std::int32_t vertex = build.vertex[e] - 1;
    const std::uint32_t of = build.entry_of[0][e];
    const T weight = build.barycentric[of];
    lattice.corner[of] = {vertex, weight};
    lattice.entry[e] = {static_cast<std::int32_t>(of / static_cast<std::uint32_t>(lattice.corners)), weight};
    if (e == 0 || key != build.keys[0][e - 1]) {
      build.begin[vertex] = static_cast<std::int32_t>(e);
      build.vertex_key[vertex] = key;
    }
    if (e + 1 == lattice.entries || build.keys[0][e + 1] == kNoKey) {
      build.begin[vertex + 1] = static_cast<std::int32_t>(e + 1);
      lattice.counts->vertices = vertex + 1;
    }
  }
};

// first_piece[v + 1] = number of pieces of vertex v.
template <typename T>
struct CountPieces {
  BuildArrays<T> build;
  Lattice<T> lattice;
  CRFRNN_DEVICE std::int64_t size() const { return lattice.most_vertices; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t vertex) const {
    std::int32_t entries = 0;
    if (vertex < lattice.counts->vertices) entries = build.begin[vertex + 1] - build.begin[vertex];
    lattice.first_piece[vertex + 1] = (entries + kPieceEntries - 1) / kPieceEntries;
    if (vertex == 0) lattice.first_piece[0] = 0;
  }
};

// The pieces of a vertex, and vertices of several pieces: these in an order that depends on timing, but
// nothing that is computed depends on it.
template <typename T>
struct CutPieces {
  static constexpr int kWidth = 4;
  BuildArrays<T> build;
  Lattice<T> lattice;
  CRFRNN_DEVICE std::int64_t size() const { return lattice.counts->vertices; }
  CRFRNN_DEVICE void operator()(const Lanes& lanes, std::int64_t item) const {
    const auto vertex = static_cast<std::int32_t>(item);
    const std::int32_t begin = build.begin[vertex], end = build.begin[vertex + 1];
    const std::int32_t first = lattice.first_piece[vertex], count = lattice.first_piece[vertex + 1] - first;
    for (std::int32_t i = lanes.lane(); i < count; i += lanes.width()) {
      const std::int32_t at = begin + i * kPieceEntries;
      lattice.piece[first + i] = {at, i + 1 < count ? at + kPieceEntries : end, vertex, count == 1 ? 1 : 0};
    }
    if (lanes.lane() != 0) return;
    if (vertex + 1 == lattice.counts->vertices) lattice.counts->pieces = first + count;
    if (count > 1) lattice.joined[atomic_add(&lattice.counts->joins, 1)] = vertex;
  }
};

template <typename T>
struct ClearLinks {
  Lattice<T> lattice;
  CRFRNN_DEVICE std::int64_t size() const { return lattice.counts->vertices; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t vertex) const {
    for (int axis = 0; axis < lattice.corners; ++axis) {
      lattice.link[axis * lattice.most_vertices + vertex] = {-1, -1};
    }
  }
};

// Finds the next neighbour of every vertex along every axis, and tells it who its previous one is.
template <typename T>
struct LinkNeighbours {
  BuildArrays<T> build;
  Lattice<T> lattice;
  CRFRNN_DEVICE std::int64_t size() const {
    return static_cast<std::int64_t>(lattice.counts->vertices) * lattice.corners;
  }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t item) const {
    const std::int64_t vertices = lattice.counts->vertices;
    const std::int64_t axis = item / vertices;
    const auto vertex = static_cast<std::int32_t>(item % vertices);
    const std::uint64_t wanted = (build.vertex_key[vertex] + build.layout->step[axis]) & kKeyMask;
    std::int32_t low = 0, high = static_cast<std::int32_t>(vertices);  // the first key >= wanted
    while (low < high) {
      const std::int32_t middle = low + (high - low) / 2;
      if (build.vertex_key[middle] < wanted) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (low == vertices || build.vertex_key[low] != wanted) return;
    Link* link = lattice.link + axis * lattice.most_vertices;
    link[vertex].next = low;
    link[low].previous = vertex;
  }
};

// ----------------------------------------------------------------------------------------- job: normalisers

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

// ----------------------------------------------------------------------------------------------
// orchestration

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

template <typename T, int W>
void splat(const Backend& backend, const std::vector<Lattice<T>>& lattices, const Chunk<T, W>* in,
           const std::vector<const T*>& scale, int groups, int width, std::vector<VertexRows<T, W>>* rows) {
  std::vector<Splat<T, W>> splats;
  std::vector<JoinPieces<T, W>> joins;
  std::int64_t items = 0, joined = 0;
  for (std::size_t k = 0; k < lattices.size(); ++k) {
    const VertexRows<T, W>& r = (*rows)[k];
    const Pieces<T> pieces = lattices[k].pieces();
    splats.push_back({pieces, scale[k], in, r.now, r.other, groups});
    joins.push_back({pieces, r.other, r.now, groups, width});
    items = std::max(items, lattices[k].most_pieces);
    joined = std::max(joined, lattices[k].most_joins());
  }
  backend.launch(splats, items, width);
  backend.launch(joins, joined, Lanes::kWidest);
}

// All axes, from rows[k].now to rows[k].now.
template <typename T, int W>
void blur(const Backend& backend, const std::vector<Lattice<T>>& lattices, bool reverse, int groups,
          int width, std::vector<VertexRows<T, W>>* rows) {
  int steps = 0;
  for (const Lattice<T>& lattice : lattices) steps = std::max(steps, lattice.corners);
  for (int step = 0; step < steps; ++step) {
    std::vector<Blur<T, W>> jobs;
    std::int64_t items = 0;
    for (std::size_t k = 0; k < lattices.size(); ++k) {
      const Lattice<T>& lattice = lattices[k];
      if (step >= lattice.corners) continue;
      const int axis = reverse ? lattice.corners - 1 - step : step;
      VertexRows<T, W>& r = (*rows)[k];
      jobs.push_back(
          {&lattice.counts->vertices, lattice.link + axis * lattice.most_vertices, r.now, r.other, groups});
      r.exchange();
      items = std::max(items, lattice.most_vertices);
    }
    backend.launch(jobs, items, width);
  }
}

// The keys of all corners and the simplices' barycentric coordinates.
template <typename T, int D>
void embed(const Backend& backend, const Points<T>& points, const Lattice<T>& lattice,
           const BuildArrays<T>& build, std::int32_t* status) {
  using Range = FeatureRange<T, D>;
  const int d = points.dimension();
  const Elevation<T> scale = elevation<T>(d);
  backend.launch(std::vector<StartBuild<T>>{{build, lattice.counts}}, kMaxDimension);
  backend.launch(std::vector<Range>{{points, scale, build}},
                 (lattice.points + Range::kBlock - 1) / Range::kBlock, Lanes::kWidest);
  backend.launch(std::vector<MakeLayout<T>>{{build, scale, d, points.images}}, 1);
  backend.launch(std::vector<Embed<T, D>>{{points, scale, build, lattice.corner, status}}, lattice.points);
}

// The keys of all corners, sorted.
template <typename T>
void build_keys(const Backend& backend, const Points<T>& points, const Lattice<T>& lattice,
                BuildArrays<T>* build, std::int32_t* status) {
  switch (points.dimension()) {
    case 2:
      embed<T, 2>(backend, points, lattice, *build, status);
      break;
    case 5:
      embed<T, 5>(backend, points, lattice, *build, status);
      break;
    default:
      embed<T, 0>(backend, points, lattice, *build, status);
  }
  // One bit more than the keys have, for kNoKey.
  backend.sort(build->temporary, build->temporary_bytes, build->keys, build->entry_of, lattice.entries,
               lattice.key_bits + 1);
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
  backend.launch(std::vector<ClearLinks<T>>{{lattice}}, lattice.most_vertices);
  backend.launch(std::vector<LinkNeighbours<T>>{{build, lattice}}, lattice.most_vertices * lattice.corners);

  std::vector<VertexRows<T, 1>> mass{build.mass};
  if (normalization != Normalization::kNone) {
    splat<T, 1>(backend, {lattice}, nullptr, {nullptr}, 1, 1, &mass);
    blur<T, 1>(backend, {lattice}, false, 1, 1, &mass);
  }
  const T gain = static_cast<T>(1 / (1 + std::pow(2.0, -points.dimension())));
  backend.launch(
      std::vector<Normalize<T>>{{lattice, mass[0].now, normalization, gain, status, points.tiles.points()}},
      lattice.points);
}

}  // namespace cuda
}  // namespace crfrnn
