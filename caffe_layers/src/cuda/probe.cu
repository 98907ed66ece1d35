// Compiled when the build is configured, to find out whether this nvcc, its CUB and its host compiler work.
#include <cstdint>
#include <cub/device/device_scan.cuh>

int main() {
  std::size_t bytes = 0;
  std::int32_t* none = nullptr;
  return cub::DeviceScan::InclusiveSum(nullptr, bytes, none, none, 1) == cudaSuccess ? 0 : 1;
}
