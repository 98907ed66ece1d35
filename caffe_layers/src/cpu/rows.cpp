#include "rows.hpp"

#include <cstdlib>
#include <cstring>

namespace crfrnn {

namespace baseline {
template <typename T>
RowOps<T> table();
extern template RowOps<float> table<float>();
extern template RowOps<double> table<double>();
}  // namespace baseline

#if defined(CRFRNN_HAVE_AVX2)
namespace avx2 {
template <typename T>
RowOps<T> table();
extern template RowOps<float> table<float>();
extern template RowOps<double> table<double>();
}  // namespace avx2
#endif

namespace {

template <typename T>
RowOps<T> choose() {
#if defined(CRFRNN_HAVE_AVX2)
  const char* wish = std::getenv("CRFRNN_ISA");
  const bool allowed = !wish || std::strcmp(wish, "baseline") != 0;
  const bool able =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (allowed && able) return avx2::table<T>();
#endif
  return baseline::table<T>();
}

}  // namespace

template <typename T>
const RowOps<T>& row_ops() {
  static const RowOps<T> chosen = choose<T>();
  return chosen;
}

template const RowOps<float>& row_ops<float>();
template const RowOps<double>& row_ops<double>();

}  // namespace crfrnn
