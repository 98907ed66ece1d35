#include <algorithm>
#include <cstdint>
#include <vector>

#include "lattice_pass.hpp"
#include "plain_lattice.hpp"
#include "testing.hpp"

using crfrnn::ClassMatrix;
using crfrnn::LatticePass;
using crfrnn::Matrix;
using crfrnn::PermutohedralLattice;
using testing::random_values;

namespace {

// A pass over two lattices, of 2 and of 4 dimensions, and the plain ones. With spread points a lattice has
// more vertices than points, and classes are mixed at the points.
template <typename T>
struct Setting {
  explicit Setting(std::int64_t channels, double spread)
      : channels(channels),
        stride(crfrnn::row_stride(channels)),
        scale(random_values<T>(kPoints, 1, 3)),
        lattice_a(random_values<T>(kPoints * 2, spread, 1).data(), kPoints, 2, 2),
        lattice_b(random_values<T>(kPoints * 4, spread, 2).data(), kPoints, 4, 2),
        plain_a(random_values<T>(kPoints * 2, spread, 1).data(), kPoints, 2),
        plain_b(random_values<T>(kPoints * 4, spread, 2).data(), kPoints, 4),
        pass({{&lattice_a, nullptr, nullptr, T(1)}, {&lattice_b, scale.data(), scale.data(), T(1)}}, channels,
             2) {}

  // points x channels to rows, and back.
  void read(const std::vector<T>& from, std::int64_t first, std::int64_t count, T* rows) const {
    for (std::int64_t p = 0; p < count; ++p) {
      std::copy_n(from.data() + (first + p) * channels, channels, rows + p * stride);
      std::fill_n(rows + p * stride + channels, stride - channels, T(0));
    }
  }
  void write(const T* rows, std::int64_t first, std::int64_t count, std::vector<T>* to) const {
    for (std::int64_t p = 0; p < count; ++p) {
      std::copy_n(rows + p * stride, channels, to->data() + (first + p) * channels);
    }
  }

  // What the pass computes of `in`: the sum over both terms of filter(in) times the term's matrix.
  std::vector<double> expected(const std::vector<double>& in, const std::vector<Matrix>& matrices,
                               bool reverse) const {
    std::vector<double> sum(in.size(), 0.0), scaled(in);
    for (std::int64_t i = 0; i < kPoints * channels; ++i) scaled[i] *= double(scale[i / channels]);
    add(plain_a.filter_rows(in, channels, reverse), matrices[0], 1 + 0.25, nullptr, &sum);
    add(plain_b.filter_rows(scaled, channels, reverse), matrices[1], 1 + 0.0625, scale.data(), &sum);
    return sum;
  }

  static constexpr std::int64_t kPoints = 300;  // of two blocks
  std::int64_t channels;
  std::int64_t stride;
  std::vector<T> scale;
  PermutohedralLattice<T> lattice_a, lattice_b;
  testing::PlainLattice plain_a, plain_b;
  LatticePass<T> pass;

 private:
  // sum += rows * matrix, without the gain that the plain lattice multiplies by.
  void add(const std::vector<double>& rows, const Matrix& matrix, double gain, const T* factor,
           std::vector<double>* sum) const {
    for (std::int64_t p = 0; p < kPoints; ++p) {
      for (std::int64_t c = 0; c < channels; ++c) {
        double mixed = 0;
        for (std::int64_t k = 0; k < channels; ++k)
          mixed += rows[p * channels + k] * matrix[k * channels + c];
        (*sum)[p * channels + c] += mixed * gain * (factor ? double(factor[p]) : 1.0);
      }
    }
  }
};

Matrix some_matrix(std::int64_t n, bool diagonal, unsigned seed) {
  Matrix m = random_values<double>(n * n, 1, seed);
  for (std::int64_t i = 0; diagonal && i < n * n; ++i) m[i] *= i % (n + 1) == 0;
  return m;
}

template <typename T>
void check_passes(std::int64_t channels, double spread, bool diagonal, bool reverse) {
  Setting<T> s(channels, spread);
  const std::vector<T> in = random_values<T>(s.kPoints * channels, 1, 4);
  const std::vector<T> start = random_values<T>(s.kPoints * s.stride, 1, 5);
  const std::vector<Matrix> matrices{some_matrix(channels, diagonal, 6), some_matrix(channels, false, 7)};
  std::vector<ClassMatrix<T>> mixing;
  for (const Matrix& m : matrices) mixing.emplace_back(m, channels);
  const double most = sizeof(T) == 4 ? 2e-4 : 1e-12;

  // From points to points and, in the same step, back to the vertices.
  std::vector<T> once(in.size()), twice(in.size());
  s.pass.splat([&](std::int64_t first, std::int64_t count, T* rows) { s.read(in, first, count, rows); });
  s.pass.blur(reverse);
  s.pass.mix(mixing);
  s.pass.step(start.data(), [&](std::int64_t first, std::int64_t count, T* rows) {
    s.write(rows, first, count, &once);
    for (std::int64_t i = 0; i < count * s.stride; ++i) rows[i] *= T(0.01);
  });
  std::vector<double> expected = s.expected(std::vector<double>(in.begin(), in.end()), matrices, reverse);
  for (std::int64_t i = 0; i < s.kPoints * channels; ++i)
    expected[i] += double(start[i / channels * s.stride + i % channels]);
  CHECK_CLOSE(once, expected, most);

  s.pass.blur(reverse);
  s.pass.mix(mixing);
  s.pass.slice(nullptr,
               [&](std::int64_t first, std::int64_t count, T* rows) { s.write(rows, first, count, &twice); });
  for (double& x : expected) x *= 0.01;
  CHECK_CLOSE(twice, s.expected(expected, matrices, reverse), most);
}

// The vertex rows of a term, vertices x channels.
template <typename T>
std::vector<T> unpacked(const crfrnn::Buffer<T>& rows, std::int64_t vertices, std::int64_t channels) {
  const std::int64_t stride = crfrnn::row_stride(channels);
  std::vector<T> out(vertices * channels);
  for (std::int64_t v = 0; v < vertices; ++v) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const std::int64_t group = c / crfrnn::kGroup, width = crfrnn::group_width(stride, group);
      out[v * channels + c] = rows[group * crfrnn::kGroup * vertices + v * width + c % crfrnn::kGroup];
    }
  }
  return out;
}

}  // namespace

TEST(passes_compute_what_plain_lattices_and_matrices_do) {
  for (std::int64_t channels : {5, 24, 30}) {
    for (double spread : {0.5, 8.0}) {
      check_passes<double>(channels, spread, false, false);
      check_passes<double>(channels, spread, true, true);
      check_passes<float>(channels, spread, channels == 24, false);
    }
  }
}

TEST(outer_products_of_vertex_rows_by_their_definition) {
  for (std::int64_t channels : {5, 30}) {
    Setting<double> s(channels, 1.0);
    std::vector<ClassMatrix<double>> ones;
    for (int k = 0; k < 2; ++k) ones.emplace_back(Matrix(channels * channels, 1.0), channels);
    LatticePass<double>::VertexRows x, y;
    for (auto* kept : {&x, &y}) {
      const std::vector<double> in = random_values<double>(s.kPoints * channels, 1, kept == &x ? 8 : 9);
      s.pass.splat(
          [&](std::int64_t first, std::int64_t count, double* rows) { s.read(in, first, count, rows); });
      std::vector<Matrix> sums(2, Matrix(channels * channels, 0.5));
      if (kept == &y) s.pass.add_outer_products(x, &sums);
      s.pass.mix(ones, kept);
      if (kept == &x) continue;
      const std::int64_t vertices[] = {s.lattice_a.vertices(), s.lattice_b.vertices()};
      for (int k = 0; k < 2; ++k) {
        const auto xs = unpacked(x[k], vertices[k], channels), ys = unpacked(y[k], vertices[k], channels);
        Matrix expected(channels * channels, 0.5);
        for (std::int64_t v = 0; v < vertices[k]; ++v) {
          for (std::int64_t i = 0; i < channels * channels; ++i) {
            expected[i] += ys[v * channels + i / channels] * xs[v * channels + i % channels];
          }
        }
        CHECK_CLOSE(sums[k], expected, 1e-12);
      }
    }
  }
}

TEST(chains_are_not_cut_in_the_middle) {
  crfrnn::BlurAxis<float> axis{crfrnn::Buffer<std::int32_t>(5), crfrnn::Buffer<float>(5)};
  const float links[] = {0.5f, 0.5f, 0.0f, 0.5f, 0.0f};
  std::copy_n(links, 5, axis.link.data());
  const std::int64_t starts[] = {0, 3, 3, 3, 5, 5};
  for (int at = 0; at <= 5; ++at) CHECK(crfrnn::chain_start(axis, at) == starts[at]);
}
