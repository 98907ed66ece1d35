// Uninitialised, cache-line aligned arrays for large intermediate results.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

namespace crfrnn {

// Memory of at least `bytes`, aligned to a cache line. Large blocks that were freed are kept for the next
// call, up to 256 MiB in all: fresh pages cost a tenth of a call, since the system clears each. Throws
// std::bad_alloc.
void* allocate_block(std::size_t bytes);
void free_block(void* block, std::size_t bytes) noexcept;

// An array of `size()` elements, not initialised: writing it first from the threads that use it saves one
// pass.
template <typename T>
class Buffer {
  static_assert(std::is_trivially_copyable<T>::value, "elements are never constructed");

 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) : size_(size) {
    if (size > 0) data_ = {static_cast<T*>(allocate_block(size * sizeof(T))), Free{size * sizeof(T)}};
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  T& operator[](std::size_t i) { return data_.get()[i]; }
  const T& operator[](std::size_t i) const { return data_.get()[i]; }

 private:
  struct Free {
    std::size_t bytes = 0;
    void operator()(T* p) const { free_block(p, bytes); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t size_ = 0;
};

}  // namespace crfrnn
