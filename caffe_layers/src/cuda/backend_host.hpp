// Jobs in a loop on the host: see backend.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include "crfrnn/cuda/mean_field.hpp"

#define CRFRNN_DEVICE inline
#define CRFRNN_HD inline
#define CRFRNN_UNROLL

namespace crfrnn {
namespace cuda {

// One lane, which does the work of all.
class Lanes {
 public:
  static constexpr int kWidest = 32;
  static constexpr int kTogether = kWidest;

  int width() const { return 1; }
  int lane() const { return 0; }
  template <typename T>
  T sum(T own, int = 1) const {
    return own;
  }
  template <typename T>
  T max(T own) const {
    return own;
  }
};

template <typename T>
void atomic_min(T* at, T value) {
  *at = std::min(*at, value);
}
template <typename T>
void atomic_max(T* at, T value) {
  *at = std::max(*at, value);
}
inline std::int32_t atomic_add(std::int32_t* at, std::int32_t value) {
  const std::int32_t before = *at;
  *at += value;
  return before;
}

// This build never contracts to fused multiply-adds.
template <typename T>
T multiply(T a, T b) {
  return a * b;
}
template <typename T>
T add(T a, T b) {
  return a + b;
}
template <typename T>
T subtract(T a, T b) {
  return a - b;
}

class Backend {
 public:
  explicit Backend(Stream) {}

  // CRFRNN_HOST_ORDER=backward in the environment runs the items backwards: on a device they have no order.
  template <typename Job>
  void launch(const std::vector<Job>& jobs, std::int64_t items, int = 1) const {
    const char* order = std::getenv("CRFRNN_HOST_ORDER");
    const bool backward = order && std::strcmp(order, "backward") == 0;
    for (const Job& job : jobs) {
      const std::int64_t size = job.size();
      if (size > items) throw std::logic_error("a job has more items than it was launched for");
      for (std::int64_t i = 0; i < size; ++i) job(Lanes(), backward ? size - 1 - i : i);
    }
  }

  static std::size_t sort_bytes(std::int64_t) { return 0; }
  void sort(void*, std::size_t, std::uint64_t* keys[2], std::uint32_t* values[2], std::int64_t count,
            int bits) const {
    const std::uint64_t used = bits < 64 ? (std::uint64_t{1} << bits) - 1 : ~std::uint64_t{0};
    std::vector<std::uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return (keys[0][a] & used) < (keys[0][b] & used);
    });
    for (std::int64_t i = 0; i < count; ++i) {
      keys[1][i] = keys[0][order[i]];
      values[1][i] = values[0][order[i]];
    }
    std::swap(keys[0], keys[1]);
    std::swap(values[0], values[1]);
  }

  static std::size_t sum_bytes(std::int64_t) { return 0; }
  void inclusive_sum(void*, std::size_t, std::int32_t* numbers, std::int64_t count) const {
    std::partial_sum(numbers, numbers + count, numbers);
  }
};

}  // namespace cuda
}  // namespace crfrnn
