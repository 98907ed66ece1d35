#include "crfrnn/gaussian_kernel.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "crfrnn/parallel.hpp"
#include "kernels.hpp"
#include "lattice_steps.hpp"
#include "pixel_rows.hpp"

namespace crfrnn {
namespace {

void check_theta(const char* name, double theta) {
  if (!(std::isfinite(theta) && theta > 0)) {
    throw std::invalid_argument(std::string(name) + " must be finite and greater than 0, got " +
                                std::to_string(theta));
  }
}

template <typename T>
PermutohedralLattice<T> span(const PixelOrder& order, const KernelFeatures<T>& from, int threads) {
  const bool position = from.theta_x != 0 || from.theta_y != 0;
  if (position) {
    check_theta("theta of the position", from.theta_x);
    check_theta("theta of the position", from.theta_y);
  }
  if (from.channels > 0) check_theta("theta of the features", from.theta);
  const std::int64_t first = position ? 2 : 0;
  const std::int64_t d = first + from.channels;
  if (d < 1 || d > kMaxDimension) {
    throw std::invalid_argument("a kernel must have 1 to " + std::to_string(kMaxDimension) +
                                " features, the position included, got " + std::to_string(d));
  }
  const T theta_x = static_cast<T>(from.theta_x), theta_y = static_cast<T>(from.theta_y);
  const T theta = static_cast<T>(from.theta);
  const std::int64_t plane = order.pixels();
  Buffer<T> features(order.points() * d);
  parallel_ranges(threads, order.points(), kPointGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      T* f = features.data() + p * d;
      if (position) {
        f[0] = static_cast<T>(order.x(p)) / theta_x;
        f[1] = static_cast<T>(order.y(p)) / theta_y;
      }
      for (std::int64_t c = 0; c < from.channels; ++c) {
        f[first + c] = from.values[c * plane + order.pixel(p)] / theta;
      }
    }
  });
  return PermutohedralLattice<T>(features.data(), order.points(), static_cast<int>(d), threads);
}

}  // namespace

std::shared_ptr<const PixelOrder> pixel_order(std::int64_t height, std::int64_t width,
                                              const std::uint8_t* mask) {
  if (height < 1 || width < 1) throw std::invalid_argument("an image needs at least one pixel");
  if (height > std::numeric_limits<std::int32_t>::max() / width) {
    throw std::invalid_argument("the image has more than 2^31 pixels");
  }
  return std::make_shared<const PixelOrder>(height, width, mask);
}

template <typename T>
GaussianKernel<T>::GaussianKernel(std::shared_ptr<const PixelOrder> order, const KernelFeatures<T>& features,
                                  Normalization normalization, int threads)
    : order_(std::move(order)), lattice_(span(*order_, features, threads)) {
  const std::int64_t points = lattice_.points();
  const T gain = lattice_.slice_gain();
  if (normalization == Normalization::kNone) {
    after_ = Buffer<T>(points);
    std::fill_n(after_.data(), points, gain);
    return;
  }
  Buffer<T> response = lattice_.ones_response(threads);
  if (normalization != Normalization::kAfter) before_ = Buffer<T>(points);
  if (normalization != Normalization::kSymmetric && before_.size()) after_ = Buffer<T>(points);
  parallel_ranges(threads, points, kPointGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      const T one = response[p] + T(1e-20);
      switch (normalization) {
        case Normalization::kAfter:
          response[p] = gain * (1 / one);
          break;
        case Normalization::kBefore:
          before_[p] = 1 / one;
          after_[p] = gain;
          break;
        default:
          before_[p] = 1 / std::sqrt(one);
          response[p] = gain * before_[p];
      }
    }
  });
  if (!after_.size()) after_ = std::move(response);
}

template <typename T>
void GaussianKernel<T>::filter(const T* in, T* out, std::int64_t channels, bool transpose,
                               int threads) const {
  if (channels < 1) throw std::invalid_argument("there must be at least one channel to filter");
  const std::int64_t stride = row_stride(channels);
  const std::int64_t points = lattice_.points();
  Buffer<T> rows(points * stride);
  order_->to_rows(in, channels, T(0), rows.data(), threads);
  Buffer<T> vertex_rows(lattice_.vertices() * stride);
  splat<T>({{&lattice_, rows.data(), transpose ? after() : before(), vertex_rows.data()}}, stride, threads);
  blur<T>({{&lattice_, vertex_rows.data()}}, stride, transpose, threads);
  Buffer<T> ones;
  const T* scale = transpose ? before() : after();
  if (!scale) {
    ones = Buffer<T>(points);
    std::fill_n(ones.data(), points, T(1));
    scale = ones.data();
  }
  const SliceTerm<T> term{lattice_.corner(),  lattice_.barycentric(), scale,
                          lattice_.corners(), vertex_rows.data(),     nullptr};
  UpdateArgs<T> args{};
  args.terms = &term;
  args.term_count = 1;
  args.out = rows.data();
  args.stride = stride;
  args.channels = channels;
  parallel_ranges(threads, points, kPointGrain,
                  [&](std::int64_t begin, std::int64_t end) { kernels<T>().update(args, begin, end); });
  order_->to_planes(rows.data(), channels, out, threads);
}

template class GaussianKernel<float>;
template class GaussianKernel<double>;

}  // namespace crfrnn
