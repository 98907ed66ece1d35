// The functions of mean_field.hpp for float and double, compiled for whichever backend includes this.
#pragma once

#include "lattice_filter.hpp"
#include "mean_field.hpp"

namespace crfrnn {
namespace cuda {

#define CRFRNN_INSTANCES(T)                                                                                  \
  template Memory forward_memory(const Field<T>&, bool);                                                     \
  template void mean_field_forward(const Field<T>&, T*, std::int32_t*, void*, void*, Stream);                \
  template std::size_t backward_memory(const Field<T>&, bool);                                               \
  template void mean_field_backward(const Field<T>&, const void*, const T*, const FieldGradient<T>&, void*,  \
                                    Stream);                                                                 \
  template std::size_t filter_memory<T>(std::int64_t, int, std::int64_t);                                    \
  template void permutohedral_filter(const T*, const T*, T*, std::int32_t*, std::int64_t, int, std::int64_t, \
                                     bool, void*, Stream);
CRFRNN_INSTANCES(float)
CRFRNN_INSTANCES(double)
#undef CRFRNN_INSTANCES

}  // namespace cuda
}  // namespace crfrnn
