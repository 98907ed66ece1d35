// What must hold for the arguments of a call on a CUDA device.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "crfrnn/checks.hpp"
#include "crfrnn/cuda/mean_field.hpp"

namespace crfrnn {
namespace cuda {

inline void check_channels(std::int64_t channels) {
  require(channels >= 1 && channels <= kMaxClasses, "there must be 1 to " + std::to_string(kMaxClasses) +
                                                        " channels on a CUDA device, got " +
                                                        std::to_string(channels));
}

inline void check_points(std::int64_t points, std::int64_t d) {
  require(points >= 1, "there must be at least one point to filter");
  require(points <= std::numeric_limits<std::int32_t>::max() / (d + 1),
          std::to_string(points) + " points in " + std::to_string(d) +
              " dimensions are too many for 32-bit vertex numbers: compute fewer images at a time");
}

template <typename T>
void check_field(const Field<T>& field) {
  require(field.batch >= 1 && field.height >= 1 && field.width >= 1,
          "mean field needs at least one image and one pixel");
  check_channels(field.classes);
  check_iterations(field.iterations, field.parameter_sets);
  require(!field.kernels.empty() && field.kernels.size() <= kMaxKernels,
          "mean field on a CUDA device needs 1 to " + std::to_string(kMaxKernels) + " kernels, got " +
              std::to_string(field.kernels.size()));
  require(field.height <= std::numeric_limits<std::int32_t>::max() / field.width &&
              field.batch <= std::numeric_limits<std::int32_t>::max() / (field.height * field.width),
          "the images of a batch have more than 2^31 pixels: compute fewer at a time");
  for (const FieldKernel<T>& kernel : field.kernels) {
    check_points(field.batch * field.pixels(), check_features(kernel.features));
  }
}

}  // namespace cuda
}  // namespace crfrnn
