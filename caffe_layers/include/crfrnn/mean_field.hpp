// Mean-field inference in a fully connected CRF with Gaussian kernels, as a differentiable function.
//
// Source: S. Zheng et al., "Conditional Random Fields as Recurrent Neural Networks", ICCV 2015, sections 4
// and 5:
//
//   for t = 1..T:  Q = softmax(t == 1 ? Q0 : scores)
//                  F_k = K_k(Q) / K_k(1)                     for every kernel k (message passing, normalised)
//                  scores = unary - mu sum_k W_k F_k         (filter weights, compatibility transform,
//                  unaries)
//
// with the filters K_k on the permutohedral lattice. The result is the last scores, not soft-maxed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "crfrnn/gaussian_kernel.hpp"
#include "crfrnn/permutohedral.hpp"

namespace crfrnn {

// Standard deviations of the two kernels of an image: position of the bilateral kernel (alpha, pixels),
// colour of the bilateral kernel (beta, units of the image), position of the spatial kernel (gamma, pixels).
struct Thetas {
  double alpha;
  double beta;
  double gamma;
};

// All arrays are contiguous, row-major and laid out as Caffe does (N x C x H x W).
template <typename T>
struct MeanFieldInput {
  std::int64_t batch;
  std::int64_t classes;
  std::int64_t height;
  std::int64_t width;
  std::int64_t image_channels;
  const T* unary;          // batch x classes x height x width: negative unary energies ("scores")
  const T* q0;             // batch x classes x height x width: what the first iteration soft-maxes
  const T* image;          // batch x image_channels x height x width
  const T* spatial;        // classes x classes: W of the spatial kernel
  const T* bilateral;      // classes x classes: W of the bilateral kernel
  const T* compatibility;  // classes x classes: mu
};

// Makes one kernel of the field for image n of the batch over the given pixels; may return the same kernel
// again, for images of the same order.
template <typename T>
using KernelMaker = std::function<std::shared_ptr<const GaussianKernel<T>>(
    const std::shared_ptr<const PixelOrder>& order, std::int64_t image)>;

// How scores become the Q of the next iteration: a distribution over the classes, or max(0, score) as the
// paper's section 6 weighs it.
enum class Activation { kSoftmax, kRelu };

// The field with any kernels: arrays as in MeanFieldInput.
template <typename T>
struct KernelFieldInput {
  std::int64_t batch;
  std::int64_t classes;
  std::int64_t height;
  std::int64_t width;
  const T* unary;
  const T* q0;
  const std::uint8_t* mask;  // batch x height x width: 0 takes a pixel out of the field; or null
  std::vector<KernelMaker<T>> kernels;
  // For each kernel: parameter_sets matrices W_k, each classes x classes.
  std::vector<const T*> weights;
  const T* compatibility;  // parameter_sets x classes x classes
  // 1: all iterations share their parameters, as in a recurrent network. Else the number of iterations: each
  // has its own (untied).
  int parameter_sets = 1;
  Activation activation = Activation::kSoftmax;
};

// Where the gradients go (overwritten), in the shapes of the inputs; null skips one.
template <typename T>
struct KernelFieldGradient {
  T* unary;
  T* q0;
  std::vector<T*> weights;  // one for each kernel
  T* compatibility;
};

// The same for the two kernels of an image. Shapes as in MeanFieldInput.
template <typename T>
struct MeanFieldGradient {
  T* unary;
  T* q0;
  T* spatial;
  T* bilateral;
  T* compatibility;
};

// What backward needs of a forward pass: per image the lattices, and for every iteration Q at the points and
// its filtered values at the vertices; the small matrices. Independent of the forward call's arrays.
template <typename T>
class MeanFieldState {
 public:
  virtual ~MeanFieldState() = default;

  // top_diff: batch x classes x height x width, the gradient with respect to the scores. May be called
  // repeatedly.
  virtual void backward(const T* top_diff, const KernelFieldGradient<T>& gradient, int threads) const = 0;
  // For the state of the two kernels of an image.
  void backward(const T* top_diff, const MeanFieldGradient<T>& gradient, int threads) const {
    backward(top_diff,
             KernelFieldGradient<T>{
                 gradient.unary, gradient.q0, {gradient.spatial, gradient.bilateral}, gradient.compatibility},
             threads);
  }

  // Heap memory held, in bytes.
  virtual std::size_t bytes() const = 0;

  virtual std::int64_t kernels() const = 0;
  virtual std::int64_t parameter_sets() const = 0;
  virtual std::int64_t batch() const = 0;
  virtual std::int64_t classes() const = 0;
  virtual std::int64_t height() const = 0;
  virtual std::int64_t width() const = 0;
};

// Runs `iterations` >= 1 iterations and writes the scores to top (shape of unary). Returns the state for
// backward if `keep_state`, else null and keeps nothing per iteration.
//
// Every image of the batch is computed on its own: the result for an image does not depend on the others, nor
// on the number of threads. Scores of -inf exclude a class at a pixel; NaN or +inf scores make the image's
// result NaN. Throws std::invalid_argument for empty sizes, iterations < 1, thetas that are not finite and
// positive, and images with values that are not finite.
template <typename T>
std::unique_ptr<MeanFieldState<T>> mean_field_forward(const MeanFieldInput<T>& input, const Thetas& thetas,
                                                      int iterations, T* top, bool keep_state, int threads);

// The same with any kernels. Pixels that the mask takes away have score and gradient 0 and influence nothing;
// with different masks in a batch a maker is asked for kernels over different orders. Throws what the makers
// throw, and std::invalid_argument for no kernels, and for parameter_sets that are neither 1 nor iterations.
template <typename T>
std::unique_ptr<MeanFieldState<T>> mean_field_forward(const KernelFieldInput<T>& input, int iterations,
                                                      T* top, bool keep_state, int threads);

extern template std::unique_ptr<MeanFieldState<float>> mean_field_forward(const KernelFieldInput<float>&, int,
                                                                          float*, bool, int);
extern template std::unique_ptr<MeanFieldState<double>> mean_field_forward(const KernelFieldInput<double>&,
                                                                           int, double*, bool, int);
extern template std::unique_ptr<MeanFieldState<float>> mean_field_forward(const MeanFieldInput<float>&,
                                                                          const Thetas&, int, float*, bool,
                                                                          int);
extern template std::unique_ptr<MeanFieldState<double>> mean_field_forward(const MeanFieldInput<double>&,
                                                                           const Thetas&, int, double*, bool,
                                                                           int);

}  // namespace crfrnn
