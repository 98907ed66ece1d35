// The small matrices between classes: filter weights W_k, compatibility mu, and their products.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "crfrnn/buffer.hpp"
#include "crfrnn/mean_field.hpp"

namespace crfrnn {

using Matrix = std::vector<double>;  // C x C, row-major

// A C x C matrix with padded rows, as the mixing kernel takes it.
template <typename T>
Buffer<T> padded_matrix(const std::vector<double>& m, std::int64_t classes) {
  const std::int64_t stride = row_stride(classes);
  Buffer<T> padded(classes * stride);
  std::fill_n(padded.data(), padded.size(), T(0));
  for (std::int64_t i = 0; i < classes; ++i) {
    for (std::int64_t j = 0; j < classes; ++j) {
      padded[i * stride + j] = static_cast<T>(m[i * classes + j]);
    }
  }
  return padded;
}

template <typename T>
Matrix to_matrix(const T* m, std::int64_t classes) {
  return Matrix(m, m + classes * classes);
}

inline Matrix transposed(const Matrix& a, std::int64_t n) {
  Matrix t(a.size());
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) t[j * n + i] = a[i * n + j];
  }
  return t;
}

inline Matrix product(const Matrix& a, const Matrix& b, std::int64_t n, double factor) {
  Matrix c(a.size(), 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t k = 0; k < n; ++k) {
      for (std::int64_t j = 0; j < n; ++j) c[i * n + j] += factor * a[i * n + k] * b[k * n + j];
    }
  }
  return c;
}

// The matrices of one call. forward[k] = -(mu W_k)^T and backward[k] = -(mu W_k), input channel major.
template <typename T>
struct Mixing {
  std::int64_t classes;
  std::vector<Matrix> weight;
  Matrix compatibility;
  std::vector<Buffer<T>> forward;
  std::vector<Buffer<T>> backward;

  explicit Mixing(const KernelFieldInput<T>& in)
      : classes(in.classes), compatibility(to_matrix(in.compatibility, classes)) {
    for (const T* w : in.weights) weight.push_back(to_matrix(w, classes));
    for (const Matrix& w : weight) {
      const Matrix both = product(compatibility, w, classes, -1.0);
      forward.push_back(padded_matrix<T>(transposed(both, classes), classes));
      backward.push_back(padded_matrix<T>(both, classes));
    }
  }
};

}  // namespace crfrnn
