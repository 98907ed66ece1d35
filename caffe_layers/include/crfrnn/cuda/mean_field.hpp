// Mean-field inference and the permutohedral filter on arrays in device memory: the formulas of
// crfrnn/mean_field.hpp and crfrnn/permutohedral.hpp for the same Field, on the caller's stream.
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

#include "crfrnn/field.hpp"

struct CUstream_st;

namespace crfrnn {
namespace cuda {

using Stream = CUstream_st*;  // cudaStream_t

// Most kernels of one field, and most classes.
constexpr int kMaxKernels = 16;
constexpr int kMaxClasses = 4096;

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
                         const FieldGradient<T>& gradient, void* workspace, Stream stream);

// out = slice(blur(splat(in))): PermutohedralLattice::filter at features (points x dimension) for in and out
// (points x channels). status: one Status; bad features make the whole result NaN.
template <typename T>
std::size_t filter_memory(std::int64_t points, int dimension, std::int64_t channels);
template <typename T>
void permutohedral_filter(const T* in, const T* features, T* out, std::int32_t* status, std::int64_t points,
                          int dimension, std::int64_t channels, bool reverse, void* workspace, Stream stream);

}  // namespace cuda
}  // namespace crfrnn
