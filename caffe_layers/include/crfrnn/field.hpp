// The dense random field of a call: its sizes and options, arrays and kernels. On the CPU and on CUDA
// devices.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "crfrnn/checks.hpp"
#include "crfrnn/gaussian_kernel.hpp"

namespace crfrnn {

// How scores become the Q of the next iteration: a distribution over the classes, or max(0, score) as the
// paper's section 6 weighs it.
enum class Activation { kSoftmax, kRelu };

struct FieldShape {
  std::int64_t batch = 0;
  std::int64_t classes = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  int iterations = 1;
  // 1: all iterations share their parameters, as in a recurrent network. Else the number of iterations: each
  // has its own (untied).
  int parameter_sets = 1;
  Activation activation = Activation::kSoftmax;

  std::int64_t pixels() const { return height * width; }  // of an image
  // Which set of parameters iteration t (from 0) has.
  int set_of(int t) const { return parameter_sets == 1 ? 0 : t; }
};

// All arrays are contiguous, row-major and laid out as Caffe does (N x C x H x W), in the memory of whoever
// computes. To be filled by name.
template <typename T>
struct Field : FieldShape {
  const T* unary = nullptr;            // batch x classes x height x width: negative unary energies ("scores")
  const T* q0 = nullptr;               // the same shape: what the first iteration soft-maxes; may be unary
  const std::uint8_t* mask = nullptr;  // batch x height x width: 0 takes a pixel out of the field; or null
  std::vector<FieldKernel<T>> kernels;
  // For each kernel: parameter_sets matrices W_k, each classes x classes.
  std::vector<const T*> weights;
  const T* compatibility = nullptr;  // parameter_sets x classes x classes: mu
  // On the CPU, for inference alone: classes may be left out whose probability is below this at every pixel;
  // 0 is exact.
  double min_probability = 0;
  // On the CPU, for inference alone: an image's iterations end with the one after that which changed no Q by
  // as much as this; 0 runs all.
  double tolerance = 0;
  // Called before every iteration on the CPU, in the calling thread; what it throws ends the computation.
  std::function<void()> between;
};

// Where the gradients go (overwritten), in the shapes of the arrays of Field; null skips one.
template <typename T>
struct FieldGradient {
  T* unary = nullptr;
  T* q0 = nullptr;
  std::vector<T*> weights;  // one for each kernel
  T* compatibility = nullptr;
};

// Standard deviations of the paper's two kernels of an image: position of the bilateral kernel (alpha,
// pixels), colour of the bilateral kernel (beta, units of the image), position of the spatial kernel (gamma,
// pixels).
struct Thetas {
  double alpha;
  double beta;
  double gamma;
};

// These two kernels over `image` (batch x channels x height x width): spatial, bilateral. Throws
// std::invalid_argument for thetas that are not finite and positive, and for no or too many channels.
template <typename T>
std::vector<FieldKernel<T>> image_kernels(const T* image, std::int64_t channels, const Thetas& thetas) {
  require(channels >= 1 && channels <= kMaxDimension - 2,
          "the image has " + std::to_string(channels) + " channels, 1 to " +
              std::to_string(kMaxDimension - 2) + " are supported");
  check_theta("theta_alpha", thetas.alpha);
  check_theta("theta_beta", thetas.beta);
  check_theta("theta_gamma", thetas.gamma);
  FieldKernel<T> spatial, bilateral;
  spatial.features.theta_x = spatial.features.theta_y = thetas.gamma;
  bilateral.features.theta_x = bilateral.features.theta_y = thetas.alpha;
  bilateral.features.values = image;
  bilateral.features.channels = channels;
  bilateral.features.theta = thetas.beta;
  return {spatial, bilateral};
}

}  // namespace crfrnn
