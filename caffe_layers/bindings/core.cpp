// The Python module crfasrnn._core: checks shapes, drops the GIL, calls the core. Arrays are never copied.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

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
void require_square(const char* name, const A& array, std::size_t classes) {
  if (array.shape(0) != classes || array.shape(1) != classes) {
    throw std::invalid_argument(std::string(name) + " has shape " + shape_of(array) + ", but unary has " +
                                std::to_string(classes) + " classes: it must be (" + std::to_string(classes) +
                                ", " + std::to_string(classes) + ")");
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

template <typename T>
std::unique_ptr<MeanFieldState<T>> forward(Image<const T> unary, Image<const T> q0, Image<const T> image,
                                           Table<const T> spatial, Table<const T> bilateral,
                                           Table<const T> compatibility, Image<T> out, int iterations,
                                           double theta_alpha, double theta_beta, double theta_gamma,
                                           bool keep_state, int threads) {
  require_same_shape("q0", q0, "unary", unary);
  require_same_shape("out", out, "unary", unary);
  if (image.shape(0) != unary.shape(0) || image.shape(2) != unary.shape(2) ||
      image.shape(3) != unary.shape(3)) {
    throw std::invalid_argument("image has shape " + shape_of(image) + ", but unary has shape " +
                                shape_of(unary) + ": batch, height and width must be equal");
  }
  require_square("spatial_weights", spatial, unary.shape(1));
  require_square("bilateral_weights", bilateral, unary.shape(1));
  require_square("compatibility", compatibility, unary.shape(1));
  const auto size = [&](int axis) { return static_cast<std::int64_t>(unary.shape(axis)); };
  const MeanFieldInput<T> input{size(0),
                                size(1),
                                size(2),
                                size(3),
                                static_cast<std::int64_t>(image.shape(1)),
                                unary.data(),
                                q0.data(),
                                image.data(),
                                spatial.data(),
                                bilateral.data(),
                                compatibility.data()};
  T* top = out.data();
  nb::gil_scoped_release release;
  return mean_field_forward<T>(input, {theta_alpha, theta_beta, theta_gamma}, iterations, top, keep_state,
                               threads);
}

template <typename T>
void backward(const MeanFieldState<T>& state, Image<const T> top_diff, std::optional<Image<T>> unary,
              std::optional<Image<T>> q0, std::optional<Table<T>> spatial, std::optional<Table<T>> bilateral,
              std::optional<Table<T>> compatibility, int threads) {
  const auto same = [](std::size_t a, std::int64_t b) { return static_cast<std::int64_t>(a) == b; };
  if (!same(top_diff.shape(0), state.batch()) || !same(top_diff.shape(1), state.classes()) ||
      !same(top_diff.shape(2), state.height()) || !same(top_diff.shape(3), state.width())) {
    throw std::invalid_argument("top_diff has shape " + shape_of(top_diff) + ", but the forward pass had (" +
                                std::to_string(state.batch()) + ", " + std::to_string(state.classes()) +
                                ", " + std::to_string(state.height()) + ", " + std::to_string(state.width()) +
                                ")");
  }
  const auto classes = static_cast<std::size_t>(state.classes());
  if (unary) require_same_shape("unary's gradient", *unary, "top_diff", top_diff);
  if (q0) require_same_shape("q0's gradient", *q0, "top_diff", top_diff);
  if (spatial) require_square("spatial_weights' gradient", *spatial, classes);
  if (bilateral) require_square("bilateral_weights' gradient", *bilateral, classes);
  if (compatibility) require_square("compatibility's gradient", *compatibility, classes);
  const MeanFieldGradient<T> gradient{
      unary ? unary->data() : nullptr, q0 ? q0->data() : nullptr, spatial ? spatial->data() : nullptr,
      bilateral ? bilateral->data() : nullptr, compatibility ? compatibility->data() : nullptr};
  const T* diff = top_diff.data();
  nb::gil_scoped_release release;
  state.backward(diff, gradient, threads);
}

template <typename T>
void bind(nb::module_& m, const char* state_name) {
  using State = MeanFieldState<T>;
  nb::class_<State>(m, state_name, "What the backward pass of one mean_field_forward call needs.")
      .def("backward", &backward<T>, "top_diff"_a.noconvert(), "unary"_a.noconvert().none(),
           "q0"_a.noconvert().none(), "spatial_weights"_a.noconvert().none(),
           "bilateral_weights"_a.noconvert().none(), "compatibility"_a.noconvert().none(), "threads"_a,
           "Overwrite the given arrays with the gradients; None skips one.")
      .def_prop_ro("nbytes", &State::bytes, "Heap memory held, in bytes.");
  m.def("permutohedral_filter", &filter<T>, "values"_a.noconvert(), "features"_a.noconvert(),
        "out"_a.noconvert(), "reverse"_a, "threads"_a,
        "Gaussian filter of values (N, C) at features (N, d) into out (N, C).");
  m.def("mean_field_forward", &forward<T>, "unary"_a.noconvert(), "q0"_a.noconvert(), "image"_a.noconvert(),
        "spatial_weights"_a.noconvert(), "bilateral_weights"_a.noconvert(), "compatibility"_a.noconvert(),
        "out"_a.noconvert(), "iterations"_a, "theta_alpha"_a, "theta_beta"_a, "theta_gamma"_a, "keep_state"_a,
        "threads"_a,
        "All mean-field iterations of a batch into out; a state for backward if keep_state, else None.");
}

}  // namespace
}  // namespace crfrnn

NB_MODULE(_core, m) {
  // A result that is still referenced when Python exits keeps its state alive: nothing to frighten users
  // with.
  nb::set_leak_warnings(false);
  m.doc() = "The compiled core of crfasrnn: the permutohedral lattice and mean-field inference on the CPU.";
  crfrnn::bind<float>(m, "MeanFieldState32");
  crfrnn::bind<double>(m, "MeanFieldState64");
}
