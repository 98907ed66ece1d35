// Jobs on the small matrices between classes: filter weights W_k, compatibility mu, and their products in
// double.
#pragma once

#include <cstdint>

#include "backend.hpp"
#include "chunk.hpp"

namespace crfrnn {
namespace cuda {

template <typename T>
struct CopyNumbers {
  const T* from;
  T* to;
  std::int64_t count;
  CRFRNN_DEVICE std::int64_t size() const { return count; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t i) const { to[i] = from[i]; }
};

// forward = -(mu W)^T and backward = -(mu W), input channel major, rows and columns padded with zeros.
template <typename T>
struct MixingMatrices {
  const T* weight;
  const T* compatibility;
  Chunk<T>* forward;
  Chunk<T>* backward;
  int classes;
  int groups;

  CRFRNN_DEVICE std::int64_t size() const {
    return static_cast<std::int64_t>(groups) * kChunk * groups * kChunk;
  }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t item) const {
    const int i = static_cast<int>(item / (groups * kChunk)), j = static_cast<int>(item % (groups * kChunk));
    double sum = 0;
    if (i < classes && j < classes) {
      for (int l = 0; l < classes; ++l) {
        sum += double(compatibility[static_cast<std::int64_t>(i) * classes + l]) *
               double(weight[static_cast<std::int64_t>(l) * classes + j]);
      }
    }
    backward[static_cast<std::int64_t>(i) * groups + j / kChunk].v[j % kChunk] = static_cast<T>(-sum);
    forward[static_cast<std::int64_t>(j) * groups + i / kChunk].v[i % kChunk] = static_cast<T>(-sum);
  }
};

// correlation = sum of the parts that OuterProducts made.
template <typename T>
struct SumParts {
  const Chunk<T>* part;
  double* correlation;  // classes x classes
  int parts;
  int classes;
  int groups;

  CRFRNN_DEVICE std::int64_t size() const { return static_cast<std::int64_t>(classes) * classes; }
  CRFRNN_DEVICE void operator()(const Lanes& lanes, std::int64_t item) const {
    const std::int64_t row = item / classes, column = item % classes;
    double sum = 0;
    for (int i = lanes.lane(); i < parts; i += lanes.width()) {
      sum += part[(static_cast<std::int64_t>(i) * groups * kChunk + row) * groups + column / kChunk]
                 .v[column % kChunk];
    }
    sum = lanes.sum(sum);
    if (lanes.lane() == 0) correlation[item] = sum;
  }
};

// out = -mu^T correlation: the gradient of W_k.
template <typename T>
struct WeightGradient {
  const T* compatibility;
  const double* correlation;
  T* out;
  int classes;

  CRFRNN_DEVICE std::int64_t size() const { return static_cast<std::int64_t>(classes) * classes; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t item) const {
    const std::int64_t row = item / classes, column = item % classes;
    double sum = 0;
    for (std::int64_t l = 0; l < classes; ++l) {
      sum += double(compatibility[l * classes + row]) * correlation[l * classes + column];
    }
    out[item] = static_cast<T>(-sum);
  }
};

// out = -sum_k correlation_k W_k^T: the gradient of mu.
template <typename T>
struct CompatibilityGradient {
  const T* weights;           // W_0
  std::int64_t weight_step;   // from W_k to W_k+1
  const double* correlation;  // kernels x classes x classes
  T* out;
  int kernels;
  int classes;

  CRFRNN_DEVICE std::int64_t size() const { return static_cast<std::int64_t>(classes) * classes; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t item) const {
    const std::int64_t row = item / classes, column = item % classes;
    double sum = 0;
    for (std::int64_t k = 0; k < kernels; ++k) {
      const double* correlated = correlation + k * classes * classes + row * classes;
      const T* weight = weights + k * weight_step + column * classes;
      for (std::int64_t l = 0; l < classes; ++l) sum += correlated[l] * double(weight[l]);
    }
    out[item] = static_cast<T>(-sum);
  }
};

}  // namespace cuda
}  // namespace crfrnn
