// Whether Q still changes from one iteration to the next.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>

#include "crfrnn/buffer.hpp"

namespace crfrnn {

// Holds the Q that the last iteration began with, unless the tolerance is 0: it then holds and does nothing.
template <typename T>
class Settling {
 public:
  // values: all points' rows.
  Settling(double tolerance, std::int64_t values)
      : tolerance_(static_cast<T>(tolerance)), q_(tolerance > 0 ? values : 0) {}

  // The rows' Q, which begin at that value, before the first iteration.
  void begin(std::int64_t at, const T* rows, std::int64_t values) {
    if (tolerance_ > 0) std::copy_n(rows, values, q_.data() + at);
  }

  // After an iteration, from several threads.
  void next(std::int64_t at, const T* rows, std::int64_t values) {
    if (!(tolerance_ > 0)) return;
    T* before = q_.data() + at;
    int still = 1;
    for (std::int64_t i = 0; i < values; ++i) {
      still &= std::abs(rows[i] - before[i]) < tolerance_;  // what is not a number is not still
      before[i] = rows[i];
    }
    if (!still) moved_.store(true, std::memory_order_relaxed);
  }

  // Whether no value has changed by the tolerance since this was last asked.
  bool settled() { return !moved_.exchange(false) && tolerance_ > 0; }

  // Where rows are made narrower, so must these be.
  Buffer<T>& rows() { return q_; }
  bool watches() const { return tolerance_ > 0; }

 private:
  T tolerance_;
  Buffer<T> q_;
  std::atomic<bool> moved_{false};
};

}  // namespace crfrnn
