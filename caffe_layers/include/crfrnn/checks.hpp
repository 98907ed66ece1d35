// What must hold for the arguments of a call, on the CPU and on CUDA devices, in one wording.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

#include "crfrnn/limits.hpp"

namespace crfrnn {

// Throws std::invalid_argument unless the condition holds, as all of these do.
inline void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

// theta: a standard deviation.
inline void check_theta(const char* name, double theta) {
  require(std::isfinite(theta) && theta > 0,
          std::string(name) + " must be finite and greater than 0, got " + std::to_string(theta));
}

// d: the dimension of a kernel's features.
inline void check_dimension(std::int64_t d) {
  require(d >= 1 && d <= kMaxDimension, "a kernel must have 1 to " + std::to_string(kMaxDimension) +
                                            " features, the position included, got " + std::to_string(d));
}

// Returns the dimension of the features of a kernel (KernelFeatures).
template <typename Features>
std::int64_t check_features(const Features& features) {
  const bool position = features.has_position();
  if (position) {
    check_theta("theta of the position", features.theta_x);
    check_theta("theta of the position", features.theta_y);
  }
  if (features.channels > 0) check_theta("theta of the features", features.theta);
  check_dimension(features.dimension());
  return features.dimension();
}

inline void check_iterations(int iterations, int parameter_sets) {
  require(iterations >= 1, "the number of iterations must be at least 1, got " + std::to_string(iterations));
  require(parameter_sets == 1 || parameter_sets == iterations,
          "there are " + std::to_string(parameter_sets) + " sets of parameters, but " +
              std::to_string(iterations) + " iterations: give one set for all, or one for each");
}

}  // namespace crfrnn
