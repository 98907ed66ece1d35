#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "crfrnn/mean_field.hpp"
#include "plain_field.hpp"
#include "testing.hpp"

using crfrnn::Activation;
using crfrnn::Field;
using crfrnn::FieldGradient;
using crfrnn::mean_field_forward;
using crfrnn::Normalization;
using testing::random_values;
using testing::RandomField;

namespace {

template <typename T>
std::vector<T> scores_of(const Field<T>& field, int threads = 2) {
  std::vector<T> top(field.batch * field.classes * field.pixels());
  CHECK(mean_field_forward(field, top.data(), false, threads) == nullptr);
  return top;
}

// All gradients of the inner product of the scores with `diff`.
template <typename T>
struct Gradients {
  Gradients(const RandomField<T>& of, const std::vector<T>& diff, int threads)
      : top(of.size()),
        unary(of.size()),
        q0(of.size()),
        weights(of.weights.size()),
        compatibility(of.compatibility.size()) {
    const auto state = mean_field_forward(of.field, top.data(), true, threads);
    FieldGradient<T> to;
    to.unary = unary.data();
    to.q0 = q0.data();
    for (const T* w : of.field.weights) to.weights.push_back(weights.data() + (w - of.weights.data()));
    to.compatibility = compatibility.data();
    state->backward(diff.data(), to, threads);
    CHECK(state->bytes() > 0 && state->kernels() == 3 && state->shape().classes == of.field.classes);
  }
  bool operator==(const Gradients& other) const {
    return top == other.top && unary == other.unary && q0 == other.q0 && weights == other.weights &&
           compatibility == other.compatibility;
  }

  std::vector<T> top, unary, q0, weights, compatibility;
};

// Central differences of the scores' inner product with `diff` along random directions of one input.
void check_differences(RandomField<double>* of, const std::vector<double>& diff, std::vector<double>* input,
                       const std::vector<double>& gradient) {
  const std::vector<double> before = *input;
  for (unsigned seed : {21, 22}) {
    const std::vector<double> direction =
        random_values<double>(static_cast<std::int64_t>(before.size()), 1, seed);
    constexpr double kStep = 1e-5;
    double value[2];
    for (int side : {0, 1}) {
      for (std::size_t i = 0; i < before.size(); ++i)
        (*input)[i] = before[i] + (side ? kStep : -kStep) * direction[i];
      value[side] = testing::inner(scores_of(of->field), diff);
    }
    *input = before;
    const double expected = (value[1] - value[0]) / (2 * kStep), actual = testing::inner(gradient, direction);
    CHECK(std::abs(actual - expected) < 1e-6 * (1 + std::abs(expected)));
  }
}

void check_gradients(Activation activation, bool untied, bool masked, std::int64_t classes) {
  RandomField<double> of(2, classes, 9, 11, 3, untied);
  of.field.activation = activation;
  if (masked) of.field.mask = of.mask.data();
  for (int k = 0; k < 3; ++k) of.field.kernels[k].normalization = static_cast<Normalization>(k + 1);
  const std::vector<double> diff = random_values<double>(of.size(), 1, 20);
  const Gradients<double> gradients(of, diff, 2);
  check_differences(&of, diff, &of.unary, gradients.unary);
  check_differences(&of, diff, &of.q0, gradients.q0);
  check_differences(&of, diff, &of.weights, gradients.weights);
  check_differences(&of, diff, &of.compatibility, gradients.compatibility);
}

template <typename T>
void check_scores(Activation activation, bool untied, bool masked, Normalization normalization) {
  RandomField<T> of(2, 3, 9, 11, 3, untied);
  of.field.activation = activation;
  if (masked) of.field.mask = of.mask.data();
  for (auto& kernel : of.field.kernels) kernel.normalization = normalization;
  if (normalization == Normalization::kNone) {  // small weights, or the scores grow without bounds
    for (T& w : of.weights) w *= T(0.1);
  }
  CHECK_CLOSE(scores_of(of.field), testing::plain_mean_field(of.field), sizeof(T) == 4 ? 3e-4 : 1e-11);
}

template <typename T>
void check_threads(std::int64_t classes, std::int64_t height, std::int64_t width) {
  const RandomField<T> of(2, classes, height, width, 3, false);
  const std::vector<T> diff = random_values<T>(of.size(), 1, 20);
  const Gradients<T> one(of, diff, 1);
  CHECK(std::all_of(one.top.begin(), one.top.end(), [](T x) { return std::isfinite(x); }));
  CHECK(scores_of(of.field) == one.top);
  for (int threads : {2, 4}) CHECK(Gradients<T>(of, diff, threads) == one);
}

}  // namespace

TEST(scores_are_those_of_the_plain_mean_field) {
  for (int n = 0; n < 4; ++n) {
    for (bool untied : {false, true}) {
      const bool masked = (n % 2 == 0) != untied;
      check_scores<double>(n % 2 ? Activation::kSoftmax : Activation::kRelu, untied, masked,
                           static_cast<Normalization>(n));
      check_scores<float>(Activation::kSoftmax, untied, masked, static_cast<Normalization>(n));
    }
  }
}

TEST(gradients_are_those_of_finite_differences) {
  for (bool untied : {false, true}) {
    check_gradients(Activation::kSoftmax, untied, !untied, 4);
    check_gradients(Activation::kRelu, untied, untied, 4);
  }
  check_gradients(Activation::kSoftmax, false, true, 27);  // rows of two groups of channels
}

TEST(results_are_the_same_on_any_number_of_threads) {
  check_threads<float>(3, 1, 1);
  check_threads<float>(21, 41, 37);
  check_threads<float>(30, 20, 20);
  check_threads<double>(4, 33, 18);
}

TEST(an_image_does_not_depend_on_the_rest_of_its_batch) {
  RandomField<float> of(3, 4, 13, 17, 2, false);
  const std::vector<float> all = scores_of(of.field);
  const std::int64_t size = of.size() / 3;
  Field<float> last = of.field;
  last.batch = 1;
  last.unary += 2 * size;
  last.q0 += 2 * size;
  last.kernels[1].features.values += 2 * 3 * of.field.pixels();
  CHECK(scores_of(last) == std::vector<float>(all.begin() + 2 * size, all.end()));
  of.unary[0] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> again = scores_of(of.field);
  CHECK(std::equal(all.begin() + size, all.end(), again.begin() + size));
  CHECK(std::isnan(again[0]));
}

TEST(pixels_outside_the_mask_have_no_influence_and_no_gradient) {
  RandomField<float> of(2, 3, 12, 10, 2, false);
  of.field.mask = of.mask.data();
  std::fill_n(of.mask.begin() + of.field.pixels(), of.field.pixels(),
              0);  // of the second image nothing is left
  const std::vector<float> diff = random_values<float>(of.size(), 1, 20);
  const Gradients<float> before(of, diff, 2);
  const std::int64_t plane = of.field.pixels(), image = plane * of.field.classes;
  const auto inside = [&](std::int64_t i) { return of.mask[i / image * plane + i % plane] != 0; };
  for (std::int64_t i = 0; i < of.size(); ++i) {
    if (inside(i)) continue;
    CHECK(before.top[i] == 0 && before.unary[i] == 0 && before.q0[i] == 0);
    of.unary[i] = of.q0[i] = std::numeric_limits<float>::quiet_NaN();
  }
  CHECK(Gradients<float>(of, diff, 2) == before);
}

TEST(a_score_of_minus_infinity_excludes_a_class) {
  RandomField<double> of(1, 3, 6, 7, 2, false);
  const std::vector<double> before = scores_of(of.field);
  of.q0[0] = of.unary[0] = -std::numeric_limits<double>::infinity();
  const std::vector<double> scores = scores_of(of.field);
  CHECK(scores[0] == -std::numeric_limits<double>::infinity());
  CHECK(std::all_of(scores.begin() + 1, scores.end(), [](double x) { return std::isfinite(x); }));
  CHECK(scores != before);
}

TEST(what_is_wrong_with_a_field_is_said) {
  const auto message = [](const auto& change) {
    RandomField<float> of(1, 3, 4, 5, 2, false);
    std::vector<float> top(of.size());
    change(&of.field);
    return testing::message_of([&] { mean_field_forward(of.field, top.data(), false, 1); });
  };
  using F = Field<float>;
  CHECK(message([](F*) {}).empty());
  CHECK(testing::contains(message([](F* f) { f->classes = 0; }), "at least one class and one pixel"));
  CHECK(testing::contains(message([](F* f) { f->width = 0; }), "at least one class and one pixel"));
  CHECK(testing::contains(message([](F* f) { f->weights.pop_back(); }), "a matrix of weights for each"));
  CHECK(testing::contains(message([](F* f) { f->iterations = 0; }), "at least 1, got 0"));
  CHECK(testing::contains(message([](F* f) { f->parameter_sets = 3; }),
                          "3 sets of parameters, but 2 iterations"));
  CHECK(
      testing::contains(message([](F* f) { f->kernels[0].features.theta_x = -1; }), "theta of the position"));
}

TEST(what_is_called_between_iterations_may_end_them) {
  RandomField<float> of(2, 3, 4, 5, 3, false);
  std::vector<float> top(of.size());
  int calls = 0;
  of.field.between = [&] { ++calls; };
  mean_field_forward(of.field, top.data(), false, 1);
  CHECK(calls == 2 * 3);
  of.field.between = [&] {
    if (++calls == 8) throw std::runtime_error("enough");
  };
  CHECK(testing::message_of([&] { mean_field_forward(of.field, top.data(), true, 1); }) == "enough");
  CHECK(calls == 8);
}
