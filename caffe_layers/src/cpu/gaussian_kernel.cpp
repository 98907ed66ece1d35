#include "crfrnn/gaussian_kernel.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "crfrnn/checks.hpp"
#include "crfrnn/parallel.hpp"
#include "lattice_pass.hpp"
#include "pixel_rows.hpp"

namespace crfrnn {
namespace {

template <typename T>
PermutohedralLattice<T> span(const PixelOrder& order, const KernelFeatures<T>& from, int threads) {
  const std::int64_t d = check_features(from);
  const bool position = from.has_position();
  const std::int64_t first = position ? 2 : 0;
  const T theta_x = static_cast<T>(from.theta_x), theta_y = static_cast<T>(from.theta_y);
  const T theta = static_cast<T>(from.theta);
  const std::int64_t plane = order.pixels();
  Buffer<T> features(order.points() * d);
  parallel_ranges(threads, order.points(), kVertexGrain, [&](std::int64_t begin, std::int64_t end) {
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
  parallel_ranges(threads, points, kVertexGrain, [&](std::int64_t begin, std::int64_t end) {
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
  const T* splat_scale = transpose ? after() : before();
  const T* slice_scale = transpose ? before() : after();
  LatticePass<T> pass({{&lattice_, splat_scale, slice_scale, T(1)}}, channels, threads);
  pass.splat([&](std::int64_t first, std::int64_t count, T* rows) {
    order_->to_rows(in, channels, T(0), first, count, rows);
  });
  pass.blur(transpose);
  order_->clear_others(channels, out);
  pass.slice(nullptr, [&](std::int64_t first, std::int64_t count, T* rows) {
    order_->to_planes(rows, channels, first, count, out);
  });
}

template <typename T>
std::shared_ptr<const GaussianKernel<T>> position_kernel(const std::shared_ptr<const PixelOrder>& order,
                                                         double theta_x, double theta_y,
                                                         Normalization normalization, int threads) {
  using Key = std::tuple<std::int64_t, std::int64_t, double, double, Normalization>;
  using Kernel = std::shared_ptr<const GaussianKernel<T>>;
  constexpr std::size_t kMost = 4, kMostBytes = std::size_t{64} << 20;
  static std::mutex mutex;
  static std::deque<std::pair<Key, Kernel>> recent;  // the last one used first

  const Key key{order->height(), order->width(), theta_x, theta_y, normalization};
  const bool whole = order->points() == order->pixels();
  if (whole) {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto at =
        std::find_if(recent.begin(), recent.end(), [&](const auto& entry) { return entry.first == key; });
    if (at != recent.end()) {
      std::rotate(recent.begin(), at, at + 1);
      return recent.front().second;
    }
  }
  KernelFeatures<T> features;
  features.theta_x = theta_x;
  features.theta_y = theta_y;
  auto kernel = std::make_shared<const GaussianKernel<T>>(order, features, normalization, threads);
  if (whole && kernel->bytes() <= kMostBytes) {
    const std::lock_guard<std::mutex> lock(mutex);
    recent.emplace_front(key, kernel);
    if (recent.size() > kMost) recent.pop_back();
  }
  return kernel;
}

template <typename T>
std::shared_ptr<const GaussianKernel<T>> kernel_of_image(const FieldKernel<T>& kernel,
                                                         const std::shared_ptr<const PixelOrder>& order,
                                                         std::int64_t n, int threads) {
  if (kernel.made) return kernel.made;
  KernelFeatures<T> features = kernel.features;
  if (features.channels == 0 && features.theta_x > 0 && features.theta_y > 0) {
    return position_kernel<T>(order, features.theta_x, features.theta_y, kernel.normalization, threads);
  }
  if (!kernel.shared) features.values += n * features.channels * order->pixels();
  return std::make_shared<const GaussianKernel<T>>(order, features, kernel.normalization, threads);
}

template class GaussianKernel<float>;
template class GaussianKernel<double>;
template std::shared_ptr<const GaussianKernel<float>> position_kernel(
    const std::shared_ptr<const PixelOrder>&, double, double, Normalization, int);
template std::shared_ptr<const GaussianKernel<double>> position_kernel(
    const std::shared_ptr<const PixelOrder>&, double, double, Normalization, int);
template std::shared_ptr<const GaussianKernel<float>> kernel_of_image(
    const FieldKernel<float>&, const std::shared_ptr<const PixelOrder>&, std::int64_t, int);
template std::shared_ptr<const GaussianKernel<double>> kernel_of_image(
    const FieldKernel<double>&, const std::shared_ptr<const PixelOrder>&, std::int64_t, int);

}  // namespace crfrnn
