#include "crfrnn/buffer.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>
#include <vector>

namespace crfrnn {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{1} << 21;
// Arrays from this size on are kept.
constexpr std::size_t kLarge = std::size_t{1} << 17;
// From this size on they are gathered from in no particular order, too: huge pages save most of the misses in
// the page tables.
constexpr std::size_t kHuge = 2 * kHugePage;
constexpr std::size_t kMostKept = std::size_t{256} << 20;

// Bytes of large blocks that are in use now, and the most that were at one time.
std::atomic<std::size_t> in_use{0}, most_in_use{0};

void count_as_used(std::size_t bytes) {
  const std::size_t now = in_use += bytes;
  std::size_t most = most_in_use;
  while (most < now && !most_in_use.compare_exchange_weak(most, now)) {
  }
}

struct Block {
  void* data;
  std::size_t bytes;
};

std::align_val_t alignment(std::size_t size) {
  return std::align_val_t{size >= kHuge ? kHugePage : kCacheLine};
}

void give_back(const Block& block) { ::operator delete(block.data, alignment(block.bytes)); }

// The blocks that wait for their next use. Whoever finds the lock taken goes to the system instead, so that a
// child process that was forked while another thread held it does not wait for ever.
struct Kept {
  std::mutex mutex;
  std::vector<Block> blocks;  // the last one freed comes last
  std::size_t bytes = 0;

  // Together with what is in use, half as much again as was ever needed at once: images of one size find all
  // their blocks again, those of many sizes do not pile theirs up.
  void keep_within_bounds() {
    const std::size_t most = most_in_use + most_in_use / 2, used = in_use;
    const std::size_t bound = std::min(kMostKept, most > used ? most - used : 0);
    auto end = blocks.begin();  // what waited longest goes
    for (; end != blocks.end() && bytes > bound; ++end) {
      bytes -= end->bytes;
      give_back(*end);
    }
    blocks.erase(blocks.begin(), end);
  }
};

Kept& kept() {
  static Kept* const instance =
      new Kept;  // never destroyed: buffers of other static objects are freed after it
  return *instance;
}

std::size_t rounded(std::size_t bytes) {
  std::size_t step = bytes >= kHuge ? kHugePage : kCacheLine;
  // In steps of an eighth to a sixteenth, so that the next image's arrays fit although their sizes differ.
  while (bytes >= kLarge && step < bytes / 16) step *= 2;
  return (bytes + step - 1) / step * step;
}

}  // namespace

void* allocate_block(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  if (size >= kLarge) {
    count_as_used(size);
    Kept& k = kept();
    const std::unique_lock<std::mutex> lock(k.mutex, std::try_to_lock);
    if (lock.owns_lock()) {
      const auto fits =
          std::find_if(k.blocks.rbegin(), k.blocks.rend(), [&](const Block& b) { return b.bytes == size; });
      if (fits != k.blocks.rend()) {
        void* const data = fits->data;
        k.blocks.erase(std::next(fits).base());
        k.bytes -= size;
        return data;
      }
      k.keep_within_bounds();
    }
  }
  void* const data = ::operator new(size, alignment(size), std::nothrow);
  if (!data) {
    if (size >= kLarge) in_use -= size;
    throw std::bad_alloc();
  }
#if defined(MADV_HUGEPAGE)
  if (size >= kHuge) madvise(data, size, MADV_HUGEPAGE);
#endif
  return data;
}

void free_block(void* block, std::size_t bytes) noexcept {
  const std::size_t size = rounded(bytes);
  if (size >= kLarge) in_use -= size;
  if (size >= kLarge && size <= kMostKept) {
    Kept& k = kept();
    const std::unique_lock<std::mutex> lock(k.mutex, std::try_to_lock);
    if (lock.owns_lock()) {
      try {
        k.blocks.push_back({block, size});
      } catch (const std::bad_alloc&) {
        give_back({block, size});
        return;
      }
      k.bytes += size;
      k.keep_within_bounds();
      return;
    }
  }
  give_back({block, size});
}

}  // namespace crfrnn
