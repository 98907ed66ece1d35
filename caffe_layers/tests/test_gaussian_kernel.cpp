#include <cmath>
#include <cstdint>
#include <vector>

#include "crfrnn/gaussian_kernel.hpp"
#include "pixel_rows.hpp"
#include "plain_field.hpp"
#include "testing.hpp"

using crfrnn::FieldKernel;
using crfrnn::GaussianKernel;
using crfrnn::KernelFeatures;
using crfrnn::Normalization;
using crfrnn::pixel_order;
using testing::contains;
using testing::message_of;
using testing::random_values;

namespace {

constexpr std::int64_t kHeight = 12, kWidth = 10, kPixels = kHeight * kWidth;

std::vector<std::uint8_t> half_mask() {
  std::vector<std::uint8_t> mask(kPixels, 1);
  for (std::int64_t i = kPixels / 2; i < kPixels; ++i) mask[i] = 0;
  return mask;
}

template <typename T>
FieldKernel<T> some_kernel(const std::vector<T>& depth, Normalization normalization) {
  FieldKernel<T> kernel;
  kernel.features.theta_x = 2;
  kernel.features.theta_y = 3;
  kernel.features.values = depth.data();
  kernel.features.channels = 1;
  kernel.features.theta = 0.7;
  kernel.normalization = normalization;
  return kernel;
}

template <typename T>
void check_kernel(Normalization normalization, const std::uint8_t* mask) {
  const std::int64_t channels = 3;
  const std::vector<T> depth = random_values<T>(2 * kPixels, 2, 1);  // of two images
  const auto described = some_kernel(depth, normalization);
  const auto kernel = crfrnn::kernel_of_image(described, pixel_order(kHeight, kWidth, mask), 1, 2);
  const testing::PlainKernel plain(described, kHeight, kWidth, 1, mask);
  const std::vector<T> a = random_values<T>(channels * kPixels, 1, 2),
                       b = random_values<T>(channels * kPixels, 1, 3);
  std::vector<T> ka(a.size()), tb(b.size());
  kernel->filter(a.data(), ka.data(), channels, false, 2);
  kernel->filter(b.data(), tb.data(), channels, true, 2);
  std::vector<double> expected, expected_transposed;
  for (std::int64_t c = 0; c < channels; ++c) {
    for (bool transpose : {false, true}) {
      const std::vector<T>& in = transpose ? b : a;
      std::vector<double>& to = transpose ? expected_transposed : expected;
      const std::vector<double> plane(in.begin() + c * kPixels, in.begin() + (c + 1) * kPixels);
      const std::vector<double> out = plain.filter(plane.data(), transpose);
      to.insert(to.end(), out.begin(), out.end());
    }
  }
  CHECK_CLOSE(ka, expected, sizeof(T) == 4 ? 1e-4 : 1e-12);
  CHECK_CLOSE(tb, expected_transposed, sizeof(T) == 4 ? 1e-4 : 1e-12);
  CHECK(testing::are_adjoint(ka, b, a, tb));
  CHECK(kernel->bytes() > 0);
}

}  // namespace

TEST(kernels_are_the_plain_ones_for_every_normalization_and_mask) {
  const std::vector<std::uint8_t> mask = half_mask();
  for (int n = 0; n < 4; ++n) {
    for (const std::uint8_t* given : {static_cast<const std::uint8_t*>(nullptr), mask.data()}) {
      check_kernel<float>(static_cast<Normalization>(n), given);
      check_kernel<double>(static_cast<Normalization>(n), given);
    }
  }
}

TEST(kernels_of_positions_over_whole_images_are_kept) {
  const auto kernel = crfrnn::position_kernel<float>(pixel_order(30, 20), 3, 3, Normalization::kAfter, 1);
  const auto again = crfrnn::position_kernel<float>(pixel_order(30, 20), 3, 3, Normalization::kAfter, 2);
  const auto other = crfrnn::position_kernel<float>(pixel_order(30, 20), 3, 3, Normalization::kNone, 1);
  CHECK(kernel == again && kernel != other);
  const std::vector<std::uint8_t> mask = half_mask();
  const auto order = pixel_order(kHeight, kWidth, mask.data());
  const auto masked = crfrnn::position_kernel<float>(order, 3, 3, Normalization::kAfter, 1);
  CHECK(masked != crfrnn::position_kernel<float>(order, 3, 3, Normalization::kAfter, 1));
  CHECK(masked->lattice().points() == kPixels / 2);
}

TEST(a_kernel_made_beforehand_is_that_of_every_image) {
  FieldKernel<float> kernel;
  kernel.made = crfrnn::position_kernel<float>(pixel_order(30, 20), 3, 3, Normalization::kAfter, 1);
  CHECK(crfrnn::kernel_of_image(kernel, pixel_order(30, 20), 7, 1) == kernel.made);
}

TEST(what_is_wrong_with_a_kernel_is_said) {
  const auto order = pixel_order(4, 4);
  std::vector<float> values(16 * 17, 0.5f);
  const auto make = [&](double theta_x, double theta_y, std::int64_t channels, double theta) {
    KernelFeatures<float> features;
    features.theta_x = theta_x;
    features.theta_y = theta_y;
    features.values = values.data();
    features.channels = channels;
    features.theta = theta;
    return message_of([&] { GaussianKernel<float>(order, features, Normalization::kAfter, 1); });
  };
  CHECK(make(1, 1, 3, 1).empty());
  CHECK(make(-1, 1, 0, 1) == "theta of the position must be finite and greater than 0, got -1.000000");
  CHECK(contains(make(0, 1, 0, 1), "theta of the position"));
  CHECK(contains(make(NAN, 1, 0, 1), "theta of the position"));
  CHECK(contains(make(1, 1, 1, 0), "theta of the features"));
  CHECK(contains(make(0, 0, 1, INFINITY), "theta of the features"));
  CHECK(make(0, 0, 0, 1) == "a kernel must have 1 to 32 features, the position included, got 0");
  CHECK(contains(make(1, 1, 31, 1), "got 33"));
  values[5] = NAN;
  CHECK(contains(make(1, 1, 1, 1), "NaN or infinite"));
  CHECK(contains(message_of([] { pixel_order(0, 4); }), "at least one pixel"));
  CHECK(contains(message_of([] { pixel_order(1 << 20, 1 << 20); }), "more than 2^31 pixels"));
}
