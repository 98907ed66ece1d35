// Which simplices of the permutohedral lattice points lie in, and the keys of their corners.
//
// What differs between instruction sets is in simplex_isa.cpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "crfrnn/limits.hpp"
#include "crfrnn/parallel.hpp"
#include "elevation.hpp"
#include "rows.hpp"
#include "vertex_index.hpp"
#include "vertex_table.hpp"

namespace crfrnn {

// Bounds of the features of points.
template <typename T>
struct FeatureRange {
  std::array<T, kMaxDimension> low;
  std::array<T, kMaxDimension> high;
  std::int64_t bad = -1;  // index of the first value that is not finite
};

template <typename T>
FeatureRange<T> feature_range(const T* features, std::int64_t points, int d, int threads) {
  constexpr std::int64_t kGrain = 16384;
  std::vector<FeatureRange<T>> parts((points + kGrain - 1) / kGrain);
  parallel_ranges(threads, points, kGrain, [&](std::int64_t begin, std::int64_t end) {
    FeatureRange<T> r;
    for (int i = 0; i < d; ++i) r.low[i] = r.high[i] = features[begin * d + i];
    for (std::int64_t p = begin; p < end; ++p) {
      for (int i = 0; i < d; ++i) {
        const T f = features[p * d + i];
        if (!std::isfinite(f) && r.bad < 0) r.bad = p * d + i;
        r.low[i] = std::min(r.low[i], f);
        r.high[i] = std::max(r.high[i], f);
      }
    }
    parts[begin / kGrain] = r;
  });
  FeatureRange<T> all = parts[0];
  for (const FeatureRange<T>& r : parts) {
    if (all.bad < 0) all.bad = r.bad;
    for (int i = 0; i < d; ++i) {
      all.low[i] = std::min(all.low[i], r.low[i]);
      all.high[i] = std::max(all.high[i], r.high[i]);
    }
  }
  return all;
}

// Bounds of the lattice coordinates from those of the features, by interval arithmetic.
template <typename T>
KeyLayout key_layout(const FeatureRange<T>& range, const Elevation<T>& elevation, int d) {
  KeyLayout layout;
  layout.dimension = d;
  int bits = 0;
  for (int i = 0; i <= d; ++i) {
    double low = 0, high = 0;
    for (int j = std::max(i - 1, 0); j < d; ++j) {
      const double factor = j == i - 1 ? -double(i) * elevation.scale[j] : double(elevation.scale[j]);
      low += std::min(factor * range.low[j], factor * range.high[j]);
      high += std::max(factor * range.low[j], factor * range.high[j]);
    }
    if (std::max(-low, high) > kLargestCoordinate<T>) {
      throw std::invalid_argument(
          "the features reach " + std::to_string(std::max(-low, high) / (d + 1)) +
          " standard deviations from the origin, more than " + (sizeof(T) == 4 ? "float32" : "float64") +
          " resolves: use larger standard deviations (theta), shift the features towards zero" +
          (sizeof(T) == 4 ? ", or use float64" : ""));
    }
    if (i == d) break;  // the last coordinate is not part of the key
    // The corners of a simplex and their neighbours in the blur lie within 2 (d + 1) of the point; 1 for
    // rounding.
    const double margin = 3 * (d + 1);
    layout.low[i] = static_cast<std::int64_t>(std::floor(low - margin));
    const std::int64_t extent = static_cast<std::int64_t>(std::ceil(high + margin)) - layout.low[i] + 1;
    layout.shift[i] = bits;
    while (bits - layout.shift[i] < 40 && (std::int64_t{1} << (bits - layout.shift[i])) < extent) ++bits;
  }
  layout.packed = bits <= 64;
  return layout;
}

// From the simplex of a point to the keys of its corners.
template <typename Key>
class CornerKeys {
 public:
  explicit CornerKeys(const KeyLayout& layout) : layout_(layout), origin_(Key::origin(layout)) {
    const int d = layout.dimension;
    for (int i = 0; i <= d; ++i) {
      for (int j = 0; j < d; ++j) step_[i].add(layout, j, i == j ? -d : 1);
    }
  }

  // keys[l (d + 1) + r] = that of the corner of remainder r of point l, for the first `count` points.
  template <typename T>
  void write(const Simplices<T>& s, int count, Key* keys) const {
    const int d = layout_.dimension;
    std::array<Key, kMaxDimension + 2> step;  // from the corner of remainder r - 1 to that of remainder r
    for (int l = 0; l < count; ++l, keys += d + 1) {
      Key key = origin_;
      for (int i = 0; i < d; ++i) key.add(layout_, i, s.at[i].base[l]);
      for (int i = 0; i <= d; ++i) step[d + 1 - s.at[i].rank[l]] = step_[i];
      keys[0] = key;
      for (int r = 1; r <= d; ++r) keys[r] = key = key + step[r];
    }
  }

 private:
  KeyLayout layout_;
  Key origin_;
  std::array<Key, kMaxDimension + 1> step_;  // one up in all coordinates, d + 1 down in coordinate i
};

// Embeds points [begin, end) and numbers the corners within the block.
template <typename T, typename Key>
void embed_block(const T* features, const KeyLayout& layout, const Elevation<T>& elevation,
                 std::int64_t begin, std::int64_t end, std::int32_t* corner, T* barycentric,
                 BlockKeys<Key>* block) {
  const int d = layout.dimension;
  const int corners = d + 1;
  const RowOps<T>& ops = row_ops<T>();
  const CornerKeys<Key> corner_keys(layout);
  // Mostly empty: a key is then found at first sight, and processors foresee that.
  KeyMap<Key> numbers(2 * (end - begin));
  std::vector<Key>& found = block->keys;
  found.reserve(end - begin);

  Simplices<T> s;
  std::array<T, kEmbedPoints * kMaxDimension> tail;
  std::array<Key, kEmbedPoints*(kMaxDimension + 1)> keys;
  for (std::int64_t first = begin; first < end; first += kEmbedPoints) {
    const int count = static_cast<int>(std::min<std::int64_t>(kEmbedPoints, end - first));
    const T* block_features = features + first * d;
    if (count < kEmbedPoints) {
      for (int l = 0; l < kEmbedPoints; ++l) {
        std::copy_n(block_features + std::min(l, count - 1) * d, d, tail.data() + l * d);
      }
      block_features = tail.data();
    }
    ops.embed(block_features, d, elevation.scale, &s);
    corner_keys.write(s, count, keys.data());
    std::int32_t* c = corner + first * corners;
    for (int i = 0; i < count * corners; ++i) {
      const std::int32_t next = static_cast<std::int32_t>(found.size());
      c[i] = numbers.insert(keys[i], next);
      if (c[i] == next) found.push_back(keys[i]);
    }
    T* b = barycentric + first * corners;
    for (int l = 0; l < count; ++l, b += corners) {
      for (int r = 0; r <= d; ++r) b[r] = s.at[r].barycentric[l];
    }
  }
  block->sort_by_part();
}

}  // namespace crfrnn
