// The options of a MultiStageMeanfield layer, from either of the two places where a prototxt may state them.
#pragma once

#include <vector>

#include "caffe_headers.hpp"
#include "crfrnn/mean_field.hpp"

namespace crfrnn {

// Fields as in multi_stage_meanfield_param (docs/tutorials/plugin.md lists them).
struct Options {
  int num_iterations;
  Thetas thetas;
  bool force_cpu;                 // compute on the CPU in GPU mode too
  std::vector<double> spatial;    // diagonal that the spatial weights start from, one number per class
  std::vector<double> bilateral;  // the same of the bilateral weights
};

// The options in multi_stage_meanfield_param, where Caffe's schema has that message and the layer sets it,
// else in the text python_param.param_str, else the defaults. Throws std::invalid_argument, naming the field.
Options read_options(const ::caffe::LayerParameter& layer, int classes);

}  // namespace crfrnn
