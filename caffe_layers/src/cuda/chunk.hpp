// Rows of values, cut into chunks.
//
// A row is `groups` chunks of kChunk channels, the last padded with zeros.
#pragma once

#include <cstdint>

#include "backend.hpp"

namespace crfrnn {
namespace cuda {

constexpr int kChunk = 4;

// W neighbouring values, moved by one or two memory instructions.
template <typename T, int W = kChunk>
struct alignas(W * sizeof(T) < 16 ? W * sizeof(T) : 16) Chunk {
  T v[W];
};

// x by value: loaded at once, not number by number.
template <typename T, int W>
CRFRNN_DEVICE void add_scaled(Chunk<T, W>* sum, T factor, Chunk<T, W> x) {
  for (int k = 0; k < W; ++k) sum->v[k] += factor * x.v[k];
}

template <typename T, int W>
CRFRNN_DEVICE Chunk<T, W> filled(T value) {
  Chunk<T, W> chunk;
  for (int k = 0; k < W; ++k) chunk.v[k] = value;
  return chunk;
}

// Chunk g of row `row` of rows of `groups` chunks each.
template <typename T, int W>
CRFRNN_DEVICE const Chunk<T, W>& chunk_at(const Chunk<T, W>* rows, std::int32_t row, int groups, int g) {
  // One multiply-add of 32 by 32 bits: the compiler's own way takes four instructions.
  const auto step = groups * static_cast<std::int32_t>(sizeof(Chunk<T, W>));
  const char* first = reinterpret_cast<const char*>(rows + g);
  return *reinterpret_cast<const Chunk<T, W>*>(first + static_cast<std::int64_t>(row) * step);
}

}  // namespace cuda
}  // namespace crfrnn
