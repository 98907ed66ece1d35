#include "crfrnn/mean_field.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "crfrnn/parallel.hpp"
#include "kernels.hpp"
#include "lattice_steps.hpp"
#include "mixing.hpp"
#include "pixel_rows.hpp"

namespace crfrnn {
namespace {

template <typename T>
using KernelList = std::vector<std::shared_ptr<const GaussianKernel<T>>>;

// The arrays one image's passes work in.
template <typename T>
struct Workspace {
  Workspace(const KernelList<T>& kernels, std::int64_t stride) {
    for (const auto& kernel : kernels) rows.emplace_back(kernel->lattice().vertices() * stride);
  }
  std::vector<Buffer<T>> rows;  // per kernel: vertices x stride
};

template <typename T>
void splat_all(const KernelList<T>& kernels, const T* in, bool transposed, std::int64_t stride,
               std::vector<Buffer<T>>* rows, int threads) {
  std::vector<SplatJob<T>> jobs;
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    jobs.push_back({&kernels[k]->lattice(), in, transposed ? kernels[k]->after() : kernels[k]->before(),
                    (*rows)[k].data()});
  }
  splat(jobs, stride, threads);
}

template <typename T>
void blur_all(const KernelList<T>& kernels, bool reverse, std::int64_t stride, std::vector<Buffer<T>>* rows,
              int threads) {
  std::vector<BlurJob<T>> jobs;
  for (std::size_t k = 0; k < kernels.size(); ++k)
    jobs.push_back({&kernels[k]->lattice(), (*rows)[k].data()});
  blur(jobs, stride, reverse, threads);
}

template <typename T>
void mix_vertices(const KernelList<T>& kernels, const std::vector<Buffer<T>>& mix, std::int64_t classes,
                  std::vector<Buffer<T>>* rows, int threads) {
  const std::int64_t stride = row_stride(classes);
  struct Job {
    const PermutohedralLattice<T>* lattice;
    T* rows;
    const T* mix;
  };
  std::vector<Job> jobs;
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    if (!kernels[k]->mixes_at_vertices()) continue;
    jobs.push_back({&kernels[k]->lattice(), (*rows)[k].data(), mix[k].data()});
  }
  parallel_vertices(threads, jobs, [&](const Job& job, std::int64_t begin, std::int64_t end) {
    Buffer<T> scratch(4 * stride);
    crfrnn::kernels<T>().mix(job.rows, job.mix, classes, stride, scratch.data(), begin, end);
  });
}

template <typename T>
void update_points(const KernelList<T>& kernels, const std::vector<Buffer<T>>& mix,
                   const std::vector<Buffer<T>>& rows, const std::vector<const T*>& scale, UpdateArgs<T> args,
                   int threads) {
  std::vector<SliceTerm<T>> terms;
  std::int64_t points = 0;
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    const PermutohedralLattice<T>& l = kernels[k]->lattice();
    points = l.points();
    terms.push_back({l.corner(), l.barycentric(), scale[k], l.corners(), rows[k].data(),
                     kernels[k]->mixes_at_vertices() ? nullptr : mix[k].data()});
  }
  args.terms = terms.data();
  args.term_count = static_cast<int>(terms.size());
  parallel_ranges(threads, points, kPointGrain, [&](std::int64_t begin, std::int64_t end) {
    Buffer<T> scratch(2 * kUpdateRows * args.stride);
    UpdateArgs<T> mine = args;
    mine.scratch = scratch.data();
    crfrnn::kernels<T>().update(mine, begin, end);
  });
}

// sums[k] += the C x C matrix sum_v y[k][v] x[k][v]^T. The order of summation is fixed: chunks, then their
// sums.
template <typename T>
void add_outer_products(const KernelList<T>& kernels, const std::vector<Buffer<T>>& y,
                        const std::vector<Buffer<T>>& x, std::int64_t classes, std::vector<Matrix>* sums,
                        int threads) {
  constexpr std::int64_t kChunk = 4 * kVertexGrain;
  const std::int64_t stride = row_stride(classes);
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    const std::int64_t vertices = kernels[k]->lattice().vertices();
    const std::int64_t chunks = (vertices + kChunk - 1) / kChunk;
    Buffer<T> parts(chunks * classes * stride);
    parallel_ranges(threads, vertices, kChunk, [&](std::int64_t begin, std::int64_t end) {
      T* part = parts.data() + begin / kChunk * classes * stride;
      std::fill_n(part, classes * stride, T(0));
      crfrnn::kernels<T>().outer(y[k].data(), x[k].data(), part, classes, stride, begin, end);
    });
    for (std::int64_t i = 0; i < chunks; ++i) {
      for (std::int64_t r = 0; r < classes; ++r) {
        for (std::int64_t c = 0; c < classes; ++c) {
          (*sums)[k][r * classes + c] += parts[(i * classes + r) * stride + c];
        }
      }
    }
  }
}

// One image's part of the state; no kernels and no q where the mask leaves no pixel.
template <typename T>
struct ImageState {
  std::shared_ptr<const PixelOrder> order;
  KernelList<T> kernels;
  std::vector<Buffer<T>> q;  // per iteration: points x stride
};

template <typename T>
class State final : public MeanFieldState<T> {
 public:
  State(const KernelFieldInput<T>& in, std::shared_ptr<const Mixing<T>> mixing)
      : height_(in.height), width_(in.width), mixing_(std::move(mixing)) {}

  void add(ImageState<T> image) { images_.push_back(std::move(image)); }

  using MeanFieldState<T>::backward;
  void backward(const T* top_diff, const KernelFieldGradient<T>& gradient, int threads) const override {
    const std::int64_t classes = mixing_->classes;
    const std::int64_t size = classes * height_ * width_;
    const auto wanted = [](const T* p) { return p != nullptr; };
    const bool weights =
        gradient.compatibility || std::any_of(gradient.weights.begin(), gradient.weights.end(), wanted);
    // sum_t sum_points G_t F_k^T, from which the gradients of all matrices follow.
    std::vector<Matrix> correlation(mixing_->weight.size(), Matrix(classes * classes, 0.0));
    for (std::size_t n = 0; n < images_.size(); ++n) {
      image_backward(images_[n], top_diff + n * size, gradient.unary ? gradient.unary + n * size : nullptr,
                     gradient.q0 ? gradient.q0 + n * size : nullptr, weights ? &correlation : nullptr,
                     threads);
    }
    const Matrix mu_transposed = transposed(mixing_->compatibility, classes);
    Matrix d_mu(classes * classes, 0.0);
    for (std::size_t k = 0; k < correlation.size(); ++k) {
      if (gradient.weights[k]) {
        const Matrix d = product(mu_transposed, correlation[k], classes, -1.0);
        std::transform(d.begin(), d.end(), gradient.weights[k], [](double x) { return static_cast<T>(x); });
      }
      const Matrix d = product(correlation[k], transposed(mixing_->weight[k], classes), classes, -1.0);
      for (std::size_t i = 0; i < d.size(); ++i) d_mu[i] += d[i];
    }
    if (gradient.compatibility) {
      std::transform(d_mu.begin(), d_mu.end(), gradient.compatibility,
                     [](double x) { return static_cast<T>(x); });
    }
  }

  std::size_t bytes() const override {
    std::size_t sum = 0;
    std::set<const GaussianKernel<T>*> counted;  // images may share a kernel
    for (const ImageState<T>& image : images_) {
      for (const Buffer<T>& q : image.q) sum += q.bytes();
      for (const auto& kernel : image.kernels) {
        if (counted.insert(kernel.get()).second) sum += kernel->bytes();
      }
    }
    return sum;
  }

  std::int64_t kernels() const override { return static_cast<std::int64_t>(mixing_->weight.size()); }
  std::int64_t batch() const override { return static_cast<std::int64_t>(images_.size()); }
  std::int64_t classes() const override { return mixing_->classes; }
  std::int64_t height() const override { return height_; }
  std::int64_t width() const override { return width_; }

 private:
  void image_backward(const ImageState<T>& image, const T* top_diff, T* d_unary, T* d_q0,
                      std::vector<Matrix>* correlation, int threads) const {
    const std::int64_t classes = mixing_->classes;
    const PixelOrder& order = *image.order;
    const std::int64_t points = order.points();
    const std::int64_t stride = row_stride(classes);
    Buffer<T> g(points * stride);  // with respect to the scores of iteration t
    order.to_rows(top_diff, classes, T(0), g.data(), threads);
    Buffer<T> total(d_unary ? points * stride : 0);
    if (d_unary) std::copy_n(g.data(), g.size(), total.data());
    Workspace<T> work(image.kernels, stride);
    Workspace<T> filtered(correlation ? image.kernels : KernelList<T>(), stride);
    // The transposed filter splats with the factor after slicing and slices with the one before splatting.
    Buffer<T> ones(points);
    std::fill_n(ones.data(), points, T(1));
    std::vector<const T*> scale;
    for (const auto& kernel : image.kernels) {
      scale.push_back(kernel->before() ? kernel->before() : ones.data());
    }
    for (std::size_t t = image.q.size(); t-- > 0;) {
      splat_all(image.kernels, g.data(), true, stride, &work.rows, threads);
      if (correlation) {
        splat_all(image.kernels, image.q[t].data(), false, stride, &filtered.rows, threads);
        blur_all(image.kernels, false, stride, &filtered.rows, threads);
        add_outer_products(image.kernels, work.rows, filtered.rows, classes, correlation, threads);
      }
      if (t == 0 && !d_q0) break;
      blur_all(image.kernels, true, stride, &work.rows, threads);
      mix_vertices(image.kernels, mixing_->backward, classes, &work.rows, threads);
      UpdateArgs<T> args{};
      args.q = image.q[t].data();
      args.total = t > 0 && d_unary ? total.data() : nullptr;
      args.out = g.data();
      args.stride = stride;
      args.channels = classes;
      update_points(image.kernels, mixing_->backward, work.rows, scale, args, threads);
    }
    if (d_q0) order.to_planes(g.data(), classes, d_q0, threads);
    if (d_unary) order.to_planes(total.data(), classes, d_unary, threads);
  }

  std::int64_t height_;
  std::int64_t width_;
  std::shared_ptr<const Mixing<T>> mixing_;
  std::vector<ImageState<T>> images_;
};

template <typename T>
void image_forward(const KernelList<T>& kernels, const Mixing<T>& mixing, const PixelOrder& order,
                   const T* unary, const T* q0, int iterations, T* top, std::vector<Buffer<T>>* keep,
                   int threads) {
  const std::int64_t classes = mixing.classes;
  const std::int64_t points = order.points();
  const std::int64_t stride = row_stride(classes);
  constexpr T kNever = -std::numeric_limits<T>::infinity();
  Buffer<T> unary_rows(points * stride);
  order.to_rows(unary, classes, kNever, unary_rows.data(), threads);
  Buffer<T> q(points * stride);
  if (q0 != unary) order.to_rows(q0, classes, kNever, q.data(), threads);
  parallel_ranges(threads, points, kPointGrain, [&](std::int64_t begin, std::int64_t end) {
    if (q0 == unary) {
      std::copy(unary_rows.data() + begin * stride, unary_rows.data() + end * stride,
                q.data() + begin * stride);
    }
    crfrnn::kernels<T>().softmax(q.data(), stride, begin, end);
  });
  Workspace<T> work(kernels, stride);
  std::vector<const T*> scale;
  for (const auto& kernel : kernels) scale.push_back(kernel->after());
  for (int t = 1; t <= iterations; ++t) {
    splat_all(kernels, q.data(), false, stride, &work.rows, threads);
    blur_all(kernels, false, stride, &work.rows, threads);
    mix_vertices(kernels, mixing.forward, classes, &work.rows, threads);
    if (keep) {
      keep->push_back(std::move(q));
      q = Buffer<T>(points * stride);
    }
    UpdateArgs<T> args{};
    args.start = unary_rows.data();
    args.out = q.data();
    args.stride = stride;
    args.channels = classes;
    args.softmax = t < iterations;
    update_points(kernels, mixing.forward, work.rows, scale, args, threads);
  }
  order.to_planes(q.data(), classes, top, threads);
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
  const auto mixing = std::make_shared<const Mixing<T>>(input);
  auto state = keep_state ? std::make_unique<State<T>>(input, mixing) : nullptr;
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
      image_forward(image.kernels, *mixing, *order, input.unary + n * size, input.q0 + n * size, iterations,
                    top + n * size, keep_state ? &image.q : nullptr, threads);
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
  std::shared_ptr<const GaussianKernel<T>> shared;  // the spatial kernel is the same for all images
  const KernelMaker<T> spatial = [&](const Order& order, std::int64_t) {
    if (!shared) {
      KernelFeatures<T> features;
      features.theta_x = features.theta_y = thetas.gamma;
      shared = std::make_shared<const GaussianKernel<T>>(order, features, Normalization::kAfter, threads);
    }
    return shared;
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
                                                   input.compatibility},
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
