#include <algorithm>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "crfrnn/buffer.hpp"
#include "testing.hpp"

using crfrnn::Buffer;

TEST(buffers_are_aligned_and_as_large_as_asked) {
  for (std::size_t size : {1, 3, 1000, 40000, 2000000}) {
    Buffer<float> buffer(size);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == 0);
    CHECK(buffer.size() == size && buffer.bytes() == 4 * size);
    std::fill_n(buffer.data(), size, 1.0f);  // for the address sanitizer
    CHECK(buffer[size - 1] == 1.0f);
  }
  CHECK(Buffer<float>(0).data() == nullptr);
}

TEST(a_large_block_is_used_again_and_two_never_share_memory) {
  constexpr std::size_t kLarge = 3 << 18;
  void* first = nullptr;
  {
    Buffer<float> buffer(kLarge);
    first = buffer.data();
  }
  Buffer<float> again(kLarge), other(kLarge);
  CHECK(again.data() == first);
  CHECK(other.data() >= again.data() + kLarge || again.data() >= other.data() + kLarge);
}

TEST(moving_a_buffer_moves_its_memory) {
  Buffer<int> from(10);
  from[9] = 7;
  const int* at = from.data();
  const Buffer<int> to = std::move(from);
  CHECK(to.data() == at && to[9] == 7);
}

TEST(threads_may_allocate_and_free_at_the_same_time) {
  const auto work = [](unsigned seed) {
    std::vector<Buffer<unsigned>> held(4);
    for (unsigned i = 0; i < 200; ++i) {
      Buffer<unsigned>& slot = held[(i + seed) % 4];
      if (slot.size()) CHECK(slot[0] == seed && slot[slot.size() - 1] == seed);
      slot = Buffer<unsigned>(30000 + i % 7 * 5000);
      slot[0] = slot[slot.size() - 1] = seed;
    }
  };
  std::thread a(work, 1), b(work, 2);
  a.join();
  b.join();
}
