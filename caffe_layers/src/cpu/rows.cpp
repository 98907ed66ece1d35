#include "rows.hpp"

#include <cstdlib>
#include <cstring>

#include "processor.hpp"

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
  if (allowed && has_avx2()) return avx2::table<T>();
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
