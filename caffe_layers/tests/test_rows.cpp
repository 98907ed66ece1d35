// Every loop of RowOps against its definition in rows.hpp, number by number.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "rows.hpp"
#include "testing.hpp"

using crfrnn::kGroup;
using crfrnn::kLanes;
using crfrnn::row_ops;
using testing::random_values;

namespace {

constexpr std::int64_t kWidths[] = {kLanes, 2 * kLanes, 3 * kLanes};

// count numbers below `most`.
std::vector<std::int32_t> some_indices(std::int64_t count, std::int32_t most, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<std::int32_t> list(count);
  for (std::int32_t& i : list) i = static_cast<std::int32_t>(generator() % static_cast<unsigned>(most));
  return list;
}

template <typename T>
void check_softmax(std::int64_t classes, double deviation) {
  const std::int64_t stride = (classes + kLanes - 1) / kLanes * kLanes, count = 37;
  std::vector<T> rows(count * stride, -std::numeric_limits<T>::infinity());
  const std::vector<T> scores = random_values<T>(count * classes, deviation, 1);
  std::vector<double> expected(count * stride, 0.0);
  for (std::int64_t p = 0; p < count; ++p) {
    const T* s = scores.data() + p * classes;
    std::copy_n(s, classes, rows.data() + p * stride);
    const T top = *std::max_element(s, s + classes);
    double sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(double(s[c] - top));
    for (std::int64_t c = 0; c < classes; ++c) expected[p * stride + c] = std::exp(double(s[c] - top)) / sum;
  }
  row_ops<T>().softmax(rows.data(), stride, count);
  for (std::size_t i = 0; i < rows.size(); ++i) {  // relative to each number: small ones matter as well
    const double most = sizeof(T) == 4 ? 1e-6 : 1e-14;
    CHECK(std::abs(rows[i] - expected[i]) <= most * expected[i] + 1e-37);
  }
}

template <typename T>
void check_softmax_at_its_limits() {
  constexpr T kNever = -std::numeric_limits<T>::infinity();
  std::vector<T> rows(3 * kLanes, kNever);
  const T most = std::numeric_limits<T>::max();
  const T first[] = {T(0), T(-1e4), T(-most), kNever, T(-86), T(-88), T(-300), T(-200)};
  std::copy_n(first, kLanes, rows.data());
  rows[kLanes] = most;
  rows[kLanes + 1] = most;
  rows[2 * kLanes] = std::numeric_limits<T>::quiet_NaN();
  rows[2 * kLanes + 1] = T(1);
  row_ops<T>().softmax(rows.data(), kLanes, 3);
  CHECK(rows[0] == T(1) && rows[1] == T(0) && rows[2] == T(0) && rows[3] == T(0));
  CHECK(std::abs(double(rows[4]) / std::exp(-86.0) - 1) < 1e-5);
  CHECK(rows[5] < T(1e-38) && rows[6] < T(1e-38));
  CHECK(rows[kLanes] == T(0.5) && rows[kLanes + 1] == T(0.5) && rows[kLanes + 2] == T(0));
  CHECK(std::isnan(rows[2 * kLanes + 1]));
}

template <typename T>
void check_softmax_gradient() {
  const std::int64_t stride = 2 * kLanes, count = 5;
  std::vector<T> q = random_values<T>(count * stride, 1, 2), rows = random_values<T>(count * stride, 1, 3);
  std::vector<double> expected(rows.size());
  for (std::int64_t p = 0; p < count; ++p) {
    double dot = 0;
    for (std::int64_t c = p * stride; c < (p + 1) * stride; ++c) dot += double(q[c]) * double(rows[c]);
    for (std::int64_t c = p * stride; c < (p + 1) * stride; ++c)
      expected[c] = double(q[c]) * (double(rows[c]) - dot);
  }
  row_ops<T>().softmax_gradient(q.data(), rows.data(), stride, count);
  CHECK_CLOSE(rows, expected, testing::kRounding<T>);
}

// Splat and slice of points with any simplices; scale and factor as they may be missing.
template <typename T>
void check_simplices(std::int64_t width, int corners, bool scaled) {
  const std::int64_t points = 29, vertices = 40, stride = width + kLanes;
  const std::vector<std::int32_t> corner = some_indices(points * corners, vertices, 4);
  const std::vector<T> weight = random_values<T>(points * corners, 1, 5),
                       scale = random_values<T>(points, 1, 6);
  const std::vector<T> factor = random_values<T>(width, 1, 7), base = random_values<T>(points * stride, 1, 8);
  const std::vector<T> in = random_values<T>(points * stride, 1, 9),
                       rows = random_values<T>(vertices * width, 1, 10);
  crfrnn::SimplexArgs<T> args{};
  args.corner = corner.data();
  args.weight = weight.data();
  args.scale = scaled ? scale.data() : nullptr;
  args.gain = T(0.75);
  args.factor = scaled ? factor.data() : nullptr;
  args.corners = corners;
  args.count = points;
  args.width = width;
  args.stride = stride;

  std::vector<double> sliced(points * stride, 3.0), splatted(rows.begin(), rows.end());
  for (std::int64_t p = 0; p < points; ++p) {
    for (std::int64_t c = 0; c < width; ++c) {
      const double s = scaled ? double(scale[p]) : 0.75;
      double sum = 0;
      for (int j = 0; j < corners; ++j) {
        const std::int64_t e = p * corners + j;
        sum += double(weight[e]) * double(rows[corner[e] * width + c]);
        splatted[corner[e] * width + c] += s * double(weight[e]) * double(in[p * stride + c]);
      }
      sliced[p * stride + c] = s * (scaled ? double(factor[c]) : 1.0) * sum;
    }
  }
  std::vector<T> out(points * stride, T(3)), on(rows);
  row_ops<T>().slice(args, rows.data(), nullptr, out.data());
  CHECK_CLOSE(out, sliced, testing::kRounding<T>);
  row_ops<T>().slice(args, rows.data(), base.data(), out.data());
  for (std::int64_t i = 0; i < points * stride; ++i) {
    if (i % stride < width) sliced[i] += double(base[i]);
  }
  CHECK_CLOSE(out, sliced, testing::kRounding<T>);
  row_ops<T>().splat(args, in.data(), on.data());
  CHECK_CLOSE(on, splatted, testing::kRounding<T>);
}

template <typename T>
void check_ghosts(std::int64_t width) {
  // Vertices 2, 5 and 6 are shared by 1, 3 and 2 later blocks.
  const std::vector<std::int32_t> shared{5, 2, 6, 5, 6, 5};
  const std::vector<crfrnn::SharedVertex> by_vertex{{2, 0}, {5, 1}, {6, 4}, {7, 6}};
  const std::vector<std::int32_t> place{1, 0, 3, 5, 2, 4};
  const std::vector<T> rows = random_values<T>(7 * width, 1, 11);
  std::vector<T> ghosts(6 * width);
  row_ops<T>().gather({rows.data(), shared.data(), 6, width, ghosts.data()});
  for (std::int64_t i = 0; i < 6 * width; ++i)
    CHECK(ghosts[i] == rows[shared[i / width] * width + i % width]);
  ghosts = random_values<T>(6 * width, 1, 12);
  std::vector<double> expected(rows.begin(), rows.end());
  for (std::int64_t i = 0; i < 6 * width; ++i)
    expected[shared[i / width] * width + i % width] += double(ghosts[i]);
  std::vector<T> merged(rows);
  row_ops<T>().merge({by_vertex.data(), place.data(), ghosts.data(), merged.data(), width}, 0, 2);
  row_ops<T>().merge({by_vertex.data(), place.data(), ghosts.data(), merged.data(), width}, 2, 3);
  CHECK_CLOSE(merged, expected, testing::kRounding<T>);
}

template <typename T>
void check_blur(std::int64_t width) {
  // Two chains: 4 - 0 - 3 and 5 - 1; vertex 2 is on none.
  const std::vector<std::int32_t> order{4, 0, 3, 5, 1};
  const std::vector<T> link{T(0.5), T(0.5), T(0), T(0.5), T(0)};
  const std::vector<T> rows = random_values<T>(6 * width, 1, 13);
  std::vector<double> expected(rows.begin(), rows.end());
  for (auto [a, b] : std::vector<std::pair<int, int>>{{4, 0}, {0, 3}, {5, 1}}) {
    for (std::int64_t c = 0; c < width; ++c) {
      expected[a * width + c] += 0.5 * double(rows[b * width + c]);
      expected[b * width + c] += 0.5 * double(rows[a * width + c]);
    }
  }
  std::vector<T> blurred(rows);
  for (auto [begin, end] : std::vector<std::pair<int, int>>{{0, 3}, {3, 3}, {3, 5}}) {
    row_ops<T>().blur({order.data(), link.data(), blurred.data(), width}, begin, end);
  }
  CHECK_CLOSE(blurred, expected, testing::kRounding<T>);
}

template <typename T>
void check_mix_and_outer(std::int64_t width) {
  const std::int64_t channels = width - 3, count = 7, stride = width + kLanes;
  const std::vector<T> in = random_values<T>(count * stride, 1, 14),
                       matrix = random_values<T>(channels * stride, 1, 15);
  std::vector<T> out(count * width);
  std::vector<double> expected(count * width, 0.0);
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t j = 0; j < width; ++j) {
        expected[i * width + j] += double(in[i * stride + c]) * double(matrix[c * stride + j]);
      }
    }
  }
  crfrnn::MixArgs<T> mix{};
  mix.in = in.data();
  mix.in_stride = stride;
  mix.matrix = matrix.data();
  mix.matrix_stride = stride;
  mix.channels = channels;
  mix.out = out.data();
  mix.out_stride = width;
  mix.width = width;
  row_ops<T>().mix(mix, 0, count);
  CHECK_CLOSE(out, expected, testing::kRounding<T>);

  const std::int64_t rows = 300;
  const std::vector<T> y = random_values<T>(rows * stride, 1, 16), x = random_values<T>(rows * width, 1, 17);
  std::vector<T> sum = random_values<T>(channels * stride, 1, 18);
  std::vector<double> sums(sum.begin(), sum.end());
  for (std::int64_t i = 2; i < rows; ++i) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t j = 0; j < width; ++j)
        sums[c * stride + j] += double(y[i * stride + c]) * double(x[i * width + j]);
    }
  }
  crfrnn::OuterArgs<T> outer{};
  outer.y = y.data();
  outer.y_width = stride;
  outer.channels = channels;
  outer.x = x.data();
  outer.x_width = width;
  outer.sum = sum.data();
  outer.sum_stride = stride;
  row_ops<T>().outer(outer, 2, rows);
  CHECK_CLOSE(sum, sums, testing::kRounding<T>);
}

template <typename T>
void check_all_widths() {
  for (std::int64_t width : kWidths) {
    for (int corners : {2, 3, 5, 6, 9}) {
      check_simplices<T>(width, corners, false);
      check_simplices<T>(width, corners, true);
    }
    check_ghosts<T>(width);
    check_blur<T>(width);
    check_mix_and_outer<T>(width);
  }
}

}  // namespace

TEST(the_softmax_is_that_of_exp_in_double) {
  for (std::int64_t classes : {1, 2, 8, 21, 24, 30, 100}) {
    for (double deviation : {0.1, 3.0, 30.0}) {
      check_softmax<float>(classes, deviation);
      check_softmax<double>(classes, deviation);
    }
  }
}

// The exponents of scores far below the top overflowed a signed integer: undefined, though the result was not
// used.
TEST(the_softmax_holds_at_the_limits_of_its_numbers) {
  check_softmax_at_its_limits<float>();
  check_softmax_at_its_limits<double>();
}

TEST(the_gradient_of_the_softmax_by_its_formula) {
  check_softmax_gradient<float>();
  check_softmax_gradient<double>();
}

TEST(rows_are_added) {
  std::vector<float> a = random_values<float>(5 * kGroup, 1, 20), b = random_values<float>(5 * kGroup, 1, 21),
                     sum(a);
  row_ops<float>().add(b.data(), sum.data(), kGroup, 5);
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(sum[i] == a[i] + b[i]);
}

TEST(loops_over_rows_of_every_width_by_their_definition) {
  check_all_widths<float>();
  check_all_widths<double>();
}
