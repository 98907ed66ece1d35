#include "crfrnn/mean_field.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "class_matrix.hpp"
#include "crfrnn/parallel.hpp"
#include "kernels.hpp"
#include "lattice_pass.hpp"
#include "pixel_rows.hpp"

namespace crfrnn {
namespace {

template <typename T>
using KernelList = std::vector<std::shared_ptr<const GaussianKernel<T>>>;

// The matrices of one set of parameters. forward[k] = -(mu W_k)^T and backward[k] = -(mu W_k).
template <typename T>
struct Parameters {
  Parameters(const KernelFieldInput<T>& in, int set) {
    const std::int64_t size = in.classes * in.classes;
    compatibility = to_matrix(in.compatibility + set * size, in.classes);
    for (const T* w : in.weights) {
      weights.push_back(to_matrix(w + set * size, in.classes));
      const Matrix both = product(compatibility, weights.back(), in.classes, -1.0);
      forward.emplace_back(transposed(both, in.classes), in.classes);
      backward.emplace_back(both, in.classes);
    }
  }

  Matrix compatibility;
  std::vector<Matrix> weights;
  std::vector<ClassMatrix<T>> forward;
  std::vector<ClassMatrix<T>> backward;
};

// What all images of a call share.
template <typename T>
struct Field {
  explicit Field(const KernelFieldInput<T>& in)
      : classes(in.classes),
        height(in.height),
        width(in.width),
        kernels(in.weights.size()),
        activation(in.activation) {
    for (int set = 0; set < in.parameter_sets; ++set) sets.emplace_back(in, set);
  }

  // Iterations count from 0.
  std::size_t set_of(std::size_t iteration) const { return sets.size() == 1 ? 0 : iteration; }

  // rows = Q of the scores in rows.
  void activate(T* rows, std::int64_t stride, std::int64_t count) const {
    if (activation == Activation::kSoftmax) {
      crfrnn::kernels<T>().softmax(rows, stride, count);
    } else {
      for (std::int64_t i = 0; i < count * stride; ++i)
        rows[i] = rows[i] < T(0) ? T(0) : rows[i];  // keeps NaN
    }
  }

  // rows = the gradient with respect to the scores, of that with respect to Q in rows.
  void activate_gradient(const T* q, T* rows, std::int64_t stride, std::int64_t count) const {
    if (activation == Activation::kSoftmax) {
      crfrnn::kernels<T>().softmax_gradient(q, rows, stride, count);
    } else {
      for (std::int64_t i = 0; i < count * stride; ++i) rows[i] = q[i] > T(0) ? rows[i] : T(0);
    }
  }

  std::int64_t classes;
  std::int64_t height;
  std::int64_t width;
  std::size_t kernels;
  Activation activation;
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
  explicit State(std::shared_ptr<const Field<T>> field) : field_(std::move(field)) {}

  void add(ImageState<T> image) { images_.push_back(std::move(image)); }

  using MeanFieldState<T>::backward;
  void backward(const T* top_diff, const KernelFieldGradient<T>& gradient, int threads) const override {
    const std::int64_t classes = field_->classes;
    const std::int64_t size = classes * field_->height * field_->width;
    const auto wanted = [](const T* p) { return p != nullptr; };
    const bool weights =
        gradient.compatibility || std::any_of(gradient.weights.begin(), gradient.weights.end(), wanted);
    Correlations correlation(field_->sets.size(),
                             std::vector<Matrix>(field_->kernels, Matrix(classes * classes, 0.0)));
    for (std::size_t n = 0; n < images_.size(); ++n) {
      image_backward(images_[n], top_diff + n * size, gradient.unary ? gradient.unary + n * size : nullptr,
                     gradient.q0 ? gradient.q0 + n * size : nullptr, weights ? &correlation : nullptr,
                     threads);
    }
    for (std::size_t set = 0; set < field_->sets.size(); ++set) {
      set_gradients(field_->sets[set], correlation[set], set * classes * classes, gradient);
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

  std::int64_t kernels() const override { return static_cast<std::int64_t>(field_->kernels); }
  std::int64_t parameter_sets() const override { return static_cast<std::int64_t>(field_->sets.size()); }
  std::int64_t batch() const override { return static_cast<std::int64_t>(images_.size()); }
  std::int64_t classes() const override { return field_->classes; }
  std::int64_t height() const override { return field_->height; }
  std::int64_t width() const override { return field_->width; }

 private:
  // The matrices' gradients of one set, written `offset` elements into where the gradients go.
  void set_gradients(const Parameters<T>& parameters, const std::vector<Matrix>& correlation,
                     std::size_t offset, const KernelFieldGradient<T>& gradient) const {
    const std::int64_t classes = field_->classes;
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
    const std::int64_t classes = field_->classes;
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
      const std::size_t set = field_->set_of(t);
      if (correlation) {
        pass.add_outer_products(image.filtered[t], &(*correlation)[set]);
      }
      if (t == 0 && !d_q0) break;
      pass.blur(true);
      pass.mix(field_->sets[set].backward);
      const T* q = image.q[t].data();
      if (t == 0) {
        pass.slice(nullptr, [&](std::int64_t first, std::int64_t count, T* rows) {
          field_->activate_gradient(q + first * stride, rows, stride, count);
          order.to_planes(rows, classes, first, count, d_q0);
        });
      } else {
        pass.step(nullptr, [&](std::int64_t first, std::int64_t count, T* rows) {
          field_->activate_gradient(q + first * stride, rows, stride, count);
          if (d_unary) crfrnn::kernels<T>().add(rows, total.data() + first * stride, stride, count);
        });
      }
    }
    if (!d_unary) return;
    parallel_ranges(threads, order.points(), kVertexGrain, [&](std::int64_t begin, std::int64_t end) {
      order.to_planes(total.data() + begin * stride, classes, begin, end - begin, d_unary);
    });
  }

  std::shared_ptr<const Field<T>> field_;
  std::vector<ImageState<T>> images_;
};

// Fills top, and the state's rows if it is given.
template <typename T>
void image_forward(const Field<T>& field, const KernelList<T>& kernels, const PixelOrder& order,
                   const T* unary, const T* q0, int iterations, T* top, ImageState<T>* state, int threads) {
  const std::int64_t classes = field.classes;
  const std::int64_t stride = row_stride(classes);
  constexpr T kNever = -std::numeric_limits<T>::infinity();
  Buffer<T> unary_rows(order.points() * stride);
  std::vector<LatticeTerm<T>> terms;
  for (const auto& kernel : kernels) {
    terms.push_back({&kernel->lattice(), kernel->before(), kernel->after(), T(1)});
  }
  LatticePass<T> pass(terms, classes, threads);
  // Scores to Q, which the state keeps.
  T* q = nullptr;
  const auto activate = [&](std::int64_t first, std::int64_t count, T* rows) {
    field.activate(rows, stride, count);
    if (q) std::copy_n(rows, count * stride, q + first * stride);
  };
  const auto next_q = [&] {
    if (!state) return;
    state->q.emplace_back(order.points() * stride);
    q = state->q.back().data();
  };
  next_q();
  pass.splat([&](std::int64_t first, std::int64_t count, T* rows) {
    T* start = unary_rows.data() + first * stride;
    order.to_rows(unary, classes, kNever, first, count, start);
    if (q0 == unary) {
      std::copy_n(start, count * stride, rows);
    } else {
      order.to_rows(q0, classes, kNever, first, count, rows);
    }
    activate(first, count, rows);
  });
  order.clear_others(classes, top);
  for (int t = 0; t < iterations; ++t) {
    pass.blur(false);
    const std::vector<ClassMatrix<T>>& matrices = field.sets[field.set_of(t)].forward;
    if (state) {
      state->filtered.emplace_back();
      pass.mix(matrices, &state->filtered.back());
    } else {
      pass.mix(matrices);
    }
    if (t + 1 < iterations) {
      next_q();
      pass.step(unary_rows.data(), activate);
    } else {
      pass.slice(unary_rows.data(), [&](std::int64_t first, std::int64_t count, T* rows) {
        order.to_planes(rows, classes, first, count, top);
      });
    }
  }
}

void check_theta(const char* name, double theta) {
  if (!(std::isfinite(theta) && theta > 0)) {
    throw std::invalid_argument(std::string(name) + " must be finite and greater than 0, got " +
                                std::to_string(theta));
  }
}

}  // namespace

template <typename T>
std::unique_ptr<MeanFieldState<T>> mean_field_forward(const KernelFieldInput<T>& input, int iterations,
                                                      T* top, bool keep_state, int threads) {
  if (input.batch < 0 || input.classes < 1 || input.height < 1 || input.width < 1) {
    throw std::invalid_argument("mean field needs at least one class and one pixel");
  }
  if (input.kernels.empty() || input.kernels.size() != input.weights.size()) {
    throw std::invalid_argument("mean field needs at least one kernel, and a matrix of weights for each");
  }
  if (iterations < 1) {
    throw std::invalid_argument("the number of iterations must be at least 1, got " +
                                std::to_string(iterations));
  }
  if (input.parameter_sets != 1 && input.parameter_sets != iterations) {
    throw std::invalid_argument("there are " + std::to_string(input.parameter_sets) +
                                " sets of parameters, but " + std::to_string(iterations) +
                                " iterations: give one set for all, or one for each");
  }
  const auto field = std::make_shared<const Field<T>>(input);
  auto state = keep_state ? std::make_unique<State<T>>(field) : nullptr;
  const std::int64_t plane = input.height * input.width;
  const std::int64_t size = input.classes * plane;
  std::shared_ptr<const PixelOrder> order;
  for (std::int64_t n = 0; n < input.batch; ++n) {
    if (!order || input.mask) {
      order = pixel_order(input.height, input.width, input.mask ? input.mask + n * plane : nullptr);
    }
    ImageState<T> image;
    image.order = order;
    if (order->points() > 0) {
      for (const KernelMaker<T>& make : input.kernels) image.kernels.push_back(make(order, n));
      image_forward(*field, image.kernels, *order, input.unary + n * size, input.q0 + n * size, iterations,
                    top + n * size, keep_state ? &image : nullptr, threads);
    } else {
      std::fill_n(top + n * size, size, T(0));
    }
    if (state) state->add(std::move(image));
  }
  return state;
}

template <typename T>
std::unique_ptr<MeanFieldState<T>> mean_field_forward(const MeanFieldInput<T>& input, const Thetas& thetas,
                                                      int iterations, T* top, bool keep_state, int threads) {
  if (input.image_channels < 1 || input.image_channels > kMaxDimension - 2) {
    throw std::invalid_argument("the image has " + std::to_string(input.image_channels) + " channels, 1 to " +
                                std::to_string(kMaxDimension - 2) + " are supported");
  }
  check_theta("theta_alpha", thetas.alpha);
  check_theta("theta_beta", thetas.beta);
  check_theta("theta_gamma", thetas.gamma);
  using Order = std::shared_ptr<const PixelOrder>;
  const KernelMaker<T> spatial = [&](const Order& order, std::int64_t) {
    return position_kernel<T>(order, thetas.gamma, thetas.gamma, Normalization::kAfter, threads);
  };
  const KernelMaker<T> bilateral = [&](const Order& order, std::int64_t n) {
    const T* image = input.image + n * input.image_channels * order->pixels();
    const KernelFeatures<T> features{thetas.alpha, thetas.alpha, image, input.image_channels, thetas.beta};
    return std::make_shared<const GaussianKernel<T>>(order, features, Normalization::kAfter, threads);
  };
  return mean_field_forward<T>(KernelFieldInput<T>{input.batch,
                                                   input.classes,
                                                   input.height,
                                                   input.width,
                                                   input.unary,
                                                   input.q0,
                                                   nullptr,
                                                   {spatial, bilateral},
                                                   {input.spatial, input.bilateral},
                                                   input.compatibility,
                                                   1,
                                                   Activation::kSoftmax},
                               iterations, top, keep_state, threads);
}

template std::unique_ptr<MeanFieldState<float>> mean_field_forward(const KernelFieldInput<float>&, int,
                                                                   float*, bool, int);
template std::unique_ptr<MeanFieldState<double>> mean_field_forward(const KernelFieldInput<double>&, int,
                                                                    double*, bool, int);
template std::unique_ptr<MeanFieldState<float>> mean_field_forward(const MeanFieldInput<float>&,
                                                                   const Thetas&, int, float*, bool, int);
template std::unique_ptr<MeanFieldState<double>> mean_field_forward(const MeanFieldInput<double>&,
                                                                    const Thetas&, int, double*, bool, int);

}  // namespace crfrnn
