// Inference that leaves classes out, against inference with all of them.
#include <cmath>
#include <cstdint>
#include <vector>

#include "crfrnn/mean_field.hpp"
#include "plain_field.hpp"
#include "pruned.hpp"
#include "testing.hpp"

using crfrnn::mean_field_forward;
using crfrnn::Normalization;
using testing::RandomField;

namespace {

template <typename T>
std::vector<T> scores_of(const RandomField<T>& of, double min_probability, int threads) {
  crfrnn::Field<T> field = of.field;
  field.min_probability = min_probability;
  std::vector<T> top(of.size());
  CHECK(mean_field_forward(field, top.data(), false, threads) == nullptr);
  return top;
}

// Of the classes the first three are possible, the next nine in one corner at the start, the others nowhere.
template <typename T>
void leave_few_classes(RandomField<T>* of) {
  for (auto& kernel : of->field.kernels) kernel.normalization = Normalization::kAfter;
  for (T& w : of->weights) w *= T(0.1);
  const std::int64_t plane = of->field.pixels();
  for (std::int64_t i = 0; i < of->size(); ++i) {
    const std::int64_t c = i / plane % of->field.classes;
    const bool corner = i % plane < 5;
    const T below = c < 3 ? T(0) : c < 12 && corner ? T(8) : T(30);
    of->unary[i] -= below;
    of->q0[i] -= below;
  }
}

template <typename T>
void check(bool untied, bool masked) {
  RandomField<T> of(2, 28, 20, 30, 2, untied);
  leave_few_classes(&of);
  if (masked) of.field.mask = of.mask.data();
  const std::vector<T> exact = scores_of(of, 0.0, 2), pruned = scores_of(of, 1e-5, 2);
  CHECK(exact != pruned);
  CHECK_CLOSE(pruned, std::vector<double>(exact.begin(), exact.end()), 2e-2);
  for (int threads : {1, 3}) CHECK(scores_of(of, 1e-5, threads) == pruned);
}

}  // namespace

TEST(classes_that_matter_nowhere_are_left_out) {
  for (bool untied : {false, true}) {
    for (bool masked : {false, true}) {
      check<float>(untied, masked);
      check<double>(untied, masked);
    }
  }
}

// One class is strong, a second one possible; nine others are possible in a corner until its messages arrive.
TEST(classes_that_vanish_on_the_way_are_left_out) {
  RandomField<float> of(1, 28, 20, 30, 4, false);
  const std::int64_t plane = of.field.pixels(), classes = of.field.classes;
  for (auto& kernel : of.field.kernels) kernel.normalization = Normalization::kAfter;
  for (std::size_t i = 0; i < of.weights.size(); ++i) {
    of.weights[i] = i % (classes * classes) % (classes + 1) == 0 ? 1.0F : 0.01F * of.weights[i];
  }
  for (std::int64_t i = 0; i < classes * classes; ++i) {
    of.compatibility[i] = i % (classes + 1) == 0 ? -1.0F : 0.01F * of.compatibility[i];
  }
  for (std::int64_t i = 0; i < of.size(); ++i) {
    const std::int64_t c = i / plane;
    of.unary[i] = c == 20 ? 3.0F : c == 3 ? 1.0F : c >= 5 && c < 14 && i % plane < 40 ? -1.0F : -12.0F;
  }
  of.field.q0 = of.field.unary;
  const std::vector<float> exact = scores_of(of, 0.0, 2), pruned = scores_of(of, 1e-2, 2);
  CHECK(exact != pruned);
  CHECK_CLOSE(pruned, std::vector<double>(exact.begin(), exact.end()), 0.1);
  for (int threads : {1, 3}) CHECK(scores_of(of, 1e-2, threads) == pruned);
}

TEST(nothing_is_left_out_where_all_classes_live_or_that_is_not_known_to_be_right) {
  const RandomField<float> all(1, 28, 20, 20, 2, false);
  CHECK(scores_of(all, 1e-9, 2) == scores_of(all, 0.0, 2));
  RandomField<float> mixed(1, 28, 20, 20, 2, false);
  leave_few_classes(&mixed);
  for (auto& kernel : mixed.field.kernels) kernel.normalization = Normalization::kSymmetric;
  CHECK(scores_of(mixed, 1e-5, 2) == scores_of(mixed, 0.0, 2));
}
