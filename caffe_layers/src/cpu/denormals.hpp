// Arithmetic without denormal numbers.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace crfrnn {

// While it lives, this thread's float arithmetic takes and makes zero where there would be a denormal number.
// Where scores lie 80 and more apart, the lattice is full of probabilities below 1e-38: a processor takes a
// hundred cycles for each operation on one, and nobody can tell it from zero.
class DenormalsAreZero {
 public:
  DenormalsAreZero() : before_(control()) { set_control(before_ | kFlags); }
  ~DenormalsAreZero() { set_control(before_); }
  DenormalsAreZero(const DenormalsAreZero&) = delete;
  DenormalsAreZero& operator=(const DenormalsAreZero&) = delete;

 private:
#if defined(__SSE2__)
  using Control = unsigned int;
  static constexpr Control kFlags = 0x8040;  // of results and of operands
  static Control control() { return _mm_getcsr(); }
  static void set_control(Control value) { _mm_setcsr(value); }
#elif defined(__aarch64__)
  using Control = std::uint64_t;
  static constexpr Control kFlags = Control{1} << 24;  // both
  static Control control() {
    Control value;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void set_control(Control value) { __asm__ volatile("msr fpcr, %0" : : "r"(value)); }
#else
  using Control = unsigned int;
  static constexpr Control kFlags = 0;
  static Control control() { return 0; }
  static void set_control(Control) {}
#endif

  const Control before_;
};

}  // namespace crfrnn
