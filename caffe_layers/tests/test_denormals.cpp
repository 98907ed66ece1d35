#include <cstdint>
#include <limits>

#include "crfrnn/parallel.hpp"
#include "denormals.hpp"
#include "testing.hpp"

namespace {

// Half of the smallest normal number, computed when called.
bool halves_to_zero() {
  volatile float least = std::numeric_limits<float>::min();
  const float half = least * 0.5f;
  return half == 0.0f;
}

}  // namespace

TEST(denormal_numbers_are_zero_only_while_the_object_lives) {
  CHECK(!halves_to_zero());
  {
    const crfrnn::DenormalsAreZero mode;
#if defined(__SSE2__) || defined(__aarch64__)
    CHECK(halves_to_zero());
#endif
  }
  CHECK(!halves_to_zero());
}

#if defined(__SSE2__) || defined(__aarch64__)
TEST(denormal_numbers_are_zero_in_tasks_whatever_the_caller_does) {
  for (int threads : {1, 3}) {
    crfrnn::parallel_for(threads, 8, [](std::int64_t) { CHECK(halves_to_zero()); });
    CHECK(!halves_to_zero());
  }
}
#endif
