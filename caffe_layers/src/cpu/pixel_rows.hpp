// Between Caffe's planes (channels x height x width) and rows of channels per pixel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "crfrnn/buffer.hpp"
#include "crfrnn/parallel.hpp"
#include "crfrnn/permutohedral.hpp"
#include "lattice_steps.hpp"

namespace crfrnn {

// The order in which pixels become points: tile by tile, so that points with neighbouring numbers share
// lattice vertices in both directions of the image.
class PixelOrder {
 public:
  PixelOrder(std::int64_t height, std::int64_t width) : pixel_(height * width), width_(width) {
    constexpr std::int64_t kTile = 16;
    std::int64_t point = 0;
    for (std::int64_t top = 0; top < height; top += kTile) {
      for (std::int64_t left = 0; left < width; left += kTile) {
        for (std::int64_t y = top; y < std::min(height, top + kTile); ++y) {
          for (std::int64_t x = left; x < std::min(width, left + kTile); ++x) {
            pixel_[point++] = static_cast<std::int32_t>(y * width + x);
          }
        }
      }
    }
  }

  std::int64_t points() const { return static_cast<std::int64_t>(pixel_.size()); }
  std::int64_t pixel(std::int64_t point) const { return pixel_[point]; }
  std::int64_t x(std::int64_t point) const { return pixel_[point] % width_; }
  std::int64_t y(std::int64_t point) const { return pixel_[point] / width_; }

  // rows (points x stride) from planes (channels x pixels); the padding of each row becomes `padding`.
  template <typename T>
  void to_rows(const T* planes, std::int64_t channels, T padding, T* rows, int threads) const {
    const std::int64_t stride = row_stride(channels);
    const std::int64_t plane = points();
    parallel_ranges(threads, plane, kPointGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t p = begin; p < end; ++p) {
        T* row = rows + p * stride;
        const T* from = planes + pixel_[p];
        for (std::int64_t c = 0; c < channels; ++c) row[c] = from[c * plane];
        for (std::int64_t c = channels; c < stride; ++c) row[c] = padding;
      }
    });
  }

  template <typename T>
  void to_planes(const T* rows, std::int64_t channels, T* planes, int threads) const {
    const std::int64_t stride = row_stride(channels);
    const std::int64_t plane = points();
    parallel_ranges(threads, plane, kPointGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t p = begin; p < end; ++p) {
        const T* row = rows + p * stride;
        T* to = planes + pixel_[p];
        for (std::int64_t c = 0; c < channels; ++c) to[c * plane] = row[c];
      }
    });
  }

 private:
  Buffer<std::int32_t> pixel_;
  std::int64_t width_;
};

}  // namespace crfrnn
