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

#include <cstddef>
#include <cstdint>
#include <memory>

#include "crfrnn/field.hpp"

namespace crfrnn {

// What backward needs of a forward pass: per image the lattices, and for every iteration Q at the points and
// its filtered values at the vertices; the small matrices. Independent of the forward call's arrays.
template <typename T>
class MeanFieldState {
 public:
  virtual ~MeanFieldState() = default;

  // top_diff: batch x classes x height x width, the gradient with respect to the scores. May be called
  // repeatedly.
  virtual void backward(const T* top_diff, const FieldGradient<T>& gradient, int threads) const = 0;

  // Heap memory held, in bytes.
  virtual std::size_t bytes() const = 0;

  virtual const FieldShape& shape() const = 0;
  virtual std::int64_t kernels() const = 0;
};

// Runs the field's iterations and writes the scores to top (shape of unary). Returns the state for backward
// if `keep_state`, else null and keeps nothing per iteration. iterations_run, if given, gets for every image
// how many iterations it took: all unless field.tolerance ended them (0 where the mask leaves no pixel).
//
// Every image of the batch is computed on its own: the result for an image does not depend on the others, nor
// on the number of threads. Scores of -inf exclude a class at a pixel; NaN or +inf scores make the image's
// result NaN. Pixels that the mask takes away have score and gradient 0 and influence nothing. Throws
// std::invalid_argument for empty sizes, iterations < 1, no kernels, parameter_sets that are neither 1 nor
// iterations, thetas that are not finite and positive, and features with values that are not finite.
template <typename T>
std::unique_ptr<MeanFieldState<T>> mean_field_forward(const Field<T>& field, T* top, bool keep_state,
                                                      int threads, std::int64_t* iterations_run = nullptr);

extern template std::unique_ptr<MeanFieldState<float>> mean_field_forward(const Field<float>&, float*, bool,
                                                                          int, std::int64_t*);
extern template std::unique_ptr<MeanFieldState<double>> mean_field_forward(const Field<double>&, double*,
                                                                           bool, int, std::int64_t*);

}  // namespace crfrnn
