#include <algorithm>
#include <cstdint>
#include <vector>

#include "pixel_rows.hpp"
#include "testing.hpp"

using crfrnn::PixelOrder;

namespace {

// Every third pixel is no point.
std::vector<std::uint8_t> some_mask(std::int64_t pixels) {
  std::vector<std::uint8_t> mask(pixels);
  for (std::int64_t i = 0; i < pixels; ++i) mask[i] = i % 3 ? 1 + i % 2 : 0;
  return mask;
}

}  // namespace

TEST(every_pixel_of_the_mask_is_one_point) {
  for (auto [height, width] : std::vector<std::pair<int, int>>{{1, 1}, {1, 100}, {70, 1}, {130, 67}}) {
    const std::vector<std::uint8_t> mask = some_mask(height * width);
    for (const std::uint8_t* given : {static_cast<const std::uint8_t*>(nullptr), mask.data()}) {
      const PixelOrder order(height, width, given);
      std::vector<int> seen(height * width, 0);
      for (std::int64_t p = 0; p < order.points(); ++p) {
        CHECK(order.pixel(p) == order.y(p) * width + order.x(p));
        ++seen[order.pixel(p)];
      }
      for (int i = 0; i < height * width; ++i) CHECK(seen[i] == (given && !given[i] ? 0 : 1));
      CHECK(order.pixels() == height * width);
    }
  }
}

TEST(points_that_follow_each_other_lie_in_the_same_tile) {
  const PixelOrder order(100, 90);
  for (std::int64_t p = 1; p < 64 * 64; ++p) CHECK(order.x(p) < 64 && order.y(p) < 64);
  for (std::int64_t p = 1; p < 256; ++p) CHECK(order.x(p) < 16 && order.y(p) < 16);
}

TEST(rows_hold_the_planes_and_go_back) {
  const std::int64_t height = 20, width = 33, pixels = height * width, channels = 11;
  const std::vector<std::uint8_t> mask = some_mask(pixels);
  const PixelOrder order(height, width, mask.data());
  const std::vector<float> planes = testing::random_values<float>(channels * pixels, 1, 1);
  const std::int64_t stride = crfrnn::row_stride(channels);
  CHECK(stride == 16);
  std::vector<float> rows(order.points() * stride), back(planes.size(), 5.0f);
  const std::int64_t half = order.points() / 2;
  order.to_rows(planes.data(), channels, -1.0f, 0, half, rows.data());
  order.to_rows(planes.data(), channels, -1.0f, half, order.points() - half, rows.data() + half * stride);
  for (std::int64_t p = 0; p < order.points(); ++p) {
    for (std::int64_t c = 0; c < stride; ++c) {
      CHECK(rows[p * stride + c] == (c < channels ? planes[c * pixels + order.pixel(p)] : -1.0f));
    }
  }
  order.clear_others(channels, back.data());
  order.to_planes(rows.data(), channels, 0, order.points(), back.data());
  for (std::int64_t i = 0; i < channels * pixels; ++i)
    CHECK(back[i] == (mask[i % pixels] ? planes[i] : 0.0f));
}
