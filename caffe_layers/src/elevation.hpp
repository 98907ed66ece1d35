// The scale of the permutohedral lattice (Adams et al., section 3.1), on the CPU and on CUDA devices.
#pragma once

#include <cmath>

#include "crfrnn/limits.hpp"

namespace crfrnn {

// Beyond this many lattice units T cannot tell apart points of one simplex (and the rounding of the embedding
// breaks down).
template <typename T>
constexpr double kLargestCoordinate = sizeof(T) == 4 ? 2097152.0 : 536870912.0;

// Factors of the features on their way to the hyperplane whose coordinates sum to zero: unit-variance
// Gaussian, lattice of remainder-0 points scaled by d + 1.
template <typename T>
struct Elevation {
  T scale[kMaxDimension];
};

template <typename T>
Elevation<T> elevation(int d) {
  Elevation<T> e{};
  const double deviation = std::sqrt(2.0 / 3.0) * (d + 1);
  for (int i = 0; i < d; ++i) {
    e.scale[i] = static_cast<T>(1.0 / std::sqrt((i + 1.0) * (i + 2.0)) * deviation);
  }
  return e;
}

// What slicing multiplies by, so that a wide Gaussian keeps a constant's sum.
template <typename T>
T slice_gain(int d) {
  return static_cast<T>(1 / (1 + std::pow(2.0, -d)));
}

}  // namespace crfrnn
