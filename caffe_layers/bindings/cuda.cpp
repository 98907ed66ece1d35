// The Python modules crfasrnn._cuda and crfasrnn._cuda_host (CRFRNN_MODULE): the layer on arrays that are
// given by their addresses. crfasrnn/crf/operator_cuda.py makes the arrays and checks their shapes.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "crfrnn/cuda/mean_field.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace crfrnn {
namespace cuda {
namespace {

using Address = std::uintptr_t;  // 0 for an array that is not there

template <typename T>
T* array(Address address) {
  return reinterpret_cast<T*>(address);
}

// values, channels, shared, theta_x, theta_y, theta, normalization
using KernelTuple = std::tuple<Address, std::int64_t, bool, double, double, double, int>;

template <typename T>
Field<T> field(std::int64_t batch, std::int64_t classes, std::int64_t height, std::int64_t width,
               int iterations, const std::vector<KernelTuple>& kernels, int parameter_sets, int activation) {
  Field<T> made;
  made.batch = batch;
  made.classes = classes;
  made.height = height;
  made.width = width;
  made.iterations = iterations;
  made.parameter_sets = parameter_sets;
  if (activation < 0 || activation > static_cast<int>(Activation::kRelu)) {
    throw std::invalid_argument("activation must be 0 or 1, got " + std::to_string(activation));
  }
  made.activation = static_cast<Activation>(activation);
  for (const auto& [values, channels, shared, theta_x, theta_y, theta, normalization] : kernels) {
    if (normalization < 0 || normalization > static_cast<int>(Normalization::kSymmetric)) {
      throw std::invalid_argument("normalization must be 0 to 3, got " + std::to_string(normalization));
    }
    FieldKernel<T> kernel;
    kernel.features.theta_x = theta_x;
    kernel.features.theta_y = theta_y;
    kernel.features.values = array<const T>(values);
    kernel.features.channels = channels;
    kernel.features.theta = theta;
    kernel.shared = shared;
    kernel.normalization = static_cast<Normalization>(normalization);
    made.kernels.push_back(kernel);
  }
  return made;
}

template <typename T>
void forward(const Field<T>& field, Address unary, Address q0, Address mask, Address weights,
             Address compatibility, Address top, Address status, Address state, Address workspace,
             Address stream) {
  Field<T> whole = field;
  whole.unary = array<const T>(unary);
  whole.q0 = array<const T>(q0);
  whole.mask = array<const std::uint8_t>(mask);
  whole.compatibility = array<const T>(compatibility);
  for (std::size_t k = 0; k < field.kernels.size(); ++k) {
    whole.weights.push_back(array<const T>(weights) +
                            k * field.parameter_sets * field.classes * field.classes);
  }
  mean_field_forward(whole, array<T>(top), array<std::int32_t>(status), array<void>(state),
                     array<void>(workspace), reinterpret_cast<Stream>(stream));
}

template <typename T>
void backward(const Field<T>& field, Address state, Address top_diff, Address unary, Address q0,
              Address weights, Address compatibility, Address workspace, Address stream) {
  FieldGradient<T> gradient;
  gradient.unary = array<T>(unary);
  gradient.q0 = array<T>(q0);
  gradient.compatibility = array<T>(compatibility);
  for (std::size_t k = 0; weights && k < field.kernels.size(); ++k) {
    gradient.weights.push_back(array<T>(weights) + k * field.parameter_sets * field.classes * field.classes);
  }
  mean_field_backward(field, array<const void>(state), array<const T>(top_diff), gradient,
                      array<void>(workspace), reinterpret_cast<Stream>(stream));
}

template <typename T>
void filter(Address values, Address features, Address out, Address status, std::int64_t points, int dimension,
            std::int64_t channels, bool reverse, Address workspace, Address stream) {
  permutohedral_filter(array<const T>(values), array<const T>(features), array<T>(out),
                       array<std::int32_t>(status), points, dimension, channels, reverse,
                       array<void>(workspace), reinterpret_cast<Stream>(stream));
}

template <typename T>
void bind(nb::module_& m, const std::string& bits) {
  const auto released = nb::call_guard<nb::gil_scoped_release>();
  nb::class_<Field<T>>(m, ("Field" + bits).c_str(), "Sizes and kernels of a field.")
      .def(nb::new_(&field<T>), "batch"_a, "classes"_a, "height"_a, "width"_a, "iterations"_a, "kernels"_a,
           "parameter_sets"_a, "activation"_a)
      .def(
          "forward_memory",
          [](const Field<T>& self, bool keep_state) {
            const Memory memory = forward_memory(self, keep_state);
            return std::make_tuple(memory.state, memory.workspace);
          },
          "keep_state"_a, "Bytes of state and of workspace for forward.")
      .def("forward", &forward<T>, "unary"_a, "q0"_a, "mask"_a, "weights"_a, "compatibility"_a, "top"_a,
           "status"_a, "state"_a, "workspace"_a, "stream"_a, released)
      .def(
          "backward_memory",
          [](const Field<T>& self, bool weights) { return backward_memory(self, weights); }, "weights"_a,
          "Bytes of workspace for backward.")
      .def("backward", &backward<T>, "state"_a, "top_diff"_a, "unary"_a, "q0"_a, "weights"_a,
           "compatibility"_a, "workspace"_a, "stream"_a, released);
  m.def(("filter_memory" + bits).c_str(), &filter_memory<T>, "points"_a, "dimension"_a, "channels"_a);
  m.def(("permutohedral_filter" + bits).c_str(), &filter<T>, "values"_a, "features"_a, "out"_a, "status"_a,
        "points"_a, "dimension"_a, "channels"_a, "reverse"_a, "workspace"_a, "stream"_a, released);
}

}  // namespace
}  // namespace cuda
}  // namespace crfrnn

NB_MODULE(CRFRNN_MODULE, m) {
  m.doc() = "Mean-field inference and the permutohedral filter on arrays given by their addresses.";
  crfrnn::cuda::bind<float>(m, "32");
  crfrnn::cuda::bind<double>(m, "64");
}
