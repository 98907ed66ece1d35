// The jobs of src/cuda, in loops on the host, against the CPU's code: meant for the sanitizers above all.
#include <cstdint>
#include <vector>

#include "crfrnn/cuda/mean_field.hpp"
#include "crfrnn/mean_field.hpp"
#include "plain_field.hpp"
#include "testing.hpp"

using crfrnn::Activation;
using crfrnn::Buffer;
using crfrnn::FieldGradient;
using crfrnn::Normalization;
using testing::random_values;
using testing::RandomField;

namespace {

// Scores and gradients, one after the other.
template <typename T>
std::vector<T> on_cpu(const RandomField<T>& of, const std::vector<T>& diff) {
  std::vector<T> all(3 * of.size() + of.weights.size() + of.compatibility.size());
  const auto state = crfrnn::mean_field_forward(of.field, all.data(), true, 2);
  FieldGradient<T> to;
  to.unary = all.data() + of.size();
  to.q0 = to.unary + of.size();
  for (const T* w : of.field.weights) to.weights.push_back(to.q0 + of.size() + (w - of.weights.data()));
  to.compatibility = to.q0 + of.size() + of.weights.size();
  state->backward(diff.data(), to, 2);
  return all;
}

template <typename T>
std::vector<T> on_host_device(const RandomField<T>& of, const std::vector<T>& diff) {
  std::vector<T> all(3 * of.size() + of.weights.size() + of.compatibility.size());
  std::vector<std::int32_t> status(of.field.batch, -1);
  const crfrnn::cuda::Memory memory = crfrnn::cuda::forward_memory(of.field, true);
  Buffer<char> state(memory.state), work(memory.workspace);
  crfrnn::cuda::mean_field_forward(of.field, all.data(), status.data(), state.data(), work.data(), nullptr);
  for (std::int32_t s : status) CHECK(s == crfrnn::cuda::kFine);
  FieldGradient<T> to;
  to.unary = all.data() + of.size();
  to.q0 = to.unary + of.size();
  for (const T* w : of.field.weights) to.weights.push_back(to.q0 + of.size() + (w - of.weights.data()));
  to.compatibility = to.q0 + of.size() + of.weights.size();
  Buffer<char> backward_work(crfrnn::cuda::backward_memory(of.field, true));
  crfrnn::cuda::mean_field_backward(of.field, state.data(), diff.data(), to, backward_work.data(), nullptr);
  return all;
}

}  // namespace

TEST(the_cuda_source_on_the_host_computes_what_the_cpu_does) {
  for (bool untied : {false, true}) {
    for (std::int64_t classes : {3, 30}) {
      RandomField<double> of(2, classes, 19, 23, 2, untied);
      of.field.mask = of.mask.data();
      of.field.activation = untied ? Activation::kRelu : Activation::kSoftmax;
      for (int k = 0; k < 3; ++k) of.field.kernels[k].normalization = static_cast<Normalization>(k + 1);
      const std::vector<double> diff = random_values<double>(of.size(), 1, 20);
      CHECK_CLOSE(on_host_device(of, diff), on_cpu(of, diff), 1e-11);
    }
  }
}

TEST(the_filter_of_the_cuda_source_on_the_host) {
  const std::int64_t points = 900, channels = 6;
  for (int d : {1, 2, 5, 16}) {
    const std::vector<double> features = random_values<double>(points * d, 2, 1);
    const std::vector<double> in = random_values<double>(points * channels, 1, 2);
    std::vector<double> expected(in.size()), out(in.size());
    const crfrnn::PermutohedralLattice<double> lattice(features.data(), points, d, 2);
    Buffer<char> work(crfrnn::cuda::filter_memory<double>(points, d, channels));
    for (bool reverse : {false, true}) {
      std::int32_t status = -1;
      lattice.filter(in.data(), expected.data(), channels, reverse, 2);
      crfrnn::cuda::permutohedral_filter(in.data(), features.data(), out.data(), &status, points, d, channels,
                                         reverse, work.data(), nullptr);
      CHECK(status == crfrnn::cuda::kFine);
      CHECK_CLOSE(out, expected, 1e-11);
    }
  }
}

TEST(what_is_wrong_with_a_field_on_a_device_is_said) {
  const auto message = [](const auto& change) {
    RandomField<float> of(1, 3, 4, 5, 2, false);
    change(&of.field);
    return testing::message_of([&] { crfrnn::cuda::forward_memory(of.field, false); });
  };
  using F = crfrnn::Field<float>;
  CHECK(message([](F*) {}).empty());
  CHECK(testing::contains(message([](F* f) { f->batch = 0; }), "at least one image and one pixel"));
  CHECK(testing::contains(message([](F* f) { f->classes = 5000; }), "1 to 4096 channels"));
  CHECK(testing::contains(message([](F* f) { f->iterations = 0; }), "at least 1, got 0"));
  CHECK(testing::contains(message([](F* f) { f->parameter_sets = 3; }),
                          "3 sets of parameters, but 2 iterations"));
  CHECK(testing::contains(message([](F* f) { f->kernels.clear(); }), "1 to 16 kernels, got 0"));
  CHECK(testing::contains(message([](F* f) { f->height = 1 << 20, f->width = 1 << 20; }),
                          "more than 2^31 pixels"));
  CHECK(
      testing::contains(message([](F* f) { f->batch = 90'000'000; }), "too many for 32-bit vertex numbers"));
  CHECK(
      testing::contains(message([](F* f) { f->kernels[0].features.theta_x = -1; }), "theta of the position"));
}
