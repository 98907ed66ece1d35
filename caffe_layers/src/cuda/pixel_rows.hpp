// Between Caffe's planes (channels x height x width), or a table, and rows of channels per point.
#pragma once

#include <cstdint>

#include "backend.hpp"
#include "chunk.hpp"
#include "lattice.hpp"
#include "tiles.hpp"

namespace crfrnn {
namespace cuda {

// Rows from Caffe's planes or from a table; rows of points outside the field become 0.
template <typename T>
struct ToRows {
  static constexpr int kWidth = 2;  // neighbouring lanes write 32 neighbouring bytes and read 64 from a plane
  const T* in;
  Strides strides;
  Tiles tiles;
  int channels;
  T padding;
  const Corner<T>* corner;  // points x corners
  int corners;
  Chunk<T>* out;
  Chunk<T>* copy;  // a second result, or null
  std::int64_t points;
  int groups;

  CRFRNN_DEVICE std::int64_t size() const { return points; }
  CRFRNN_DEVICE void operator()(const Lanes& lanes, std::int64_t point) const {
    const std::int64_t image = point / tiles.points();
    const T* from = in + image * strides.image + tiles.pixel(point - image * tiles.points()) * strides.pixel;
    const bool taken = corner[point * corners].vertex >= 0;
    for (int g = lanes.lane(); g < groups; g += lanes.width()) {
      Chunk<T> row;
      for (int k = 0; k < kChunk; ++k) {
        const int c = g * kChunk + k;
        row.v[k] = c >= channels ? padding : (taken ? from[c * strides.channel] : T(0));
      }
      out[point * groups + g] = row;
      if (copy) copy[point * groups + g] = row;
    }
  }
};

template <typename T>
struct FromRows {
  const Chunk<T>* in;
  T* out;
  Strides strides;
  Tiles tiles;
  int channels;
  std::int64_t points;
  int groups;

  CRFRNN_DEVICE std::int64_t size() const { return points; }
  CRFRNN_DEVICE void operator()(const Lanes& lanes, std::int64_t point) const {
    const std::int64_t image = point / tiles.points();
    T* to = out + image * strides.image + tiles.pixel(point - image * tiles.points()) * strides.pixel;
    for (int g = lanes.lane(); g < groups; g += lanes.width()) {
      const Chunk<T> row = in[point * groups + g];
      for (int k = 0; k < kChunk; ++k) {
        const int c = g * kChunk + k;
        if (c < channels) to[c * strides.channel] = row.v[k];
      }
    }
  }
};

}  // namespace cuda
}  // namespace crfrnn
