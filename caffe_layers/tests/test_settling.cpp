// Inference that ends when Q has settled, against the same number of iterations and the rule in plain code.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "crfrnn/mean_field.hpp"
#include "plain_field.hpp"
#include "testing.hpp"

using crfrnn::mean_field_forward;
using testing::RandomField;

namespace {

constexpr int kMost = 40;

// A field whose Q comes to rest: weak messages.
template <typename T>
struct Restful : RandomField<T> {
  explicit Restful(bool relu = false) : RandomField<T>(3, 5, 12, 17, kMost, false) {
    for (T& w : this->weights) w *= T(0.05);
    if (relu) this->field.activation = crfrnn::Activation::kRelu;
  }
};

template <typename T>
struct Found {
  std::vector<T> scores;
  std::vector<std::int64_t> run;
};

template <typename T>
Found<T> forward(const crfrnn::Field<T>& field, std::int64_t size, bool keep = false, int threads = 2) {
  Found<T> found{std::vector<T>(size), std::vector<std::int64_t>(field.batch, -1)};
  mean_field_forward(field, found.scores.data(), keep, threads, found.run.data());
  return found;
}

// Q of one pixel's scores, `plane` apart.
template <typename T>
std::vector<double> q_of(const T* scores, std::int64_t classes, std::int64_t plane, bool relu) {
  std::vector<double> q(classes);
  double top = -1e300, sum = 0;
  for (std::int64_t c = 0; c < classes; ++c) top = std::max(top, double(scores[c * plane]));
  for (std::int64_t c = 0; c < classes; ++c) {
    q[c] = relu ? std::max(0.0, double(scores[c * plane])) : std::exp(scores[c * plane] - top);
    sum += q[c];
  }
  if (!relu) {
    for (double& value : q) value /= sum;
  }
  return q;
}

// The largest change of image n's Q between two arrays of scores.
template <typename T>
double change(const RandomField<T>& of, const T* a, const T* b, std::int64_t n) {
  const auto& f = of.field;
  const bool relu = f.activation == crfrnn::Activation::kRelu;
  double most = 0;
  for (std::int64_t i = 0; i < f.pixels(); ++i) {
    if (f.mask && !f.mask[n * f.pixels() + i]) continue;
    const std::int64_t at = n * f.classes * f.pixels() + i;
    const auto before = q_of(a + at, f.classes, f.pixels(), relu),
               after = q_of(b + at, f.classes, f.pixels(), relu);
    for (std::int64_t c = 0; c < f.classes; ++c) most = std::max(most, std::abs(before[c] - after[c]));
  }
  return most;
}

// The number of iterations of image n by the rule: one after the first that changed no Q by the tolerance.
template <typename T>
std::int64_t by_rule(const RandomField<T>& of, std::int64_t n, double tolerance) {
  crfrnn::Field<T> field = of.field;
  field.tolerance = 0;
  std::vector<T> before(field.q0, field.q0 + of.size());
  for (int t = 1; t + 1 < kMost; ++t) {
    field.iterations = t;
    const std::vector<T> after = forward(field, of.size()).scores;
    if (change(of, before.data(), after.data(), n) < tolerance) return t + 1;
    before = after;
  }
  return kMost;
}

template <typename T>
void check(bool relu, bool masked, double min_probability) {
  Restful<T> of(relu);
  if (masked) of.field.mask = of.mask.data();
  of.field.tolerance = 1e-3;
  of.field.min_probability = min_probability;
  const Found<T> found = forward(of.field, of.size());
  crfrnn::Field<T> plain = of.field;
  plain.tolerance = 0;
  const std::int64_t image = of.size() / plain.batch;
  for (std::int64_t n = 0; n < plain.batch; ++n) {
    CHECK(found.run[n] > 1 && found.run[n] < kMost);
    if (min_probability == 0) CHECK(found.run[n] == by_rule(of, n, 1e-3));
    plain.iterations = static_cast<int>(found.run[n]);
    const std::vector<T> same = forward(plain, of.size()).scores;
    CHECK(std::equal(same.begin() + n * image, same.begin() + (n + 1) * image,
                     found.scores.begin() + n * image));
  }
  for (int threads : {1, 3}) {
    const Found<T> again = forward(of.field, of.size(), false, threads);
    CHECK(again.run == found.run && again.scores == found.scores);
  }
}

}  // namespace

TEST(iterations_end_after_the_first_that_changes_little) {
  for (bool relu : {false, true}) {
    for (bool masked : {false, true}) {
      check<float>(relu, masked, 0);
      check<double>(relu, masked, 0);
    }
  }
  check<float>(false, false, 1e-3);
}

TEST(all_are_run_without_a_tolerance_and_for_a_gradient) {
  Restful<float> of;
  const std::vector<std::int64_t> all(of.field.batch, kMost);
  CHECK(forward(of.field, of.size()).run == all);
  of.field.tolerance = 0.5;
  CHECK(forward(of.field, of.size(), true).run == all);
  of.field.iterations = 1;
  CHECK(forward(of.field, of.size()).run == std::vector<std::int64_t>(of.field.batch, 1));
}

TEST(what_is_not_a_number_never_settles) {
  Restful<float> of;
  of.field.tolerance = 0.5;
  of.unary[0] = std::nanf("");
  const auto run = forward(of.field, of.size()).run;
  CHECK(run[0] == kMost && run[1] < kMost);
}
