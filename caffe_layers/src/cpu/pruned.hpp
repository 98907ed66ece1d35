// Mean-field inference that computes with those classes alone whose probability matters somewhere.
#pragma once

#include <vector>

#include "crfrnn/field.hpp"
#include "lattice_pass.hpp"
#include "pixel_rows.hpp"

namespace crfrnn {

// One image's arrays, classes x height x width each.
template <typename T>
struct ImageArrays {
  const T* unary;
  const T* q0;
  T* top;
};

// Runs the field's iterations, for inference alone, as if classes had no probability whose probability is
// below field.min_probability at every pixel; a class whose scores rise comes back. Fills top for all
// classes and returns how many iterations were run; returns 0, and fills nothing, where that saves nothing or
// is not known to be right: few classes or all of them alive, another activation than the soft-max, scores
// that are not numbers, or compatibilities between classes behind kernels that are no weighted means.
template <typename T>
int pruned_forward(const Field<T>& field, const PixelOrder& order, const std::vector<LatticeTerm<T>>& terms,
                   const ImageArrays<T>& image, int threads);

extern template int pruned_forward(const Field<float>&, const PixelOrder&,
                                   const std::vector<LatticeTerm<float>>&, const ImageArrays<float>&, int);
extern template int pruned_forward(const Field<double>&, const PixelOrder&,
                                   const std::vector<LatticeTerm<double>>&, const ImageArrays<double>&, int);

}  // namespace crfrnn
