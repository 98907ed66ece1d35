// The mean field as the paper writes it, with dense kernel matrices of the plain lattice, in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "crfrnn/field.hpp"
#include "plain_lattice.hpp"
#include "testing.hpp"

namespace testing {

// A dense matrix of pixels x pixels; 0 where a pixel is no point.
class PlainKernel {
 public:
  // The normalised kernel of image n of a batch over height x width pixels; mask null or of this image.
  template <typename T>
  PlainKernel(const crfrnn::FieldKernel<T>& kernel, std::int64_t height, std::int64_t width, std::int64_t n,
              const std::uint8_t* mask)
      : pixels_(height * width), k_(pixels_ * pixels_, 0.0) {
    const crfrnn::KernelFeatures<T>& from = kernel.features;
    std::vector<std::int64_t> points;
    std::vector<double> features;
    for (std::int64_t pixel = 0; pixel < pixels_; ++pixel) {
      if (mask && !mask[pixel]) continue;
      points.push_back(pixel);
      if (from.has_position()) {
        features.push_back(double(T(pixel % width) / T(from.theta_x)));
        features.push_back(double(T(pixel / width) / T(from.theta_y)));
      }
      const T* values = from.values + (kernel.shared ? 0 : n * from.channels * pixels_) + pixel;
      for (std::int64_t c = 0; c < from.channels; ++c)
        features.push_back(double(values[c * pixels_] / T(from.theta)));
    }
    const auto count = static_cast<std::int64_t>(points.size());
    const PlainLattice lattice(features.data(), count, static_cast<int>(from.dimension()));
    const std::vector<double> ones = lattice.filter(std::vector<double>(count, 1.0));
    const double before = kernel.normalization == crfrnn::Normalization::kBefore      ? 1.0
                          : kernel.normalization == crfrnn::Normalization::kSymmetric ? 0.5
                                                                                      : 0.0;
    const double after = kernel.normalization == crfrnn::Normalization::kAfter       ? 1.0
                         : kernel.normalization == crfrnn::Normalization::kSymmetric ? 0.5
                                                                                     : 0.0;
    for (std::int64_t j = 0; j < count; ++j) {
      std::vector<double> unit(count, 0.0);
      unit[j] = std::pow(ones[j], -before);
      unit = lattice.filter(unit);
      for (std::int64_t i = 0; i < count; ++i)
        k_[points[i] * pixels_ + points[j]] = unit[i] * std::pow(ones[i], -after);
    }
  }

  // Of one plane, or of the transposed kernel.
  std::vector<double> filter(const double* in, bool transpose = false) const {
    std::vector<double> out(pixels_, 0.0);
    for (std::int64_t i = 0; i < pixels_; ++i) {
      for (std::int64_t j = 0; j < pixels_; ++j)
        out[transpose ? j : i] += k_[i * pixels_ + j] * in[transpose ? i : j];
    }
    return out;
  }

 private:
  std::int64_t pixels_;
  std::vector<double> k_;
};

// Q of scores, classes x pixels.
inline std::vector<double> plain_activation(std::vector<double> scores, std::int64_t classes,
                                            crfrnn::Activation activation) {
  const std::int64_t pixels = static_cast<std::int64_t>(scores.size()) / classes;
  for (std::int64_t p = 0; p < pixels; ++p) {
    double top = -HUGE_VAL, sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) top = std::max(top, scores[c * pixels + p]);
    for (std::int64_t c = 0; c < classes; ++c) {
      double& s = scores[c * pixels + p];
      s = activation == crfrnn::Activation::kRelu ? std::max(0.0, s) : std::exp(s - top);
      sum += s;
    }
    for (std::int64_t c = 0; c < classes && activation == crfrnn::Activation::kSoftmax; ++c)
      scores[c * pixels + p] /= sum;
  }
  return scores;
}

// The scores of image n: formulas of crfrnn/mean_field.hpp.
template <typename T>
std::vector<double> plain_image(const crfrnn::Field<T>& field, std::int64_t n) {
  const std::int64_t classes = field.classes, pixels = field.pixels(), size = classes * pixels;
  const std::uint8_t* mask = field.mask ? field.mask + n * pixels : nullptr;
  std::vector<PlainKernel> kernels;
  for (const auto& kernel : field.kernels) kernels.emplace_back(kernel, field.height, field.width, n, mask);
  const std::vector<double> unary(field.unary + n * size, field.unary + (n + 1) * size);
  std::vector<double> scores(field.q0 + n * size, field.q0 + (n + 1) * size);
  for (int t = 0; t < field.iterations; ++t) {
    const std::vector<double> q = plain_activation(scores, classes, field.activation);
    const std::int64_t set = field.set_of(t) * classes * classes;
    std::vector<double> weighted(size, 0.0);  // sum_k W_k F_k
    for (std::size_t k = 0; k < kernels.size(); ++k) {
      for (std::int64_t from = 0; from < classes; ++from) {
        const std::vector<double> filtered = kernels[k].filter(q.data() + from * pixels);
        for (std::int64_t to = 0; to < classes; ++to) {
          const double weight = double(field.weights[k][set + to * classes + from]);
          for (std::int64_t p = 0; p < pixels; ++p) weighted[to * pixels + p] += weight * filtered[p];
        }
      }
    }
    scores = unary;
    for (std::int64_t to = 0; to < classes; ++to) {
      for (std::int64_t from = 0; from < classes; ++from) {
        const double mu = double(field.compatibility[set + to * classes + from]);
        for (std::int64_t p = 0; p < pixels; ++p) scores[to * pixels + p] -= mu * weighted[from * pixels + p];
      }
    }
  }
  for (std::int64_t i = 0; i < size; ++i) {
    if (mask && !mask[i % pixels]) scores[i] = 0;
  }
  return scores;
}

// The scores of all images.
template <typename T>
std::vector<double> plain_mean_field(const crfrnn::Field<T>& field) {
  std::vector<double> all;
  for (std::int64_t n = 0; n < field.batch; ++n) {
    const std::vector<double> one = plain_image(field, n);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

// Random arrays for a field of three kernels: position, position and image, an image that the batch shares.
// The thetas keep pixels off the borders between simplices, where rounding chooses.
template <typename T>
struct RandomField {
  RandomField(std::int64_t batch, std::int64_t classes, std::int64_t height, std::int64_t width,
              int iterations, bool untied)
      : unary(values(batch * classes * height * width, 1, 1)),
        q0(values(batch * classes * height * width, 1, 2)),
        image(values(batch * 3 * height * width, 20, 3)),
        depth(values(height * width, 2, 4)),
        weights(values(3 * (untied ? iterations : 1) * classes * classes, 0.5, 5)),
        compatibility(values((untied ? iterations : 1) * classes * classes, 0.5, 6)),
        mask(batch * height * width, 1) {
    for (std::size_t i = 0; i < mask.size(); i += 3) mask[i] = 0;
    field.batch = batch;
    field.classes = classes;
    field.height = height;
    field.width = width;
    field.iterations = iterations;
    field.parameter_sets = untied ? iterations : 1;
    field.unary = unary.data();
    field.q0 = q0.data();
    field.compatibility = compatibility.data();
    field.kernels.resize(3);
    field.kernels[0].features.theta_x = 2.3;
    field.kernels[0].features.theta_y = 3.1;
    field.kernels[1].features.theta_x = field.kernels[1].features.theta_y = 5.3;
    field.kernels[1].features.values = image.data();
    field.kernels[1].features.channels = 3;
    field.kernels[1].features.theta = 15;
    field.kernels[2].features.values = depth.data();
    field.kernels[2].features.channels = 1;
    field.kernels[2].features.theta = 0.7;
    field.kernels[2].shared = true;
    for (int k = 0; k < 3; ++k)
      field.weights.push_back(weights.data() + k * field.parameter_sets * classes * classes);
  }
  RandomField(const RandomField&) = delete;

  std::int64_t size() const { return static_cast<std::int64_t>(unary.size()); }

  std::vector<T> unary, q0, image, depth, weights, compatibility;
  std::vector<std::uint8_t> mask;
  crfrnn::Field<T> field;

 private:
  static std::vector<T> values(std::int64_t size, double deviation, unsigned seed) {
    return random_values<T>(size, deviation, seed);
  }
};

}  // namespace testing
