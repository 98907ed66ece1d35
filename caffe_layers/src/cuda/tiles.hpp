// Which pixel a point of an image is.
#pragma once

#include <cstdint>

#include "backend.hpp"

namespace crfrnn {
namespace cuda {

// The order of an image's points: tile after tile, so that what follows each other lies together and shares
// vertices. The tiles at the right and lower border are smaller.
struct Tiles {
  static constexpr std::int32_t kSide = 16;
  std::int32_t width;
  std::int32_t height;

  CRFRNN_HD std::int64_t points() const { return static_cast<std::int64_t>(width) * height; }
  // Of the point of number `point` in its image.
  CRFRNN_DEVICE void place(std::int32_t point, std::int32_t* x, std::int32_t* y) const {
    const std::int64_t band_points = static_cast<std::int64_t>(kSide) * width;
    const auto band = static_cast<std::int32_t>(point / band_points);
    const std::int32_t rows = height - band * kSide < kSide ? height - band * kSide : kSide;
    const auto in_band = static_cast<std::int32_t>(point - band * band_points);
    const std::int32_t tile = in_band / (rows * kSide), in_tile = in_band - tile * rows * kSide;
    const std::int32_t columns = width - tile * kSide < kSide ? width - tile * kSide : kSide;
    *y = band * kSide + in_tile / columns;
    *x = tile * kSide + in_tile % columns;
  }
  CRFRNN_DEVICE std::int64_t pixel(std::int64_t point) const {
    std::int32_t x, y;
    place(static_cast<std::int32_t>(point), &x, &y);
    return static_cast<std::int64_t>(y) * width + x;
  }
};

// Where channel c of image n is at a pixel: n * image + c * channel + pixel * pixel_stride.
struct Strides {
  std::int64_t image;
  std::int64_t channel;
  std::int64_t pixel;
};

}  // namespace cuda
}  // namespace crfrnn
