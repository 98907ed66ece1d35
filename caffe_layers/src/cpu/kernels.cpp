#include "kernels.hpp"

#include <cstdlib>
#include <cstring>

namespace crfrnn {

namespace baseline {
template <typename T>
Kernels<T> table();
extern template Kernels<float> table<float>();
extern template Kernels<double> table<double>();
}  // namespace baseline

#if defined(CRFRNN_HAVE_AVX2)
namespace avx2 {
template <typename T>
Kernels<T> table();
extern template Kernels<float> table<float>();
extern template Kernels<double> table<double>();
}  // namespace avx2
#endif

namespace {

template <typename T>
Kernels<T> choose() {
#if defined(CRFRNN_HAVE_AVX2)
  const char* wish = std::getenv("CRFRNN_ISA");
  const bool allowed = !wish || std::strcmp(wish, "baseline") != 0;
  if (allowed && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::table<T>();
#endif
  return baseline::table<T>();
}

}  // namespace

template <typename T>
const Kernels<T>& kernels() {
  static const Kernels<T> chosen = choose<T>();
  return chosen;
}

template const Kernels<float>& kernels<float>();
template const Kernels<double>& kernels<double>();

}  // namespace crfrnn
