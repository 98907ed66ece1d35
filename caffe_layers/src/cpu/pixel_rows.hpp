// Between Caffe's planes (channels x height x width) and rows of channels per pixel.
#pragma once

#include <algorithm>
#include <cstdint>

#include "crfrnn/buffer.hpp"
#include "crfrnn/permutohedral.hpp"

namespace crfrnn {

// The order in which pixels become points: tile by tile of 64 x 64 pixels, so that the points of a block of
// the lattice lie close to each other in both directions of the image, and small tiles within the tiles.
// Pixels that a mask takes away become no points at all, which is what makes their influence exactly nothing.
class PixelOrder {
 public:
  // mask: height x width, 0 for pixels that are no points; null keeps all.
  PixelOrder(std::int64_t height, std::int64_t width, const std::uint8_t* mask = nullptr)
      : points_(mask ? height * width - std::count(mask, mask + height * width, 0) : height * width),
        pixel_(points_),
        height_(height),
        width_(width) {
    std::int64_t point = 0;
    const auto add = [&](std::int64_t y, std::int64_t x) {
      if (!mask || mask[y * width + x] != 0) pixel_[point++] = static_cast<std::int32_t>(y * width + x);
    };
    for_tiles(64, 0, height, 0, width, [&](auto top, auto bottom, auto left, auto right) {
      for_tiles(16, top, bottom, left, right, [&](auto y0, auto y1, auto x0, auto x1) {
        for (std::int64_t y = y0; y < y1; ++y) {
          for (std::int64_t x = x0; x < x1; ++x) add(y, x);
        }
      });
    });
  }

  std::int64_t points() const { return points_; }
  std::int64_t pixels() const { return height_ * width_; }
  std::int64_t height() const { return height_; }
  std::int64_t width() const { return width_; }
  std::int64_t pixel(std::int64_t point) const { return pixel_[point]; }
  std::int64_t x(std::int64_t point) const { return pixel_[point] % width_; }
  std::int64_t y(std::int64_t point) const { return pixel_[point] / width_; }

  // Rows of points [first, first + count) from planes (channels x pixels); the padding of each row becomes
  // `padding`.
  template <typename T>
  void to_rows(const T* planes, std::int64_t channels, T padding, std::int64_t first, std::int64_t count,
               T* rows) const {
    const std::int64_t stride = row_stride(channels), plane = pixels();
    for (std::int64_t p = 0; p < count; ++p) {  // channels inside: their cache misses overlap
      T* row = rows + p * stride;
      const T* from = planes + pixel_[first + p];
      for (std::int64_t c = 0; c < channels; ++c) row[c] = from[c * plane];
      for (std::int64_t c = channels; c < stride; ++c) row[c] = padding;
    }
  }

  // The planes' pixels of points [first, first + count) from their rows.
  template <typename T>
  void to_planes(const T* rows, std::int64_t channels, std::int64_t first, std::int64_t count,
                 T* planes) const {
    const std::int64_t stride = row_stride(channels), plane = pixels();
    for (std::int64_t p = 0; p < count; ++p) {
      const T* row = rows + p * stride;
      T* to = planes + pixel_[first + p];
      for (std::int64_t c = 0; c < channels; ++c) to[c * plane] = row[c];
    }
  }

  // Sets the pixels of all planes that are no points to 0.
  template <typename T>
  void clear_others(std::int64_t channels, T* planes) const {
    if (points() < pixels()) std::fill_n(planes, channels * pixels(), T(0));
  }

 private:
  // Calls body(top, bottom, left, right) for the tiles of an area.
  template <typename Body>
  static void for_tiles(std::int64_t size, std::int64_t top, std::int64_t bottom, std::int64_t left,
                        std::int64_t right, const Body& body) {
    for (std::int64_t y = top; y < bottom; y += size) {
      for (std::int64_t x = left; x < right; x += size) {
        body(y, std::min(bottom, y + size), x, std::min(right, x + size));
      }
    }
  }

  std::int64_t points_;
  Buffer<std::int32_t> pixel_;
  std::int64_t height_;
  std::int64_t width_;
};

}  // namespace crfrnn
