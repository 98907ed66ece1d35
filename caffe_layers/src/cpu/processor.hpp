// What this processor can do.
#pragma once

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace crfrnn {

// Whether the processor has AVX2, FMA and BMI2, and the system saves their registers. Asked of the processor
// itself: __builtin_cpu_supports needs a run-time library that clang on Windows and zig do not have.
inline bool has_avx2() {
#if defined(__x86_64__)
  constexpr unsigned kFma = 1u << 12, kOsxsave = 1u << 27, kAvx = 1u << 28;  // of leaf 1, ecx
  constexpr unsigned kAvx2 = 1u << 5, kBmi2 = 1u << 8;                       // of leaf 7, ebx
  constexpr unsigned kSaved = 6;                                             // SSE and AVX registers, of XCR0
  constexpr unsigned kOfLeaf1 = kFma | kOsxsave | kAvx, kOfLeaf7 = kAvx2 | kBmi2;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kOfLeaf1) != kOfLeaf1) return false;
  unsigned saved = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
  if ((saved & kSaved) != kSaved) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & kOfLeaf7) == kOfLeaf7;
#else
  return false;
#endif
}

}  // namespace crfrnn
