// One normalised Gaussian kernel over the pixels of an image: features, the lattice they span, normalisers.
//
// Source: S. Zheng et al., "Conditional Random Fields as Recurrent Neural Networks", ICCV 2015, section 4.2
// (message passing with any kernels), and P. Krahenbuhl and V. Koltun, "Parameter Learning and Convergent
// Inference for Dense Random Fields", ICML 2013 (the normalisations).
#pragma once

#include <cstdint>
#include <memory>

#include "crfrnn/buffer.hpp"
#include "crfrnn/permutohedral.hpp"

namespace crfrnn {

// Which pixels of an image are points of the field, and in which order (src/cpu/pixel_rows.hpp).
class PixelOrder;

// mask: height x width, 0 takes a pixel out of the field; null keeps all. Throws std::invalid_argument for
// empty sizes and for more than 2^31 pixels.
std::shared_ptr<const PixelOrder> pixel_order(std::int64_t height, std::int64_t width,
                                              const std::uint8_t* mask = nullptr);

// With D the diagonal of the responses K(1): K, K D^-1, D^-1 K (a weighted mean: the paper's), or
// D^-1/2 K D^-1/2.
enum class Normalization { kNone, kBefore, kAfter, kSymmetric };

// What a kernel compares: the position, if theta_x and theta_y (pixels) are not 0, and any channels.
template <typename T>
struct KernelFeatures {
  double theta_x = 0;
  double theta_y = 0;
  const T* values = nullptr;  // channels x height x width, or null
  std::int64_t channels = 0;
  double theta = 1;  // standard deviation of the channels, in their units

  bool has_position() const { return theta_x != 0 || theta_y != 0; }
  std::int64_t dimension() const { return channels + (has_position() ? 2 : 0); }
};

// T is float or double. Immutable: may be used by several threads and images at once.
template <typename T>
class GaussianKernel {
 public:
  // Throws std::invalid_argument for thetas that are not finite and positive, no or too many features, an
  // order without points, and values that are not finite or not to be resolved in T.
  GaussianKernel(std::shared_ptr<const PixelOrder> order, const KernelFeatures<T>& features,
                 Normalization normalization, int threads);

  const std::shared_ptr<const PixelOrder>& order() const { return order_; }
  const PermutohedralLattice<T>& lattice() const { return lattice_; }
  // Factors per point: before splatting (null for all 1) and after slicing (the lattice's gain included).
  const T* before() const { return before_.size() ? before_.data() : nullptr; }
  const T* after() const { return after_.data(); }

  // out = K in, or K^T in: channels x height x width. Pixels that are no points become 0.
  void filter(const T* in, T* out, std::int64_t channels, bool transpose, int threads) const;

  // Heap memory held, in bytes.
  std::size_t bytes() const { return lattice_.bytes() + before_.bytes() + after_.bytes(); }

 private:
  std::shared_ptr<const PixelOrder> order_;
  PermutohedralLattice<T> lattice_;
  Buffer<T> before_;
  Buffer<T> after_;
};

extern template class GaussianKernel<float>;
extern template class GaussianKernel<double>;

// The kernel of the position alone. It is the same for all images of a size: the last few over whole images
// are kept for the next call, up to 64 MiB each.
template <typename T>
std::shared_ptr<const GaussianKernel<T>> position_kernel(const std::shared_ptr<const PixelOrder>& order,
                                                         double theta_x, double theta_y,
                                                         Normalization normalization, int threads);

extern template std::shared_ptr<const GaussianKernel<float>> position_kernel(
    const std::shared_ptr<const PixelOrder>&, double, double, Normalization, int);
extern template std::shared_ptr<const GaussianKernel<double>> position_kernel(
    const std::shared_ptr<const PixelOrder>&, double, double, Normalization, int);

// One kernel of a field over a batch of images.
template <typename T>
struct FieldKernel {
  KernelFeatures<T> features;  // values: batch x channels x height x width, or one image of that shape
  bool shared = false;         // the values are one image, which all images of the batch share
  Normalization normalization = Normalization::kAfter;
  // On the CPU, for many calls on one image: the kernel itself, made beforehand over all pixels. The rest is
  // not read then.
  std::shared_ptr<const GaussianKernel<T>> made;
};

// The kernel that image n of a batch has over the given pixels.
template <typename T>
std::shared_ptr<const GaussianKernel<T>> kernel_of_image(const FieldKernel<T>& kernel,
                                                         const std::shared_ptr<const PixelOrder>& order,
                                                         std::int64_t n, int threads);

extern template std::shared_ptr<const GaussianKernel<float>> kernel_of_image(
    const FieldKernel<float>&, const std::shared_ptr<const PixelOrder>&, std::int64_t, int);
extern template std::shared_ptr<const GaussianKernel<double>> kernel_of_image(
    const FieldKernel<double>&, const std::shared_ptr<const PixelOrder>&, std::int64_t, int);

}  // namespace crfrnn
