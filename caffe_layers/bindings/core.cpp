// The Python module crfasrnn._core: checks shapes, drops the GIL, calls the core. Arrays are never copied.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "crfrnn/gaussian_kernel.hpp"
#include "crfrnn/mean_field.hpp"
#include "crfrnn/permutohedral.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace crfrnn {
namespace {

template <typename T, typename... Shape>
using Array = nb::ndarray<T, nb::c_contig, nb::device::cpu, Shape...>;
template <typename T>
using Image = Array<T, nb::ndim<4>>;
template <typename T>
using Table = Array<T, nb::ndim<2>>;

template <typename A>
std::string shape_of(const A& array) {
  std::string text = "(";
  for (std::size_t i = 0; i < array.ndim(); ++i) text += (i ? ", " : "") + std::to_string(array.shape(i));
  return text + ")";
}

template <typename A, typename B>
void require_same_shape(const char* name, const A& array, const char* other_name, const B& other) {
  bool same = array.ndim() == other.ndim();
  for (std::size_t i = 0; same && i < array.ndim(); ++i) same = array.shape(i) == other.shape(i);
  if (!same) {
    throw std::invalid_argument(std::string(name) + " has shape " + shape_of(array) + ", but " + other_name +
                                " has shape " + shape_of(other) + ": they must be equal");
  }
}

template <typename A>
void require_matrices(const char* name, const A& array, const std::vector<std::size_t>& shape,
                      const char* meaning) {
  std::string wanted;
  bool same = array.ndim() == shape.size();
  for (std::size_t i = 0; i < shape.size(); ++i) {
    same = same && array.shape(i) == shape[i];
    wanted += (i ? ", " : "") + std::to_string(shape[i]);
  }
  if (!same) {
    throw std::invalid_argument(std::string(name) + " has shape " + shape_of(array) + ", it must be (" +
                                wanted + "): " + meaning);
  }
}

template <typename T>
void filter(Table<const T> values, Table<const T> features, Table<T> out, bool reverse, int threads) {
  require_same_shape("out", out, "values", values);
  if (values.shape(0) != features.shape(0)) {
    throw std::invalid_argument("values has shape " + shape_of(values) + " and features " +
                                shape_of(features) + ": they must have one row per point");
  }
  const T* in = values.data();
  const T* at = features.data();
  T* result = out.data();
  const auto points = static_cast<std::int64_t>(values.shape(0));
  const auto channels = static_cast<std::int64_t>(values.shape(1));
  const int dimension = static_cast<int>(features.shape(1));
  nb::gil_scoped_release release;
  PermutohedralLattice<T>(at, points, dimension, threads).filter(in, result, channels, reverse, threads);
}

// What one kernel of a call is made of; its features must stay alive, hence the handle.
template <typename T>
struct KernelSource {
  std::optional<Image<const T>> features;
  double theta_x;
  double theta_y;
  double theta;
  int normalization;

  FieldKernel<T> kernel() const {
    FieldKernel<T> made;
    made.features.theta_x = theta_x;
    made.features.theta_y = theta_y;
    made.features.theta = theta;
    if (features) {
      made.features.values = features->data();
      made.features.channels = static_cast<std::int64_t>(features->shape(1));
    }
    made.shared = !features || features->shape(0) == 1;
    made.normalization = static_cast<Normalization>(normalization);
    return made;
  }
};

template <typename T>
KernelSource<T> kernel_source(std::optional<Image<const T>> features, double theta_x, double theta_y,
                              double theta, int normalization) {
  if (normalization < 0 || normalization > static_cast<int>(Normalization::kSymmetric)) {
    throw std::invalid_argument("normalization must be 0 to 3, got " + std::to_string(normalization));
  }
  return {std::move(features), theta_x, theta_y, theta, normalization};
}

template <typename T>
std::shared_ptr<GaussianKernel<T>> make_kernel(const KernelSource<T>& source, std::int64_t height,
                                               std::int64_t width, int threads) {
  if (source.features &&
      (source.features->shape(0) != 1 || static_cast<std::int64_t>(source.features->shape(2)) != height ||
       static_cast<std::int64_t>(source.features->shape(3)) != width)) {
    throw std::invalid_argument("features has shape " + shape_of(*source.features) +
                                ", it must be one image of " + std::to_string(height) + " x " +
                                std::to_string(width));
  }
  nb::gil_scoped_release release;
  // Bound types are not const; the class has no method that changes it.
  return std::const_pointer_cast<GaussianKernel<T>>(
      kernel_of_image(source.kernel(), pixel_order(height, width), 0, threads));
}

template <typename T>
using Planes = Array<T, nb::ndim<3>>;

template <typename T>
void kernel_filter(const GaussianKernel<T>& kernel, Planes<const T> values, Planes<T> out, bool transpose,
                   int threads) {
  require_same_shape("out", out, "values", values);
  // The field of a kernel that this module makes has no mask: its points are its pixels.
  if (static_cast<std::int64_t>(values.shape(1) * values.shape(2)) != kernel.lattice().points()) {
    throw std::invalid_argument("values has shape " + shape_of(values) + ", but the kernel has " +
                                std::to_string(kernel.lattice().points()) + " pixels");
  }
  const T* in = values.data();
  T* result = out.data();
  const auto channels = static_cast<std::int64_t>(values.shape(0));
  nb::gil_scoped_release release;
  kernel.filter(in, result, channels, transpose, threads);
}

using Counts = Array<std::int64_t, nb::ndim<1>>;

// Lets Ctrl-C end a long computation: asks Python for signals now and then, and not so often that a thread
// which holds the GIL is in the way.
class Interruption {
 public:
  void operator()() {
    const auto now = Clock::now();
    if (now - asked_ < std::chrono::milliseconds(100)) return;
    asked_ = now;
    const nb::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point asked_ = Clock::now();
};

template <typename T>
std::unique_ptr<MeanFieldState<T>> forward(Image<const T> unary, Image<const T> q0, nb::list kernels,
                                           Image<const T> weights, Planes<const T> compatibility,
                                           std::optional<Planes<const std::uint8_t>> mask, Image<T> out,
                                           std::optional<Counts> iterations_run, int iterations,
                                           int activation, bool keep_state, int threads,
                                           double min_probability, double tolerance) {
  require_same_shape("q0", q0, "unary", unary);
  require_same_shape("out", out, "unary", unary);
  const std::size_t count = kernels.size();
  const std::size_t classes = unary.shape(1);
  const std::size_t sets = compatibility.shape(0);
  require_matrices("compatibility", compatibility, {sets, classes, classes}, "sets x classes x classes");
  require_matrices("weights", weights, {count, sets, classes, classes}, "kernels x sets x classes x classes");
  if (activation < 0 || activation > static_cast<int>(Activation::kRelu)) {
    throw std::invalid_argument("activation must be 0 or 1, got " + std::to_string(activation));
  }
  if (mask && (mask->shape(0) != unary.shape(0) || mask->shape(1) != unary.shape(2) ||
               mask->shape(2) != unary.shape(3))) {
    throw std::invalid_argument("mask has shape " + shape_of(*mask) + ", but unary has shape " +
                                shape_of(unary) + ": batch, height and width must be equal");
  }
  const auto size = [&](int axis) { return static_cast<std::int64_t>(unary.shape(axis)); };
  Field<T> field;
  field.batch = size(0);
  field.classes = size(1);
  field.height = size(2);
  field.width = size(3);
  field.iterations = iterations;
  field.parameter_sets = static_cast<int>(sets);
  field.activation = static_cast<Activation>(activation);
  if (!(min_probability >= 0 && min_probability < 1)) {
    throw std::invalid_argument("min_probability must be at least 0 and below 1, got " +
                                std::to_string(min_probability));
  }
  field.min_probability = min_probability;
  if (!(tolerance >= 0 && tolerance < 1)) {
    throw std::invalid_argument("tolerance must be at least 0 and below 1, got " + std::to_string(tolerance));
  }
  field.tolerance = tolerance;
  if (iterations_run && iterations_run->shape(0) != unary.shape(0)) {
    throw std::invalid_argument("iterations_run has shape " + shape_of(*iterations_run) +
                                ", it must have one entry for each image of unary " + shape_of(unary));
  }
  field.unary = unary.data();
  field.q0 = q0.data();
  if (mask) field.mask = mask->data();
  field.compatibility = compatibility.data();
  std::vector<KernelSource<T>> sources;  // the caller may change the list while the GIL is released
  for (std::size_t k = 0; k < count; ++k) {
    field.weights.push_back(weights.data() + k * sets * classes * classes);
    if (nb::isinstance<GaussianKernel<T>>(kernels[k])) {
      FieldKernel<T> kernel;
      kernel.made = nb::cast<std::shared_ptr<GaussianKernel<T>>>(kernels[k]);
      if (mask || kernel.made->lattice().points() != field.pixels()) {
        throw std::invalid_argument("a kernel made beforehand has other pixels than unary " +
                                    shape_of(unary));
      }
      field.kernels.push_back(kernel);
      continue;
    }
    const auto& source = sources.emplace_back(nb::cast<KernelSource<T>>(kernels[k]));
    const FieldKernel<T> kernel = source.kernel();
    if (source.features &&
        ((!kernel.shared && source.features->shape(0) != unary.shape(0)) ||
         source.features->shape(2) != unary.shape(2) || source.features->shape(3) != unary.shape(3))) {
      throw std::invalid_argument("features has shape " + shape_of(*source.features) +
                                  ", but unary has shape " + shape_of(unary) +
                                  ": batch, height and width must be equal");
    }
    field.kernels.push_back(kernel);
  }
  field.between = Interruption();
  T* top = out.data();
  std::int64_t* counts = iterations_run ? iterations_run->data() : nullptr;
  nb::gil_scoped_release release;
  return mean_field_forward(field, top, keep_state, threads, counts);
}

template <typename T>
void backward(const MeanFieldState<T>& state, Image<const T> top_diff, std::optional<Image<T>> unary,
              std::optional<Image<T>> q0, std::optional<Image<T>> weights,
              std::optional<Planes<T>> compatibility, int threads) {
  const FieldShape& shape = state.shape();
  const auto same = [](std::size_t a, std::int64_t b) { return static_cast<std::int64_t>(a) == b; };
  if (!same(top_diff.shape(0), shape.batch) || !same(top_diff.shape(1), shape.classes) ||
      !same(top_diff.shape(2), shape.height) || !same(top_diff.shape(3), shape.width)) {
    throw std::invalid_argument("top_diff has shape " + shape_of(top_diff) + ", but the forward pass had (" +
                                std::to_string(shape.batch) + ", " + std::to_string(shape.classes) + ", " +
                                std::to_string(shape.height) + ", " + std::to_string(shape.width) + ")");
  }
  const auto classes = static_cast<std::size_t>(shape.classes);
  const auto count = static_cast<std::size_t>(state.kernels());
  const auto sets = static_cast<std::size_t>(shape.parameter_sets);
  if (unary) require_same_shape("unary's gradient", *unary, "top_diff", top_diff);
  if (q0) require_same_shape("q0's gradient", *q0, "top_diff", top_diff);
  if (compatibility) {
    require_matrices("compatibility's gradient", *compatibility, {sets, classes, classes},
                     "sets x classes x classes");
  }
  if (weights) {
    require_matrices("weights' gradient", *weights, {count, sets, classes, classes},
                     "kernels x sets x classes x classes");
  }
  FieldGradient<T> gradient;
  if (unary) gradient.unary = unary->data();
  if (q0) gradient.q0 = q0->data();
  if (compatibility) gradient.compatibility = compatibility->data();
  gradient.weights.resize(count, nullptr);
  for (std::size_t k = 0; weights && k < count; ++k) {
    gradient.weights[k] = weights->data() + k * sets * classes * classes;
  }
  const T* diff = top_diff.data();
  nb::gil_scoped_release release;
  state.backward(diff, gradient, threads);
}

template <typename T>
void bind(nb::module_& m, const std::string& bits) {
  using State = MeanFieldState<T>;
  nb::class_<State>(m, ("MeanFieldState" + bits).c_str(),
                    "What the backward pass of one mean_field_forward call needs.",
                    nb::is_weak_referenceable())
      .def("backward", &backward<T>, "top_diff"_a.noconvert(), "unary"_a.noconvert().none(),
           "q0"_a.noconvert().none(), "weights"_a.noconvert().none(), "compatibility"_a.noconvert().none(),
           "threads"_a, "Overwrite the given arrays with the gradients; None skips one.")
      .def_prop_ro("nbytes", &State::bytes, "Heap memory held, in bytes.");
  nb::class_<KernelSource<T>>(m, ("KernelSource" + bits).c_str(), "What one kernel compares.")
      .def(nb::new_(&kernel_source<T>), "features"_a.noconvert().none(), "theta_x"_a, "theta_y"_a, "theta"_a,
           "normalization"_a);
  nb::class_<GaussianKernel<T>>(m, ("GaussianKernel" + bits).c_str(),
                                "A kernel made beforehand, for many calls on one image.")
      .def(nb::new_(&make_kernel<T>), "source"_a, "height"_a, "width"_a, "threads"_a)
      .def("filter", &kernel_filter<T>, "values"_a.noconvert(), "out"_a.noconvert(), "transpose"_a,
           "threads"_a, "The normalised filter of values (C, H, W), or its transpose, into out.")
      .def_prop_ro(
          "vertices", [](const GaussianKernel<T>& kernel) { return kernel.lattice().vertices(); },
          "Number of lattice vertices around the pixels.")
      .def_prop_ro("nbytes", &GaussianKernel<T>::bytes, "Heap memory held, in bytes.");
  m.def("permutohedral_filter", &filter<T>, "values"_a.noconvert(), "features"_a.noconvert(),
        "out"_a.noconvert(), "reverse"_a, "threads"_a,
        "Gaussian filter of values (N, C) at features (N, d) into out (N, C).");
  m.def("mean_field_forward", &forward<T>, "unary"_a.noconvert(), "q0"_a.noconvert(), "kernels"_a,
        "weights"_a.noconvert(), "compatibility"_a.noconvert(), "mask"_a.noconvert().none(),
        "out"_a.noconvert(), "iterations_run"_a.noconvert().none(), "iterations"_a, "activation"_a,
        "keep_state"_a, "threads"_a, "min_probability"_a, "tolerance"_a,
        "All mean-field iterations of a batch into out, and how many each image took into iterations_run; a "
        "state for backward if keep_state, else None.");
}

}  // namespace
}  // namespace crfrnn

NB_MODULE(_core, m) {
  // A result that is still referenced when Python exits keeps its state alive: nothing to frighten users
  // with.
  nb::set_leak_warnings(false);
  m.doc() = "The compiled core of crfasrnn: the permutohedral lattice and mean-field inference on the CPU.";
  crfrnn::bind<float>(m, "32");
  crfrnn::bind<double>(m, "64");
}
