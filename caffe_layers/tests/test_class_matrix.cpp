#include <cstdint>
#include <vector>

#include "class_matrix.hpp"
#include "testing.hpp"

using crfrnn::ClassMatrix;
using crfrnn::Matrix;

TEST(products_of_small_matrices_by_their_definition) {
  const std::int64_t n = 5;
  const std::vector<float> a = testing::random_values<float>(n * n, 1, 1);
  const Matrix b = testing::random_values<double>(n * n, 1, 2);
  const Matrix c = crfrnn::product(crfrnn::to_matrix(a.data(), n), b, n, -2.0);
  const Matrix t = crfrnn::transposed(b, n);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::int64_t k = 0; k < n; ++k) sum += double(a[i * n + k]) * b[k * n + j];
      CHECK(std::abs(c[i * n + j] + 2 * sum) < 1e-14);
      CHECK(t[i * n + j] == b[j * n + i]);
    }
  }
}

TEST(a_class_matrix_is_padded_with_zeros_and_knows_diagonals) {
  for (std::int64_t n : {1, 8, 21}) {
    const std::int64_t stride = crfrnn::row_stride(n);
    Matrix m = testing::random_values<double>(n * n, 1, 3);
    for (bool diagonal : {false, true}) {
      if (diagonal) {
        for (std::int64_t i = 0; i < n * n; ++i) m[i] *= i % (n + 1) == 0;
      }
      const ClassMatrix<float> made(m, n);
      for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j < stride; ++j) {
          CHECK(made.data()[i * stride + j] == (j < n ? static_cast<float>(m[i * n + j]) : 0.0f));
        }
      }
      CHECK((made.diagonal() != nullptr) == (diagonal || n == 1));
      if (!made.diagonal()) continue;
      for (std::int64_t j = 0; j < stride; ++j) {
        CHECK(made.diagonal()[j] == (j < n ? static_cast<float>(m[j * n + j]) : 0.0f));
      }
    }
  }
}
