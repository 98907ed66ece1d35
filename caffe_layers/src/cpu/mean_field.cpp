#include "crfrnn/mean_field.hpp"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "class_matrix.hpp"
#include "crfrnn/checks.hpp"
#include "crfrnn/parallel.hpp"
#include "lattice_pass.hpp"
#include "pixel_rows.hpp"
#include "pruned.hpp"
#include "rows.hpp"
#include "settling.hpp"

namespace crfrnn {
namespace {

template <typename T>
using KernelList = std::vector<std::shared_ptr<const GaussianKernel<T>>>;

// The matrices of one set of parameters. forward[k] = -(mu W_k)^T and backward[k] = -(mu W_k).
template <typename T>
struct Parameters {
  Parameters(const Field<T>& in, int set) {
    const std::int64_t size = in.classes * in.classes;
    compatibility = to_matrix(in.compatibility + set * size, in.classes);
    for (const T* w : in.weights) {
      weights.push_back(to_matrix(w + set * size, in.classes));
      const Matrix messages = message_matrix(in.compatibility + set * size, w + set * size, in.classes);
      forward.emplace_back(messages, in.classes);
      backward.emplace_back(transposed(messages, in.classes), in.classes);
    }
  }

  Matrix compatibility;
  std::vector<Matrix> weights;
  std::vector<ClassMatrix<T>> forward;
  std::vector<ClassMatrix<T>> backward;
};

// What all images of a call share: sizes, options and matrices.
template <typename T>
struct Model {
  explicit Model(const Field<T>& field) : shape(field), kernels(field.kernels.size()) {
    for (int set = 0; set < field.parameter_sets; ++set) sets.emplace_back(field, set);
  }

  // rows = Q of the scores in rows.
  void activate(T* rows, std::int64_t stride, std::int64_t count) const {
    if (shape.activation == Activation::kSoftmax) {
      row_ops<T>().softmax(rows, stride, count);
    } else {
      for (std::int64_t i = 0; i < count * stride; ++i)
        rows[i] = rows[i] < T(0) ? T(0) : rows[i];  // keeps NaN
    }
  }

  // rows = the gradient with respect to the scores, of that with respect to Q in rows.
  void activate_gradient(const T* q, T* rows, std::int64_t stride, std::int64_t count) const {
    if (shape.activation == Activation::kSoftmax) {
      row_ops<T>().softmax_gradient(q, rows, stride, count);
    } else {
      for (std::int64_t i = 0; i < count * stride; ++i) rows[i] = q[i] > T(0) ? rows[i] : T(0);
    }
  }

  FieldShape shape;
  std::size_t kernels;
  std::vector<Parameters<T>> sets;
};

// One image's part of the state; no kernels and no iterations where the mask leaves no pixel.
template <typename T>
struct ImageState {
  std::shared_ptr<const PixelOrder> order;
  KernelList<T> kernels;
  std::vector<Buffer<T>> q;  // per iteration: points x stride
  // Per iteration: of every kernel Q at the vertices, blurred.
  std::vector<typename LatticePass<T>::VertexRows> filtered;
};

// Per kernel and set: sum_t sum_points G_t F_k^T, from which the gradients of all matrices follow.
using Correlations = std::vector<std::vector<Matrix>>;

template <typename T>
class State final : public MeanFieldState<T> {
 public:
  explicit State(std::shared_ptr<const Model<T>> model) : model_(std::move(model)) {}

  void add(ImageState<T> image) { images_.push_back(std::move(image)); }

  void backward(const T* top_diff, const FieldGradient<T>& gradient, int threads) const override {
    const std::int64_t classes = model_->shape.classes;
    const std::int64_t size = classes * model_->shape.pixels();
    const auto wanted = [](const T* p) { return p != nullptr; };
    const bool weights =
        gradient.compatibility || std::any_of(gradient.weights.begin(), gradient.weights.end(), wanted);
    Correlations correlation(model_->sets.size(),
                             std::vector<Matrix>(model_->kernels, Matrix(classes * classes, 0.0)));
    for (std::size_t n = 0; n < images_.size(); ++n) {
      image_backward(images_[n], top_diff + n * size, gradient.unary ? gradient.unary + n * size : nullptr,
                     gradient.q0 ? gradient.q0 + n * size : nullptr, weights ? &correlation : nullptr,
                     threads);
    }
    for (std::size_t set = 0; set < model_->sets.size(); ++set) {
      set_gradients(model_->sets[set], correlation[set], set * classes * classes, gradient);
    }
  }

  std::size_t bytes() const override {
    std::size_t sum = 0;
    std::set<const void*> counted;  // images may share a kernel
    for (const ImageState<T>& image : images_) {
      for (const Buffer<T>& q : image.q) sum += q.bytes();
      for (const auto& rows : image.filtered) {
        for (const Buffer<T>& of_kernel : rows) sum += of_kernel.bytes();
      }
      for (const auto& kernel : image.kernels) {
        if (counted.insert(kernel.get()).second) sum += kernel->bytes();
      }
    }
    return sum;
  }

  const FieldShape& shape() const override { return model_->shape; }
  std::int64_t kernels() const override { return static_cast<std::int64_t>(model_->kernels); }

 private:
  // The matrices' gradients of one set, written `offset` elements into where the gradients go.
  void set_gradients(const Parameters<T>& parameters, const std::vector<Matrix>& correlation,
                     std::size_t offset, const FieldGradient<T>& gradient) const {
    const std::int64_t classes = model_->shape.classes;
    const auto write = [&](const Matrix& d, T* to) {
      std::transform(d.begin(), d.end(), to + offset, [](double x) { return static_cast<T>(x); });
    };
    const Matrix mu_transposed = transposed(parameters.compatibility, classes);
    Matrix d_mu(classes * classes, 0.0);
    for (std::size_t k = 0; k < correlation.size(); ++k) {
      if (gradient.weights[k])
        write(product(mu_transposed, correlation[k], classes, -1.0), gradient.weights[k]);
      const Matrix d = product(correlation[k], transposed(parameters.weights[k], classes), classes, -1.0);
      for (std::size_t i = 0; i < d.size(); ++i) d_mu[i] += d[i];
    }
    if (gradient.compatibility) write(d_mu, gradient.compatibility);
  }

  void image_backward(const ImageState<T>& image, const T* top_diff, T* d_unary, T* d_q0,
                      Correlations* correlation, int threads) const {
    const std::int64_t classes = model_->shape.classes;
    const PixelOrder& order = *image.order;
    const std::int64_t stride = row_stride(classes);
    if (d_unary) order.clear_others(classes, d_unary);
    if (d_q0) order.clear_others(classes, d_q0);
    if (image.q.empty()) return;
    Buffer<T> total(d_unary ? order.points() * stride : 0);  // d_unary, as rows
    // The transposed filter splats with the factor after slicing and slices with the one before splatting.
    std::vector<LatticeTerm<T>> terms;
    for (const auto& kernel : image.kernels) {
      terms.push_back({&kernel->lattice(), kernel->after(), kernel->before(), T(1)});
    }
    LatticePass<T> pass(terms, classes, threads);
    // Rows are the gradient with respect to the scores of iteration t, from the last to the first.
    pass.splat([&](std::int64_t first, std::int64_t count, T* rows) {
      order.to_rows(top_diff, classes, T(0), first, count, rows);
      if (d_unary) std::copy_n(rows, count * stride, total.data() + first * stride);
    });
    for (std::size_t t = image.q.size(); t-- > 0;) {
      const std::size_t set = model_->shape.set_of(static_cast<int>(t));
      if (correlation) {
        pass.add_outer_products(image.filtered[t], &(*correlation)[set]);
      }
      if (t == 0 && !d_q0) break;
      pass.blur(true);
      pass.mix(model_->sets[set].backward);
      const T* q = image.q[t].data();
      if (t == 0) {
        pass.slice(nullptr, [&](std::int64_t first, std::int64_t count, T* rows) {
          model_->activate_gradient(q + first * stride, rows, stride, count);
          order.to_planes(rows, classes, first, count, d_q0);
        });
      } else {
        pass.step(nullptr, [&](std::int64_t first, std::int64_t count, T* rows) {
          model_->activate_gradient(q + first * stride, rows, stride, count);
          if (d_unary) row_ops<T>().add(rows, total.data() + first * stride, stride, count);
        });
      }
    }
    if (!d_unary) return;
    parallel_ranges(threads, order.points(), kVertexGrain, [&](std::int64_t begin, std::int64_t end) {
      order.to_planes(total.data() + begin * stride, classes, begin, end - begin, d_unary);
    });
  }

  std::shared_ptr<const Model<T>> model_;
  std::vector<ImageState<T>> images_;
};

template <typename T>
std::vector<LatticeTerm<T>> terms_of(const KernelList<T>& kernels) {
  std::vector<LatticeTerm<T>> terms;
  for (const auto& kernel : kernels) {
    terms.push_back({&kernel->lattice(), kernel->before(), kernel->after(), T(1)});
  }
  return terms;
}

// Fills top, and the state's rows if `keep`. The state's order and kernels must be there. Returns how many
// iterations were run.
template <typename T>
int image_forward(const Model<T>& model, const ImageArrays<T>& arrays, const std::function<void()>& between,
                  double tolerance, bool keep, ImageState<T>* state, int threads) {
  const PixelOrder& order = *state->order;
  int iterations = model.shape.iterations;
  const std::int64_t classes = model.shape.classes;
  const std::int64_t stride = row_stride(classes);
  constexpr T kNever = -std::numeric_limits<T>::infinity();
  Buffer<T> unary_rows(order.points() * stride);
  Settling<T> settling(tolerance, order.points() * stride);
  LatticePass<T> pass(terms_of(state->kernels), classes, threads);
  // Scores to Q, which the state keeps.
  T* q = nullptr;
  const auto activate = [&](std::int64_t first, std::int64_t count, T* rows) {
    model.activate(rows, stride, count);
    if (q) std::copy_n(rows, count * stride, q + first * stride);
  };
  const auto next_q = [&] {
    if (!keep) return;
    state->q.emplace_back(order.points() * stride);
    q = state->q.back().data();
  };
  next_q();
  pass.splat([&](std::int64_t first, std::int64_t count, T* rows) {
    T* start = unary_rows.data() + first * stride;
    order.to_rows(arrays.unary, classes, kNever, first, count, start);
    if (arrays.q0 == arrays.unary) {
      std::copy_n(start, count * stride, rows);
    } else {
      order.to_rows(arrays.q0, classes, kNever, first, count, rows);
    }
    activate(first, count, rows);
    settling.begin(first * stride, rows, count * stride);
  });
  order.clear_others(classes, arrays.top);
  for (int t = 0; t < iterations; ++t) {
    if (between) between();
    pass.blur(false);
    const std::vector<ClassMatrix<T>>& matrices = model.sets[model.shape.set_of(t)].forward;
    if (keep) {
      state->filtered.emplace_back();
      pass.mix(matrices, &state->filtered.back());
    } else {
      pass.mix(matrices);
    }
    if (t + 1 < iterations) {
      next_q();
      pass.step(unary_rows.data(), [&](std::int64_t first, std::int64_t count, T* rows) {
        activate(first, count, rows);
        settling.next(first * stride, rows, count * stride);
      });
      if (settling.settled()) iterations = t + 2;
    } else {
      pass.slice(unary_rows.data(), [&](std::int64_t first, std::int64_t count, T* rows) {
        order.to_planes(rows, classes, first, count, arrays.top);
      });
    }
  }
  return iterations;
}

template <typename T>
void check_field(const Field<T>& field) {
  require(field.batch >= 0 && field.classes >= 1 && field.height >= 1 && field.width >= 1,
          "mean field needs at least one class and one pixel");
  require(!field.kernels.empty() && field.kernels.size() == field.weights.size(),
          "mean field needs at least one kernel, and a matrix of weights for each");
  check_iterations(field.iterations, field.parameter_sets);
}

// The kernels of image n over `order`. shared: of every kernel the last one made, if other images may have
// it.
template <typename T>
KernelList<T> kernels_of_image(const Field<T>& field, const std::shared_ptr<const PixelOrder>& order,
                               std::int64_t n, KernelList<T>* shared, int threads) {
  KernelList<T> kernels;
  for (std::size_t k = 0; k < field.kernels.size(); ++k) {
    const FieldKernel<T>& kernel = field.kernels[k];
    auto& held = (*shared)[k];
    const bool fits = held && held->order() == order;
    kernels.push_back(fits ? held : kernel_of_image(kernel, order, n, threads));
    if (kernel.shared || kernel.features.channels == 0) held = kernels.back();
  }
  return kernels;
}

}  // namespace

template <typename T>
std::unique_ptr<MeanFieldState<T>> mean_field_forward(const Field<T>& field, T* top, bool keep_state,
                                                      int threads, std::int64_t* iterations_run) {
  check_field(field);
  const auto model = std::make_shared<const Model<T>>(field);
  auto state = keep_state ? std::make_unique<State<T>>(model) : nullptr;
  const std::int64_t plane = field.pixels();
  const std::int64_t size = field.classes * plane;
  std::shared_ptr<const PixelOrder> order;
  KernelList<T> shared(field.kernels.size());
  for (std::int64_t n = 0; n < field.batch; ++n) {
    if (!order || field.mask) {
      order = pixel_order(field.height, field.width, field.mask ? field.mask + n * plane : nullptr);
    }
    ImageState<T> image;
    image.order = order;
    int run = 0;
    if (order->points() > 0) {
      image.kernels = kernels_of_image(field, order, n, &shared, threads);
      const ImageArrays<T> arrays{field.unary + n * size, field.q0 + n * size, top + n * size};
      if (field.min_probability > 0 && !keep_state) {
        run = pruned_forward(field, *order, terms_of(image.kernels), arrays, threads);
      }
      if (run == 0) {
        const double tolerance = keep_state ? 0 : field.tolerance;
        run = image_forward(*model, arrays, field.between, tolerance, keep_state, &image, threads);
      }
    } else {
      std::fill_n(top + n * size, size, T(0));
    }
    if (iterations_run) iterations_run[n] = run;
    if (state) state->add(std::move(image));
  }
  return state;
}

template std::unique_ptr<MeanFieldState<float>> mean_field_forward(const Field<float>&, float*, bool, int,
                                                                   std::int64_t*);
template std::unique_ptr<MeanFieldState<double>> mean_field_forward(const Field<double>&, double*, bool, int,
                                                                    std::int64_t*);

}  // namespace crfrnn
