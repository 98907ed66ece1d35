// Between Caffe's planes (channels x height x width) and rows of channels per pixel.
#pragma once

#include <algorithm>
#include <cstdint>

#include "crfrnn/buffer.hpp"
#include "crfrnn/parallel.hpp"
#include "crfrnn/permutohedral.hpp"
#include "lattice_steps.hpp"

namespace crfrnn {

// The order in which pixels become points: tile by tile, so that points with neighbouring numbers share
// lattice vertices in both directions of the image. Pixels that a mask takes away become no points at all,
// which is what makes their influence exactly nothing.
class PixelOrder {
 public:
  // mask: height x width, 0 for pixels that are no points; null keeps all.
  PixelOrder(std::int64_t height, std::int64_t width, const std::uint8_t* mask = nullptr)
      : points_(mask ? height * width - std::count(mask, mask + height * width, 0) : height * width),
        pixel_(points_),
        height_(height),
        width_(width) {
    constexpr std::int64_t kTile = 16;
    std::int64_t point = 0;
    for (std::int64_t top = 0; top < height; top += kTile) {
      for (std::int64_t left = 0; left < width; left += kTile) {
        for (std::int64_t y = top; y < std::min(height, top + kTile); ++y) {
          for (std::int64_t x = left; x < std::min(width, left + kTile); ++x) {
            if (mask && mask[y * width + x] == 0) continue;
            pixel_[point++] = static_cast<std::int32_t>(y * width + x);
          }
        }
      }
    }
  }

  std::int64_t points() const { return points_; }
  std::int64_t pixels() const { return height_ * width_; }
  std::int64_t height() const { return height_; }
  std::int64_t width() const { return width_; }
  std::int64_t pixel(std::int64_t point) const { return pixel_[point]; }
  std::int64_t x(std::int64_t point) const { return pixel_[point] % width_; }
  std::int64_t y(std::int64_t point) const { return pixel_[point] / width_; }

  // rows (points x stride) from planes (channels x pixels); the padding of each row becomes `padding`.
  template <typename T>
  void to_rows(const T* planes, std::int64_t channels, T padding, T* rows, int threads) const {
    const std::int64_t stride = row_stride(channels);
    const std::int64_t plane = pixels();
    parallel_ranges(threads, points(), kPointGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t p = begin; p < end; ++p) {
        T* row = rows + p * stride;
        const T* from = planes + pixel_[p];
        for (std::int64_t c = 0; c < channels; ++c) row[c] = from[c * plane];
        for (std::int64_t c = channels; c < stride; ++c) row[c] = padding;
      }
    });
  }

  // planes from rows; pixels that are no points become 0.
  template <typename T>
  void to_planes(const T* rows, std::int64_t channels, T* planes, int threads) const {
    const std::int64_t stride = row_stride(channels);
    const std::int64_t plane = pixels();
    if (points() < plane) std::fill_n(planes, channels * plane, T(0));
    parallel_ranges(threads, points(), kPointGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t p = begin; p < end; ++p) {
        const T* row = rows + p * stride;
        T* to = planes + pixel_[p];
        for (std::int64_t c = 0; c < channels; ++c) to[c * plane] = row[c];
      }
    });
  }

 private:
  std::int64_t points_;
  Buffer<std::int32_t> pixel_;
  std::int64_t height_;
  std::int64_t width_;
};

}  // namespace crfrnn
