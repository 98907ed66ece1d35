#include "crfrnn/mean_field.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
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

// One kernel k over the pixels of one image.
template <typename T>
struct Kernel {
  std::shared_ptr<const PermutohedralLattice<T>> lattice;
  Buffer<T>
      scale;  // per point: the gain of slicing over the response to ones, i.e. the factor that normalises

  // Mixing the classes commutes with slicing and with the factor per point: it is done where there are fewer
  // rows.
  bool mixes_at_vertices() const { return lattice->vertices() <= lattice->points(); }
};

template <typename T>
using Kernels2 = std::vector<std::shared_ptr<const Kernel<T>>>;

template <typename T>
std::shared_ptr<const Kernel<T>> make_kernel(const Buffer<T>& features, std::int64_t points, int dimension,
                                             int threads) {
  auto kernel = std::make_shared<Kernel<T>>();
  kernel->lattice =
      std::make_shared<const PermutohedralLattice<T>>(features.data(), points, dimension, threads);
  kernel->scale = kernel->lattice->ones_response(threads);
  const T gain = kernel->lattice->slice_gain();
  T* scale = kernel->scale.data();
  parallel_ranges(threads, points, kPointGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) scale[p] = gain * (1 / (scale[p] + T(1e-20)));
  });
  return kernel;
}

template <typename T>
std::shared_ptr<const Kernel<T>> spatial_kernel(const PixelOrder& order, T theta_gamma, int threads) {
  Buffer<T> features(order.points() * 2);
  parallel_ranges(threads, order.points(), kPointGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      features[2 * p] = static_cast<T>(order.x(p)) / theta_gamma;
      features[2 * p + 1] = static_cast<T>(order.y(p)) / theta_gamma;
    }
  });
  return make_kernel(features, order.points(), 2, threads);
}

template <typename T>
std::shared_ptr<const Kernel<T>> bilateral_kernel(const PixelOrder& order, const T* image,
                                                  std::int64_t channels, T theta_alpha, T theta_beta,
                                                  int threads) {
  const std::int64_t d = 2 + channels;
  const std::int64_t plane = order.points();
  Buffer<T> features(plane * d);
  parallel_ranges(threads, plane, kPointGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      T* f = features.data() + p * d;
      f[0] = static_cast<T>(order.x(p)) / theta_alpha;
      f[1] = static_cast<T>(order.y(p)) / theta_alpha;
      for (std::int64_t c = 0; c < channels; ++c) f[2 + c] = image[c * plane + order.pixel(p)] / theta_beta;
    }
  });
  return make_kernel(features, plane, static_cast<int>(d), threads);
}

// The arrays one image's passes work in.
template <typename T>
struct Workspace {
  Workspace(const Kernels2<T>& kernels, std::int64_t stride) {
    for (const auto& kernel : kernels) rows.emplace_back(kernel->lattice->vertices() * stride);
  }
  std::vector<Buffer<T>> rows;  // per kernel: vertices x stride
};

template <typename T>
void splat_all(const Kernels2<T>& kernels, const T* in, bool normalised, std::int64_t stride,
               std::vector<Buffer<T>>* rows, int threads) {
  std::vector<SplatJob<T>> jobs;
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    jobs.push_back(
        {kernels[k]->lattice.get(), in, normalised ? kernels[k]->scale.data() : nullptr, (*rows)[k].data()});
  }
  splat(jobs, stride, threads);
}

template <typename T>
void blur_all(const Kernels2<T>& kernels, bool reverse, std::int64_t stride, std::vector<Buffer<T>>* rows,
              int threads) {
  std::vector<BlurJob<T>> jobs;
  for (std::size_t k = 0; k < kernels.size(); ++k)
    jobs.push_back({kernels[k]->lattice.get(), (*rows)[k].data()});
  blur(jobs, stride, reverse, threads);
}

template <typename T>
void mix_vertices(const Kernels2<T>& kernels, const std::vector<Buffer<T>>& mix, std::int64_t classes,
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
    jobs.push_back({kernels[k]->lattice.get(), (*rows)[k].data(), mix[k].data()});
  }
  parallel_vertices(threads, jobs, [&](const Job& job, std::int64_t begin, std::int64_t end) {
    Buffer<T> scratch(4 * stride);
    crfrnn::kernels<T>().mix(job.rows, job.mix, classes, stride, scratch.data(), begin, end);
  });
}

template <typename T>
void update_points(const Kernels2<T>& kernels, const std::vector<Buffer<T>>& mix,
                   const std::vector<Buffer<T>>& rows, const std::vector<Buffer<T>>* scale,
                   UpdateArgs<T> args, int threads) {
  std::vector<SliceTerm<T>> terms;
  std::int64_t points = 0;
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    const PermutohedralLattice<T>& l = *kernels[k]->lattice;
    points = l.points();
    terms.push_back({l.corner(), l.barycentric(), scale ? (*scale)[k].data() : kernels[k]->scale.data(),
                     l.corners(), rows[k].data(), kernels[k]->mixes_at_vertices() ? nullptr : mix[k].data()});
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
void add_outer_products(const Kernels2<T>& kernels, const std::vector<Buffer<T>>& y,
                        const std::vector<Buffer<T>>& x, std::int64_t classes, std::vector<Matrix>* sums,
                        int threads) {
  constexpr std::int64_t kChunk = 4 * kVertexGrain;
  const std::int64_t stride = row_stride(classes);
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    const std::int64_t vertices = kernels[k]->lattice->vertices();
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

// One image's part of the state.
template <typename T>
struct ImageState {
  Kernels2<T> kernels;
  std::vector<Buffer<T>> q;  // per iteration: points x stride
};

template <typename T>
class State final : public MeanFieldState<T> {
 public:
  State(const MeanFieldInput<T>& in, std::shared_ptr<const Mixing<T>> mixing,
        std::shared_ptr<const PixelOrder> order)
      : height_(in.height), width_(in.width), mixing_(std::move(mixing)), order_(std::move(order)) {}

  void add(ImageState<T> image) { images_.push_back(std::move(image)); }

  void backward(const T* top_diff, const MeanFieldGradient<T>& gradient, int threads) const override {
    const std::int64_t classes = mixing_->classes;
    const std::int64_t size = classes * order_->points();
    const bool weights = gradient.spatial || gradient.bilateral || gradient.compatibility;
    // sum_t sum_points G_t F_k^T, from which the gradients of all three matrices follow.
    std::vector<Matrix> correlation(2, Matrix(classes * classes, 0.0));
    for (std::size_t n = 0; n < images_.size(); ++n) {
      image_backward(images_[n], top_diff + n * size, gradient.unary ? gradient.unary + n * size : nullptr,
                     gradient.q0 ? gradient.q0 + n * size : nullptr, weights ? &correlation : nullptr,
                     threads);
    }
    T* filter_gradient[2] = {gradient.spatial, gradient.bilateral};
    const Matrix mu_transposed = transposed(mixing_->compatibility, classes);
    Matrix d_mu(classes * classes, 0.0);
    for (int k = 0; k < 2; ++k) {
      if (filter_gradient[k]) {
        const Matrix d = product(mu_transposed, correlation[k], classes, -1.0);
        std::transform(d.begin(), d.end(), filter_gradient[k], [](double x) { return static_cast<T>(x); });
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
    for (std::size_t n = 0; n < images_.size(); ++n) {
      for (const Buffer<T>& q : images_[n].q) sum += q.bytes();
      // The spatial kernel (0) is shared by all images.
      for (std::size_t k = n == 0 ? 0 : 1; k < images_[n].kernels.size(); ++k) {
        sum += images_[n].kernels[k]->lattice->bytes() + images_[n].kernels[k]->scale.bytes();
      }
    }
    return sum;
  }

  std::int64_t batch() const override { return static_cast<std::int64_t>(images_.size()); }
  std::int64_t classes() const override { return mixing_->classes; }
  std::int64_t height() const override { return height_; }
  std::int64_t width() const override { return width_; }

 private:
  void image_backward(const ImageState<T>& image, const T* top_diff, T* d_unary, T* d_q0,
                      std::vector<Matrix>* correlation, int threads) const {
    const std::int64_t classes = mixing_->classes;
    const std::int64_t points = order_->points();
    const std::int64_t stride = row_stride(classes);
    Buffer<T> g(points * stride);  // with respect to the scores of iteration t
    order_->to_rows(top_diff, classes, T(0), g.data(), threads);
    Buffer<T> total(d_unary ? points * stride : 0);
    if (d_unary) std::copy_n(g.data(), g.size(), total.data());
    Workspace<T> work(image.kernels, stride);
    Workspace<T> filtered(correlation ? image.kernels : Kernels2<T>(), stride);
    // The transposed filter splats with the normaliser and slices without it.
    std::vector<Buffer<T>> ones;
    for (std::size_t k = 0; k < image.kernels.size(); ++k) {
      ones.emplace_back(points);
      std::fill_n(ones.back().data(), points, T(1));
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
      update_points(image.kernels, mixing_->backward, work.rows, &ones, args, threads);
    }
    if (d_q0) order_->to_planes(g.data(), classes, d_q0, threads);
    if (d_unary) order_->to_planes(total.data(), classes, d_unary, threads);
  }

  std::int64_t height_;
  std::int64_t width_;
  std::shared_ptr<const Mixing<T>> mixing_;
  std::shared_ptr<const PixelOrder> order_;
  std::vector<ImageState<T>> images_;
};

template <typename T>
void image_forward(const Kernels2<T>& kernels, const Mixing<T>& mixing, const PixelOrder& order,
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
    update_points(kernels, mixing.forward, work.rows, static_cast<const std::vector<Buffer<T>>*>(nullptr),
                  args, threads);
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
std::unique_ptr<MeanFieldState<T>> mean_field_forward(const MeanFieldInput<T>& input, const Thetas& thetas,
                                                      int iterations, T* top, bool keep_state, int threads) {
  if (input.batch < 0 || input.classes < 1 || input.height < 1 || input.width < 1 ||
      input.image_channels < 1) {
    throw std::invalid_argument("mean field needs at least one class, one image channel and one pixel");
  }
  if (input.image_channels > kMaxDimension - 2) {
    throw std::invalid_argument("the image has " + std::to_string(input.image_channels) +
                                " channels, at most " + std::to_string(kMaxDimension - 2) + " are supported");
  }
  if (input.height * input.width > std::numeric_limits<std::int32_t>::max()) {
    throw std::invalid_argument("the image has more than 2^31 pixels");
  }
  if (iterations < 1) {
    throw std::invalid_argument("the number of iterations must be at least 1, got " +
                                std::to_string(iterations));
  }
  check_theta("theta_alpha", thetas.alpha);
  check_theta("theta_beta", thetas.beta);
  check_theta("theta_gamma", thetas.gamma);

  const auto mixing = std::make_shared<const Mixing<T>>(input);
  const auto order = std::make_shared<const PixelOrder>(input.height, input.width);
  auto state = keep_state ? std::make_unique<State<T>>(input, mixing, order) : nullptr;
  const std::int64_t size = input.classes * order->points();
  std::shared_ptr<const Kernel<T>> spatial;
  for (std::int64_t n = 0; n < input.batch; ++n) {
    if (!spatial) spatial = spatial_kernel(*order, static_cast<T>(thetas.gamma), threads);
    const T* image = input.image + n * input.image_channels * order->points();
    ImageState<T> image_state;
    image_state.kernels = {spatial,
                           bilateral_kernel(*order, image, input.image_channels, static_cast<T>(thetas.alpha),
                                            static_cast<T>(thetas.beta), threads)};
    image_forward(image_state.kernels, *mixing, *order, input.unary + n * size, input.q0 + n * size,
                  iterations, top + n * size, keep_state ? &image_state.q : nullptr, threads);
    if (state) state->add(std::move(image_state));
  }
  return state;
}

template std::unique_ptr<MeanFieldState<float>> mean_field_forward(const MeanFieldInput<float>&,
                                                                   const Thetas&, int, float*, bool, int);
template std::unique_ptr<MeanFieldState<double>> mean_field_forward(const MeanFieldInput<double>&,
                                                                    const Thetas&, int, double*, bool, int);

}  // namespace crfrnn
