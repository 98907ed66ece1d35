// Which simplex of the permutohedral lattice a point lies in, and the keys of its corners.
//
// The arithmetic is that of src/cpu/simplex_isa.cpp, operation by operation: points on the border between two
// simplices, which images are full of, must fall to the same side.
#pragma once

#include <cmath>
#include <cstdint>

#include "backend.hpp"
#include "crfrnn/limits.hpp"
#include "elevation.hpp"

namespace crfrnn {
namespace cuda {

// Arrays over the d + 1 coordinates of a point; D = 0 for a dimension known at run time alone.
template <typename T, int D>
struct Coordinates {
  T at[(D > 0 ? D : kMaxDimension) + 1];
  CRFRNN_DEVICE T& operator[](int i) { return at[i]; }
  CRFRNN_DEVICE const T& operator[](int i) const { return at[i]; }
};

// The dimension, as a constant where it is known at compile time.
template <int D>
CRFRNN_DEVICE constexpr int dimension_of(int d) {
  return D > 0 ? D : d;
}

// Onto the hyperplane whose coordinates sum to zero (Adams et al., section 3.1).
template <typename T, int D>
CRFRNN_DEVICE void elevate(const T* features, int dimension, const Elevation<T>& elevation,
                           Coordinates<T, D>* elevated) {
  const int d = dimension_of<D>(dimension);
  T sum = 0;
  for (int j = d; j > 0; --j) {
    const T f = multiply(features[j - 1], elevation.scale[j - 1]);
    (*elevated)[j] = subtract(sum, multiply(T(j), f));
    sum = add(sum, f);
  }
  (*elevated)[0] = sum;
}

// A Status of mean_field.hpp.
template <typename T, int D>
CRFRNN_DEVICE Status status_of(const T* features, int dimension, const Coordinates<T, D>& elevated) {
  const int d = dimension_of<D>(dimension);
  for (int i = 0; i < d; ++i) {
    if (!(features[i] - features[i] == T(0))) return kNotFinite;
  }
  for (int i = 0; i <= d; ++i) {
    if (!(elevated[i] <= T(kLargestCoordinate<T>) && elevated[i] >= T(-kLargestCoordinate<T>))) {
      return kTooLarge;
    }
  }
  return kFine;
}

// Coordinate i of the corner of remainder 0 is base[i]; of_rank[r] is the coordinate whose difference to it
// has place r in descending order.
template <typename T, int D>
struct Simplex {
  Coordinates<std::int32_t, D> base;
  Coordinates<std::int32_t, D> of_rank;
  Coordinates<T, D> barycentric;
};

template <typename T, int D>
CRFRNN_DEVICE void find_simplex(const Coordinates<T, D>& elevated, int dimension, Simplex<T, D>* out) {
  const int d = dimension_of<D>(dimension);
  // The nearest point of remainder 0: round every coordinate to a multiple of d + 1, then repair the sum.
  const T down = T(1) / T(d + 1);
  Coordinates<T, D> difference;
  Coordinates<std::int32_t, D> rank;
  std::int32_t excess = 0;
  for (int i = 0; i <= d; ++i) {
    const T rounded = rint(multiply(elevated[i], down));
    const std::int32_t whole = static_cast<std::int32_t>(rounded);
    out->base[i] = whole * (d + 1);
    difference[i] = subtract(elevated[i], multiply(rounded, T(d + 1)));
    excess += whole;
    rank[i] = 0;
  }
  for (int i = 0; i < d; ++i) {
    for (int j = i + 1; j <= d; ++j) {
      const bool less = difference[i] < difference[j];
      rank[i] += less ? 1 : 0;
      rank[j] += less ? 0 : 1;
    }
  }
  // Barycentric coordinates are differences of the sorted coordinates (section 3.2).
  Coordinates<T, D> sorted{};
  for (int i = 0; i <= d; ++i) {
    const std::int32_t moved = rank[i] + excess;
    const std::int32_t turn = moved < 0 ? d + 1 : (moved > d ? -(d + 1) : 0);
    out->base[i] += turn;
    out->of_rank[moved + turn] = i;
    sorted[moved + turn] = multiply(subtract(elevated[i], T(out->base[i])), down);
  }
  out->barycentric[0] = add(subtract(T(1), sorted[0]), sorted[d]);
  for (int k = 1; k <= d; ++k) out->barycentric[k] = subtract(sorted[d - k], sorted[d + 1 - k]);
}

// How lattice coordinates become keys: sum_i factor[i] (coordinate i - low[i]) + image_factor image, modulo
// 2^63. The first d of the d + 1 coordinates determine a vertex (they sum to zero), so factor[d] is 0. Steps
// between vertices are constant differences.
//
// Where the coordinates fit into the bits, the factors are powers of two: a field for each coordinate, with
// room for the blur neighbours of every vertex. Where they do not (many dimensions far apart) the factors are
// scattered odd numbers, and two of n vertices share a key with a probability of about n^2 / 2^64.
struct KeyLayout {
  std::uint64_t factor[kMaxDimension + 1];
  std::uint64_t step[kMaxDimension + 1];  // from a vertex to its neighbour along each axis
  std::uint64_t ones;                     // a step of one in every coordinate
  std::uint64_t image_factor;
  std::uint64_t origin;                // of image 0, all coordinates 0
  std::int64_t extent[kMaxDimension];  // number of values coordinate i can have
  int bits;                            // above which all keys are 0
};

constexpr int kKeyBits = 63;
constexpr std::uint64_t kKeyMask = ~std::uint64_t{0} >> 1;
constexpr std::uint64_t kNoKey = ~std::uint64_t{0};  // of corners of points outside the field: sorts last

CRFRNN_HD std::uint64_t scattered(std::uint64_t i) {
  std::uint64_t x = (i + 1) * 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return (x ^ (x >> 31)) | 1;
}

// The smallest number of bits that hold `values` different values.
CRFRNN_HD int bits_for(std::int64_t values) {
  int bits = 0;
  while (bits < 62 && (std::int64_t{1} << bits) < values) ++bits;
  return bits;
}

// From bounds of the features; an empty range (low above high) stands for no points.
template <typename T>
CRFRNN_HD KeyLayout key_layout(const T* feature_low, const T* feature_high, const Elevation<T>& elevation,
                               int d, std::int64_t images) {
  KeyLayout layout{};
  std::int64_t low[kMaxDimension];
  for (int i = 0; i < d; ++i) {
    // Bounds of the lattice coordinates by interval arithmetic.
    double from = 0, to = 0;
    for (int j = i > 0 ? i - 1 : 0; j < d && feature_low[j] <= feature_high[j]; ++j) {
      const double factor = j == i - 1 ? -double(i) * elevation.scale[j] : double(elevation.scale[j]);
      const double a = factor * feature_low[j], b = factor * feature_high[j];
      from += a < b ? a : b;
      to += a < b ? b : a;
    }
    // Points beyond these coordinates are not embedded (status_of).
    const double limit = kLargestCoordinate<T>;
    from = from > -limit ? from : -limit;
    to = to < limit ? to : limit;
    // The corners of a simplex and their neighbours in the blur lie within 2 (d + 1) of the point; the rest
    // is for rounding.
    const double margin = 3 * (d + 1) + 1e-6 * (to - from);
    low[i] = static_cast<std::int64_t>(floor(from - margin));
    layout.extent[i] = static_cast<std::int64_t>(ceil(to + margin)) - low[i] + 1;
    layout.bits += bits_for(layout.extent[i]);
  }
  layout.bits += bits_for(images);
  const bool packed = layout.bits <= kKeyBits;
  if (!packed) layout.bits = kKeyBits;
  int shift = 0;
  for (int i = 0; i < d; ++i) {
    layout.factor[i] = packed ? std::uint64_t{1} << shift : scattered(i);
    shift += bits_for(layout.extent[i]);
    layout.ones += layout.factor[i];
    layout.origin -= layout.factor[i] * static_cast<std::uint64_t>(low[i]);
  }
  layout.image_factor = packed ? std::uint64_t{1} << shift : scattered(d);
  for (int axis = 0; axis <= d; ++axis) {
    layout.step[axis] = layout.ones - static_cast<std::uint64_t>(d + 1) * layout.factor[axis];
  }
  return layout;
}

}  // namespace cuda
}  // namespace crfrnn
