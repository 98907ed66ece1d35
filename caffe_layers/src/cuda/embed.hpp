// Jobs that find the simplex of every point: the keys of its corners, and barycentric coordinates.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "backend.hpp"
#include "lattice.hpp"
#include "simplex.hpp"
#include "tiles.hpp"

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

}  // namespace cuda
}  // namespace crfrnn
