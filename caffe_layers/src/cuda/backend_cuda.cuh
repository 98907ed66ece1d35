// Jobs on a CUDA device: see backend.hpp.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "crfrnn/cuda/mean_field.hpp"

#define CRFRNN_DEVICE __device__ __forceinline__
#define CRFRNN_HD __host__ __device__ inline
#define CRFRNN_UNROLL _Pragma("unroll")

namespace crfrnn {
namespace cuda {

constexpr int kBlockThreads = 256;
// Jobs of one launch: as many as the parameters of a kernel hold.
constexpr int kJobsPerLaunch = 4;

inline void check(cudaError_t error, const char* call) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(call) + " failed: " + cudaGetErrorString(error));
  }
}

// `width` neighbouring threads of a warp, a power of two, all of which work on the same item.
class Lanes {
 public:
  static constexpr int kWidest = 32;
  static constexpr int kTogether = 1;  // lanes whose work one thread does

  CRFRNN_DEVICE explicit Lanes(int width)
      : width_(width), lane_(static_cast<int>(threadIdx.x) & (width - 1)) {
    const unsigned first = (threadIdx.x & 31u) - static_cast<unsigned>(lane_);
    mask_ = (width == 32 ? 0xffffffffu : (1u << width) - 1u) << first;
  }
  CRFRNN_DEVICE int width() const { return width_; }
  CRFRNN_DEVICE int lane() const { return lane_; }
  // With a team of lanes, a power of two: the sum over the lanes of the same place in their teams.
  template <typename T>
  CRFRNN_DEVICE T sum(T own, int team = 1) const {
    for (int distance = width_ / 2; distance >= team; distance /= 2) {
      own += __shfl_xor_sync(mask_, own, distance);
    }
    return own;
  }
  template <typename T>
  CRFRNN_DEVICE T max(T own) const {
    for (int distance = width_ / 2; distance > 0; distance /= 2) {
      const T other = __shfl_xor_sync(mask_, own, distance);
      own = other > own ? other : own;
    }
    return own;
  }

 private:
  int width_;
  int lane_;
  unsigned mask_;
};

CRFRNN_DEVICE void atomic_min(std::int32_t* at, std::int32_t value) { atomicMin(at, value); }
CRFRNN_DEVICE void atomic_max(std::int32_t* at, std::int32_t value) { atomicMax(at, value); }
CRFRNN_DEVICE std::int32_t atomic_add(std::int32_t* at, std::int32_t value) { return atomicAdd(at, value); }
CRFRNN_DEVICE void atomic_min(std::int64_t* at, std::int64_t value) {
  atomicMin(reinterpret_cast<long long*>(at), static_cast<long long>(value));
}
CRFRNN_DEVICE void atomic_max(std::int64_t* at, std::int64_t value) {
  atomicMax(reinterpret_cast<long long*>(at), static_cast<long long>(value));
}

// Arithmetic that is never contracted to fused multiply-adds.
CRFRNN_DEVICE float multiply(float a, float b) { return __fmul_rn(a, b); }
CRFRNN_DEVICE float add(float a, float b) { return __fadd_rn(a, b); }
CRFRNN_DEVICE float subtract(float a, float b) { return __fsub_rn(a, b); }
CRFRNN_DEVICE double multiply(double a, double b) { return __dmul_rn(a, b); }
CRFRNN_DEVICE double add(double a, double b) { return __dadd_rn(a, b); }
CRFRNN_DEVICE double subtract(double a, double b) { return __dsub_rn(a, b); }

template <typename Job>
struct JobList {
  Job job[kJobsPerLaunch];
};

template <typename Job, typename = void>
struct NeighboursTogether : std::false_type {};
template <typename Job>
struct NeighboursTogether<Job, std::enable_if_t<Job::kNeighboursTogether>> : std::true_type {};

// One row of blocks for each job of the list. Blocks stride over the items, or, for jobs that say so, have
// equal shares of neighbouring ones.
template <typename Job>
__global__ void __launch_bounds__(kBlockThreads) run(const __grid_constant__ JobList<Job> jobs, int width) {
  const Job& job = jobs.job[blockIdx.y];
  const std::int64_t size = job.size();
  const int together = kBlockThreads / width;
  const Lanes lanes(width);
  std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * together, end = size;
  std::int64_t step = static_cast<std::int64_t>(gridDim.x) * together;
  if constexpr (NeighboursTogether<Job>::value) {
    begin *= (size + step - 1) / step;
    end = begin + (size + step - 1) / step * together;
    if (end > size) end = size;
    step = together;
  }
  for (std::int64_t item = begin + static_cast<int>(threadIdx.x) / width; item < end; item += step) {
    job(lanes, item);
  }
}

class Backend {
 public:
  explicit Backend(Stream stream) : stream_(stream) {
    check(cudaGetDevice(&device_), "cudaGetDevice");
    check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, device_),
          "cudaDeviceGetAttribute");
  }

  // Runs all jobs, `width` lanes for each item; `items` is the most any of them can have.
  template <typename Job>
  void launch(const std::vector<Job>& jobs, std::int64_t items, int width = 1) const {
    const std::int64_t wanted = (items * width + kBlockThreads - 1) / kBlockThreads;
    const auto blocks = static_cast<unsigned>(
        std::max<std::int64_t>(1, std::min<std::int64_t>(wanted, resident_blocks<Job>())));
    for (std::size_t first = 0; first < jobs.size(); first += kJobsPerLaunch) {
      const std::size_t count = std::min<std::size_t>(kJobsPerLaunch, jobs.size() - first);
      JobList<Job> list{};
      std::copy_n(jobs.begin() + first, count, list.job);
      run<<<dim3(blocks, static_cast<unsigned>(count)), kBlockThreads, 0, stream_>>>(list, width);
      check(cudaGetLastError(), "a kernel launch");
    }
  }

  static std::size_t sort_bytes(std::int64_t count) {
    std::size_t bytes = 0;
    cub::DoubleBuffer<std::uint64_t> keys(nullptr, nullptr);
    cub::DoubleBuffer<std::uint32_t> values(nullptr, nullptr);
    check(cub::DeviceRadixSort::SortPairs(nullptr, bytes, keys, values, static_cast<int>(count)),
          "cub::DeviceRadixSort::SortPairs");
    return bytes;
  }
  // Stable; the result is in keys[0] and values[0], the pointers being exchanged if need be.
  void sort(void* temporary, std::size_t bytes, std::uint64_t* keys[2], std::uint32_t* values[2],
            std::int64_t count, int bits) const {
    cub::DoubleBuffer<std::uint64_t> both_keys(keys[0], keys[1]);
    cub::DoubleBuffer<std::uint32_t> both_values(values[0], values[1]);
    check(cub::DeviceRadixSort::SortPairs(temporary, bytes, both_keys, both_values, static_cast<int>(count),
                                          0, bits, stream_),
          "cub::DeviceRadixSort::SortPairs");
    if (both_keys.Current() != keys[0]) std::swap(keys[0], keys[1]);
    if (both_values.Current() != values[0]) std::swap(values[0], values[1]);
  }

  static std::size_t sum_bytes(std::int64_t count) {
    std::size_t bytes = 0;
    std::int32_t* none = nullptr;
    check(cub::DeviceScan::InclusiveSum(nullptr, bytes, none, none, static_cast<int>(count)),
          "cub::DeviceScan::InclusiveSum");
    return bytes;
  }
  // Replaces every number by the sum of it and those before it.
  void inclusive_sum(void* temporary, std::size_t bytes, std::int32_t* numbers, std::int64_t count) const {
    check(cub::DeviceScan::InclusiveSum(temporary, bytes, numbers, numbers, static_cast<int>(count), stream_),
          "cub::DeviceScan::InclusiveSum");
  }

 private:
  // Blocks that the device runs at a time: more would wait for these to end, most of the device idle then.
  template <typename Job>
  std::int64_t resident_blocks() const {
    static std::atomic<int> of_device[kMostDevices];  // 0 where it is not known yet
    std::atomic<int>* known = device_ < kMostDevices ? &of_device[device_] : nullptr;
    int blocks = known ? known->load() : 0;
    if (!blocks) {
      check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, run<Job>, kBlockThreads, 0),
            "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
      if (known) known->store(blocks);
    }
    return static_cast<std::int64_t>(multiprocessors_) * std::max(1, blocks);
  }

  static constexpr int kMostDevices = 64;
  Stream stream_;
  int device_ = 0;
  int multiprocessors_ = 0;
};

}  // namespace cuda
}  // namespace crfrnn
