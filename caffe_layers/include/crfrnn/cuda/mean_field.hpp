// Mean-field inference and the permutohedral filter on arrays in device memory: the formulas and the options
// of crfrnn/mean_field.hpp and crfrnn/permutohedral.hpp, on the caller's stream.
//
// Memory is the caller's: ask for its size, allocate, call. No function allocates device memory, copies
// between host and device, or waits for the device; all may be captured into a CUDA graph. The number of
// lattice vertices is known on the device alone, so every array has room for the most there can be: one
// vertex for each corner of each point, less where the grid of positions allows fewer. Only what the image
// needs is touched. A capacity that the caller guesses would save memory but fail on noise.
//
// The same arrays give the same bits in every run: nothing is summed in an order that depends on timing.
//
// All functions throw std::invalid_argument for sizes, thetas and options that do not fit, and
// std::runtime_error, with CUDA's message, if a launch fails. T is float or double.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "crfrnn/gaussian_kernel.hpp"
#include "crfrnn/mean_field.hpp"

struct CUstream_st;

namespace crfrnn {
namespace cuda {

using Stream = CUstream_st*;  // cudaStream_t

// Most kernels of one field, and most classes.
constexpr int kMaxKernels = 16;
constexpr int kMaxClasses = 4096;

// One kernel of the field.
template <typename T>
struct Kernel {
  KernelFeatures<T> features;  // values: batch x channels x height x width, or one image of that shape
  bool shared = false;         // the values are one image, which all images of the batch share
  Normalization normalization = Normalization::kAfter;
};

// The two kernels of the paper over `image` (batch x channels x height x width): spatial, bilateral.
template <typename T>
std::vector<Kernel<T>> image_kernels(const T* image, std::int64_t channels, const Thetas& thetas) {
  Kernel<T> spatial, bilateral;
  spatial.features.theta_x = spatial.features.theta_y = thetas.gamma;
  bilateral.features = {thetas.alpha, thetas.alpha, image, channels, thetas.beta};
  return {spatial, bilateral};
}

// The field: arrays as in KernelFieldInput, but in device memory.
template <typename T>
struct Field {
  std::int64_t batch;
  std::int64_t classes;
  std::int64_t height;
  std::int64_t width;
  int iterations;
  const T* unary;
  const T* q0;
  const std::uint8_t* mask;  // batch x height x width: 0 takes a pixel out of the field; or null
  std::vector<Kernel<T>> kernels;
  // For each kernel: parameter_sets matrices, each classes x classes.
  std::vector<const T*> weights;
  const T* compatibility;  // parameter_sets x classes x classes
  // 1: all iterations share their parameters. Else the number of iterations: each has its own (untied).
  int parameter_sets = 1;
  Activation activation = Activation::kSoftmax;
};

// Bytes that a forward pass needs: `state` stays as it is until the last backward pass, `workspace` is free
// for other use when the work on the stream is done. Arrays of `field` are not read.
struct Memory {
  std::size_t state;  // 0 unless keep_state
  std::size_t workspace;
};
template <typename T>
Memory forward_memory(const Field<T>& field, bool keep_state);

// What became of an image. Bad features make its scores NaN.
enum Status : std::int32_t {
  kFine = 0,
  kNotFinite = 1,  // features that are NaN or infinite
  kTooLarge = 2,   // features too many standard deviations from the origin to be resolved in T
};

// Writes the scores (shape of unary) to `top` and a Status for each image of the batch to `status`.
// `state`: null, or forward_memory().state bytes, for backward. Both blocks must be aligned to 256 bytes.
template <typename T>
void mean_field_forward(const Field<T>& field, T* top, std::int32_t* status, void* state, void* workspace,
                        Stream stream);

// Bytes of workspace for a backward pass; `weights`: gradients of kernel weights or compatibility are wanted.
template <typename T>
std::size_t backward_memory(const Field<T>& field, bool weights);

// Gradients as in MeanFieldState::backward. `field` describes what was given to forward; its arrays and
// `activation` are not read: the state has them.
template <typename T>
void mean_field_backward(const Field<T>& field, const void* state, const T* top_diff,
                         const KernelFieldGradient<T>& gradient, void* workspace, Stream stream);

// out = slice(blur(splat(in))): PermutohedralLattice::filter at features (points x dimension) for in and out
// (points x channels). status: one Status; bad features make the whole result NaN.
template <typename T>
std::size_t filter_memory(std::int64_t points, int dimension, std::int64_t channels);
template <typename T>
void permutohedral_filter(const T* in, const T* features, T* out, std::int32_t* status, std::int64_t points,
                          int dimension, std::int64_t channels, bool reverse, void* workspace, Stream stream);

}  // namespace cuda
}  // namespace crfrnn
