// Pieces of one block of memory, handed out from its beginning to its end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace crfrnn {
namespace cuda {

// Without a block (null) it hands out null and only counts, so that the same code lays out and measures.
class Arena {
 public:
  explicit Arena(const void* block) : block_(static_cast<const char*>(block)) {}

  template <typename T>
  T* take(std::int64_t count) {
    const std::size_t at = used_;
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    most_ = std::max(most_, used_);
    return block_ ? reinterpret_cast<T*>(const_cast<char*>(block_) + at) : nullptr;
  }

  // For arrays that are done with: what is taken from now on may lie where `mark` was.
  std::size_t mark() const { return used_; }
  void rewind(std::size_t mark) { used_ = mark; }

  // The most that was in use at a time, in bytes.
  std::size_t bytes() const { return most_; }

 private:
  static constexpr std::size_t kAlignment = 256;
  const char* block_;
  std::size_t used_ = 0;
  std::size_t most_ = 0;
};

}  // namespace cuda
}  // namespace crfrnn
