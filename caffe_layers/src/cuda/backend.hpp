// Where the jobs of this folder run: on a CUDA device, or, where the ordinary compiler builds them, in a loop
// on the host, which is how their logic is tested on machines without a GPU.
//
// A job is a struct with two functions:
//   size()            how many items it has; may read a number that an earlier job left in device memory
//   (lanes, item)     computes one item, its inner loop shared among the lanes
// and, where neighbouring items read the same, the constant kNeighboursTogether = true.
// Items are independent. A backend offers:
//   CRFRNN_DEVICE, CRFRNN_HD      qualifiers of functions that jobs call, or jobs and the host
//   CRFRNN_UNROLL                 before a loop: unroll it, so that its arrays stay in registers
//   Lanes                         a group of threads that works on one item
//   Backend                       launch(), sort(), inclusive_sum() in the order of a stream
//   atomic_min(), atomic_max(), atomic_add() (gives what was there), multiply(), add(), subtract()
#pragma once

#include <limits>

#if defined(__CUDACC__)
#include "backend_cuda.cuh"
#else
#include "backend_host.hpp"
#endif

namespace crfrnn {
namespace cuda {

// Constants that jobs may use: the functions of std::numeric_limits are the host's.
template <typename T>
constexpr T kLargest = std::numeric_limits<T>::max();
template <typename T>
constexpr T kSmallest = std::numeric_limits<T>::lowest();
template <typename T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();
template <typename T>
constexpr T kNan = std::numeric_limits<T>::quiet_NaN();

}  // namespace cuda
}  // namespace crfrnn
