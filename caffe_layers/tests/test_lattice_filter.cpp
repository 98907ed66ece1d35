// PermutohedralLattice::filter and ones_response.
#include <cmath>
#include <cstdint>
#include <vector>

#include "crfrnn/permutohedral.hpp"
#include "plain_lattice.hpp"
#include "testing.hpp"

using crfrnn::PermutohedralLattice;
using testing::random_values;

namespace {

template <typename T>
void check_against_plain(int d, std::int64_t channels) {
  const std::int64_t points = 300;  // of two blocks
  const std::vector<T> features = random_values<T>(points * d, 1.5, 1),
                       in = random_values<T>(points * channels, 1, 2);
  const PermutohedralLattice<T> lattice(features.data(), points, d, 2);
  const testing::PlainLattice plain(features.data(), points, d);
  std::vector<T> out(in.size());
  for (bool reverse : {false, true}) {
    lattice.filter(in.data(), out.data(), channels, reverse, 2);
    CHECK_CLOSE(out, plain.filter_rows(in, channels, reverse), sizeof(T) == 4 ? 1e-4 : 1e-12);
  }
  const crfrnn::Buffer<T> ones = lattice.ones_response(2);
  CHECK_CLOSE(std::vector<T>(ones.data(), ones.data() + points),
              plain.filter(std::vector<double>(points, 1.0)), sizeof(T) == 4 ? 1e-4 : 1e-12);
}

template <typename T>
void check_threads_and_transpose(int d) {
  const std::int64_t points = 3000, channels = 5;
  const std::vector<T> features = random_values<T>(points * d, 2.0, 2);
  const std::vector<T> a = random_values<T>(points * channels, 1, 3),
                       b = random_values<T>(points * channels, 1, 4);
  std::vector<T> ka(a.size()), tb(b.size());
  const PermutohedralLattice<T> lattice(features.data(), points, d, 1);
  lattice.filter(a.data(), ka.data(), channels, false, 1);
  for (int threads : {2, 4, 7}) {
    std::vector<T> again(a);
    const PermutohedralLattice<T> other(features.data(), points, d, threads);
    other.filter(again.data(), again.data(), channels, false, threads);  // in place
    CHECK(again == ka);
  }
  lattice.filter(b.data(), tb.data(), channels, true, 3);
  CHECK(testing::are_adjoint(ka, b, a, tb));
}

}  // namespace

TEST(the_filter_is_that_of_the_plain_lattice) {
  for (int d : {1, 2, 3, 5}) {
    check_against_plain<float>(d, 3);
    check_against_plain<double>(d, 3);
  }
  check_against_plain<double>(2, 30);  // rows of two groups of channels
  check_against_plain<double>(8, 1);
}

// The truth of the test above against the Gaussian it stands for.
TEST(the_plain_lattice_approximates_a_gaussian) {
  const std::int64_t side = 24, points = side * side;
  std::vector<double> features(2 * points), in(points), dense(points, 0.0), masses(points, 0.0);
  for (std::int64_t p = 0; p < points; ++p) {
    features[2 * p] = double(p % side) / 3;
    features[2 * p + 1] = double(p / side) / 3;
    in[p] = std::sin(features[2 * p]) + features[2 * p + 1];
  }
  for (std::int64_t p = 0; p < points; ++p) {
    for (std::int64_t q = 0; q < points; ++q) {
      const double dx = features[2 * p] - features[2 * q], dy = features[2 * p + 1] - features[2 * q + 1];
      const double weight = std::exp(-(dx * dx + dy * dy) / 2);
      dense[p] += weight * in[q];
      masses[p] += weight;
    }
    dense[p] /= masses[p];
  }
  const testing::PlainLattice plain(features.data(), points, 2);
  std::vector<double> out = plain.filter(in);
  const std::vector<double> ones = plain.filter(std::vector<double>(points, 1.0));
  for (std::int64_t p = 0; p < points; ++p) out[p] /= ones[p];
  CHECK_CLOSE(out, dense, 0.03);
}

TEST(the_filter_is_the_same_on_any_number_of_threads_and_has_a_transpose) {
  for (int d : {1, 2, 5, 16, 32}) {
    check_threads_and_transpose<float>(d);
    check_threads_and_transpose<double>(d);
  }
}

TEST(packed_and_wide_keys_agree) {
  // One far point makes the coordinates too wide to pack; it shares no vertex with the others.
  const int dimension = 6;
  const std::int64_t points = 2000;
  std::vector<double> features = random_values<double>(points * dimension, 1.0, 5);
  const std::vector<double> values = random_values<double>(points + 1, 1.0, 6);
  std::vector<double> near(points), far(points + 1);
  PermutohedralLattice<double>(features.data(), points, dimension, 2)
      .filter(values.data(), near.data(), 1, false, 2);
  for (int i = 0; i < dimension; ++i) features.push_back(i % 2 ? 5e6 : -5e6);
  PermutohedralLattice<double>(features.data(), points + 1, dimension, 2)
      .filter(values.data(), far.data(), 1, false, 2);
  far.pop_back();
  CHECK(near == far);
}

TEST(there_must_be_a_channel) {
  const std::vector<float> features(4, 0.5f);
  const PermutohedralLattice<float> lattice(features.data(), 2, 2, 1);
  CHECK(testing::contains(testing::message_of([&] { lattice.filter(nullptr, nullptr, 0, false, 1); }),
                          "at least one channel"));
}
