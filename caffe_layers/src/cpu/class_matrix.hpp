// The small matrices between classes: filter weights W_k, compatibility mu, and their products.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "crfrnn/buffer.hpp"
#include "crfrnn/permutohedral.hpp"

namespace crfrnn {

using Matrix = std::vector<double>;  // C x C, row-major

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

// What a kernel's filtered Q adds to the scores, from the class of the row to that of the column:
// -(mu W_k)^T.
template <typename T>
Matrix message_matrix(const T* compatibility, const T* weights, std::int64_t classes) {
  const Matrix both = product(to_matrix(compatibility, classes), to_matrix(weights, classes), classes, -1.0);
  return transposed(both, classes);
}

// A matrix with padded rows, as rows of channels are multiplied with it. A diagonal one, which a Potts model
// with a weight per class amounts to, is known as such: scaling is much cheaper than a product.
template <typename T>
class ClassMatrix {
 public:
  ClassMatrix(const Matrix& m, std::int64_t classes) : padded_(classes * row_stride(classes)) {
    const std::int64_t stride = row_stride(classes);
    std::fill_n(padded_.data(), padded_.size(), T(0));
    bool is_diagonal = true;
    for (std::int64_t i = 0; i < classes; ++i) {
      for (std::int64_t j = 0; j < classes; ++j) {
        padded_[i * stride + j] = static_cast<T>(m[i * classes + j]);
        is_diagonal = is_diagonal && (i == j || padded_[i * stride + j] == T(0));
      }
    }
    if (!is_diagonal) return;
    diagonal_ = Buffer<T>(stride);
    std::fill_n(diagonal_.data(), stride, T(0));
    for (std::int64_t i = 0; i < classes; ++i) diagonal_[i] = padded_[i * stride + i];
  }

  // classes x stride, input channel major.
  const T* data() const { return padded_.data(); }
  // stride values, or null if other elements are not 0.
  const T* diagonal() const { return diagonal_.size() ? diagonal_.data() : nullptr; }

 private:
  Buffer<T> padded_;
  Buffer<T> diagonal_;
};

}  // namespace crfrnn
