// Tests of the thread pool, the lattice and the mean field, without Python; meant to run under the sanitizers
// too.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "crfrnn/mean_field.hpp"
#include "crfrnn/parallel.hpp"
#include "crfrnn/permutohedral.hpp"

namespace {

int failures = 0;

void check(bool condition, const char* text, int line) {
  if (condition) return;
  std::fprintf(stderr, "test_core.cpp:%d: failed: %s\n", line, text);
  ++failures;
}
#define CHECK(condition) check((condition), #condition, __LINE__)

template <typename F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

template <typename T>
std::vector<T> random_values(std::size_t size, double deviation, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(0.0, deviation);
  std::vector<T> values(size);
  for (T& value : values) value = static_cast<T>(normal(generator));
  return values;
}

// ---------------------------------------------------------------------------------------------------- thread
// pool

void test_every_task_runs_once() {
  for (int threads : {1, 2, 3, 8}) {
    for (int tasks : {0, 1, 2, 1000}) {
      std::vector<int> count(tasks, 0);
      crfrnn::parallel_for(threads, tasks, [&](std::int64_t task) { ++count[task]; });
      bool once = true;
      for (int c : count) once = once && c == 1;
      CHECK(once);
    }
  }
}

void test_many_short_regions() {
  std::vector<std::int64_t> sum(16, 0);
  for (int i = 0; i < 2000; ++i) {
    crfrnn::parallel_for(4, 16, [&](std::int64_t task) { sum[task] += task; });
  }
  for (int task = 0; task < 16; ++task) CHECK(sum[task] == 2000 * task);
}

void test_nested_and_concurrent_calls() {
  std::atomic<int> count{0};
  const auto nested = [&] {
    crfrnn::parallel_for(3, 10,
                         [&](std::int64_t) { crfrnn::parallel_for(3, 10, [&](std::int64_t) { ++count; }); });
  };
  std::thread other(nested);
  nested();
  other.join();
  CHECK(count == 200);
}

void test_exceptions_reach_the_caller() {
  for (int threads : {1, 4}) {
    const std::string message = message_of([&] {
      crfrnn::parallel_for(threads, 100, [](std::int64_t task) {
        if (task == 17) throw std::runtime_error("seventeen");
      });
    });
    CHECK(message == "seventeen");
  }
  CHECK(!message_of([] { crfrnn::parallel_for(0, 1, [](std::int64_t) {}); }).empty());
  test_every_task_runs_once();
}

[[maybe_unused]] void test_fork() {
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<int> count{0};
    crfrnn::parallel_for(3, 50, [&](std::int64_t) { ++count; });
    _exit(count == 50 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// --------------------------------------------------------------------------------------------------------
// lattice

template <typename T>
void test_lattice_is_consistent(int dimension, double spread) {
  const std::int64_t points = 5000;
  const std::vector<T> features = random_values<T>(points * dimension, spread, 1);
  const crfrnn::PermutohedralLattice<T> lattice(features.data(), points, dimension, 2);
  const int corners = lattice.corners();
  CHECK(corners == dimension + 1);
  bool sums_to_one = true, in_range = true;
  for (std::int64_t p = 0; p < points; ++p) {
    T sum = 0;
    for (int j = 0; j < corners; ++j) {
      const T weight = lattice.barycentric()[p * corners + j];
      in_range = in_range && weight > T(-1e-3) && weight < T(1.001);
      sum += weight;
    }
    sums_to_one = sums_to_one && std::abs(sum - 1) < 1e-4;
  }
  CHECK(sums_to_one);
  CHECK(in_range);
  for (const crfrnn::BlurAxis<T>& axis : lattice.axes()) {
    std::vector<int> seen(lattice.vertices(), 0);
    for (std::int64_t k = 0; k < axis.size(); ++k) ++seen[axis.order[k]];
    CHECK(*std::max_element(seen.begin(), seen.end()) <= 1);
    CHECK(axis.size() == 0 || axis.link[axis.size() - 1] == T(0));
    for (std::int64_t k = 0; k < axis.size(); ++k) {  // no vertex without a neighbour is listed
      CHECK(axis.link[k] != T(0) || (k > 0 && axis.link[k - 1] != T(0)));
    }
  }
}

// Blocks cover the points and own the vertices, each once; what they share are vertices of earlier blocks,
// and listing it by vertex loses nothing.
template <typename T>
void test_blocks_are_consistent(int dimension) {
  const std::int64_t points = 20000;
  const std::vector<T> features = random_values<T>(points * dimension, 2.0, 16);
  const crfrnn::PermutohedralLattice<T> lattice(features.data(), points, dimension, 2);
  const int corners = lattice.corners();
  std::int64_t next_point = 0;
  std::int32_t next_vertex = 0, next_shared = 0;
  CHECK(lattice.blocks().size() > 1);
  for (const crfrnn::LatticeBlock& block : lattice.blocks()) {
    CHECK(block.first_point == next_point && block.points > 0);
    CHECK(block.first_vertex == next_vertex && block.first_shared == next_shared);
    std::vector<char> touched(block.own + block.shares, 0);
    const std::int64_t stand_ins = lattice.vertices() + block.first_shared;
    bool in_range = true;
    for (std::int64_t e = block.first_point * corners; e < (block.first_point + block.points) * corners;
         ++e) {
      const std::int64_t at = lattice.corner()[e];
      const bool own = at >= block.first_vertex && at < block.first_vertex + block.own;
      in_range = in_range && (own || (at >= stand_ins && at < stand_ins + block.shares));
      if (in_range) touched[own ? at - block.first_vertex : block.own + at - stand_ins] = 1;
    }
    CHECK(in_range);
    CHECK(std::count(touched.begin(), touched.end(), 0) == 0);
    for (std::int32_t s = 0; s < block.shares; ++s) {
      CHECK(lattice.shared()[block.first_shared + s] < block.first_vertex);
    }
    next_point += block.points;
    next_vertex += block.own;
    next_shared += block.shares;
  }
  CHECK(next_point == points && next_vertex == lattice.vertices());
  CHECK(next_shared == static_cast<std::int32_t>(lattice.shared().size()));
  const auto& vertices = lattice.shared_vertices();
  CHECK(lattice.shared_place().size() == lattice.shared().size());
  CHECK(vertices.back().first_place == next_shared);
  for (std::size_t i = 0; i + 1 < vertices.size(); ++i) {
    for (std::int32_t p = vertices[i].first_place; p < vertices[i + 1].first_place; ++p) {
      CHECK(lattice.shared()[lattice.shared_place()[p]] == vertices[i].vertex);
      CHECK(p == vertices[i].first_place || lattice.shared_place()[p - 1] < lattice.shared_place()[p]);
    }
  }
}

template <typename T>
void test_filter_is_independent_of_threads_and_transposed(int dimension) {
  const std::int64_t points = 3000, channels = 5;
  const std::vector<T> features = random_values<T>(points * dimension, 2.0, 2);
  const std::vector<T> a = random_values<T>(points * channels, 1.0, 3),
                       b = random_values<T>(points * channels, 1.0, 4);
  std::vector<T> ka(a.size()), again(a.size()), kb(a.size());
  const crfrnn::PermutohedralLattice<T> lattice(features.data(), points, dimension, 1);
  lattice.filter(a.data(), ka.data(), channels, false, 1);
  for (int threads : {2, 4, 7}) {
    const crfrnn::PermutohedralLattice<T> other(features.data(), points, dimension, threads);
    other.filter(a.data(), again.data(), channels, false, threads);
    CHECK(again == ka);
  }
  lattice.filter(b.data(), kb.data(), channels, true, 3);
  double left = 0, right = 0, scale = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    left += double(ka[i]) * b[i];
    right += double(kb[i]) * a[i];
    scale += std::abs(double(ka[i]) * b[i]);
  }
  CHECK(std::abs(left - right) < (sizeof(T) == 4 ? 1e-5 : 1e-13) * scale);
}

void test_packed_and_wide_keys_agree() {
  // One far point makes the coordinates too wide to pack; it shares no vertex with the others.
  const int dimension = 6;
  const std::int64_t points = 2000;
  std::vector<double> features = random_values<double>(points * dimension, 1.0, 5);
  const std::vector<double> values = random_values<double>(points + 1, 1.0, 6);
  std::vector<double> near(points), far(points + 1);
  crfrnn::PermutohedralLattice<double>(features.data(), points, dimension, 2)
      .filter(values.data(), near.data(), 1, false, 2);
  for (int i = 0; i < dimension; ++i) features.push_back(i % 2 ? 5e6 : -5e6);
  crfrnn::PermutohedralLattice<double>(features.data(), points + 1, dimension, 2)
      .filter(values.data(), far.data(), 1, false, 2);
  far.pop_back();
  CHECK(near == far);
}

void test_bad_features() {
  std::vector<float> features(40, 0.5f);
  const auto build = [&](int dimension) {
    crfrnn::PermutohedralLattice<float>(features.data(), static_cast<std::int64_t>(features.size()) / 2,
                                        dimension, 1);
  };
  CHECK(message_of([&] { build(2); }).empty());
  CHECK(!message_of([&] { build(0); }).empty());
  CHECK(!message_of([&] { build(17); }).empty());
  features[7] = std::numeric_limits<float>::quiet_NaN();
  CHECK(message_of([&] { build(2); }).find("feature 1 of point 3") != std::string::npos);
  features[7] = 1e30f;
  CHECK(message_of([&] { build(2); }).find("float32 resolves") != std::string::npos);
}

// ----------------------------------------------------------------------------------------------------- mean
// field

template <typename T>
void test_mean_field(std::int64_t classes, std::int64_t height, std::int64_t width) {
  const std::int64_t batch = 2, channels = 3, plane = height * width, size = batch * classes * plane;
  const std::vector<T> unary = random_values<T>(size, 1.0, 7), q0 = random_values<T>(size, 1.0, 8);
  const std::vector<T> image = random_values<T>(batch * channels * plane, 20.0, 9);
  const std::vector<T> weight = random_values<T>(classes * classes, 0.5, 10);
  std::vector<T> top, d_unary, d_weight;
  for (int threads : {1, 2, 4}) {
    const crfrnn::MeanFieldInput<T> input{batch,         classes,       height,       width,
                                          channels,      unary.data(),  q0.data(),    image.data(),
                                          weight.data(), weight.data(), weight.data()};
    std::vector<T> out(size), again(size), du(size), dq(size);
    std::vector<T> dw(classes * classes), db(dw), dm(dw);
    const auto state = crfrnn::mean_field_forward<T>(input, {10, 10, 2}, 3, out.data(), true, threads);
    CHECK(state != nullptr);
    state->backward(unary.data(), {du.data(), dq.data(), dw.data(), db.data(), dm.data()}, threads);
    CHECK(crfrnn::mean_field_forward<T>(input, {10, 10, 2}, 3, again.data(), false, threads) == nullptr);
    CHECK(again == out);
    bool finite = true;
    for (T x : out) finite = finite && std::isfinite(x);
    for (T x : du) finite = finite && std::isfinite(x);
    CHECK(finite);
    if (threads == 1) {
      top = out;
      d_unary = du;
      d_weight = dw;
    }
    CHECK(out == top);
    CHECK(du == d_unary);
    CHECK(dw == d_weight);
  }
}

// A field of one kernel: the mask's pixels have no influence, and the filter of a kernel is its transpose's
// transpose, for all normalisations.
template <typename T>
void test_kernel_field(crfrnn::Normalization normalization) {
  const std::int64_t classes = 3, height = 12, width = 10, plane = height * width, size = classes * plane;
  std::vector<T> unary = random_values<T>(size, 1.0, 11);
  const std::vector<T> weight = random_values<T>(classes * classes, 0.5, 12);
  const std::vector<T> depth = random_values<T>(plane, 2.0, 13);
  std::vector<std::uint8_t> mask(plane, 1);
  for (std::int64_t i = plane / 2; i < plane; ++i) mask[i] = 0;
  using Order = std::shared_ptr<const crfrnn::PixelOrder>;
  const crfrnn::KernelFeatures<T> features{2.0, 3.0, depth.data(), 1, 0.7};
  const auto make = [&](const Order& order, std::int64_t) {
    return std::make_shared<const crfrnn::GaussianKernel<T>>(order, features, normalization, 2);
  };
  const auto run = [&](std::vector<T>* d_unary) {
    const crfrnn::KernelFieldInput<T> input{1,
                                            classes,
                                            height,
                                            width,
                                            unary.data(),
                                            unary.data(),
                                            mask.data(),
                                            {make},
                                            {weight.data()},
                                            weight.data(),
                                            1,
                                            crfrnn::Activation::kSoftmax};
    std::vector<T> out(size);
    const auto state = crfrnn::mean_field_forward<T>(input, 2, out.data(), true, 2);
    CHECK(state->kernels() == 1 && state->bytes() > 0);
    d_unary->resize(size);
    state->backward(out.data(), crfrnn::KernelFieldGradient<T>{d_unary->data(), nullptr, {nullptr}, nullptr},
                    2);
    return out;
  };
  std::vector<T> d_first, d_second;
  const std::vector<T> first = run(&d_first);
  for (std::int64_t i = 0; i < size; ++i) {
    if (mask[i % plane] == 0) unary[i] = std::numeric_limits<T>::quiet_NaN();
  }
  CHECK(run(&d_second) == first);
  CHECK(d_second == d_first);
  for (std::int64_t i = 0; i < size; ++i) {
    CHECK(mask[i % plane] != 0 ? std::isfinite(first[i]) : first[i] == 0 && d_first[i] == 0);
  }

  const auto kernel = make(crfrnn::pixel_order(height, width), 0);
  const std::vector<T> a = random_values<T>(size, 1.0, 14), b = random_values<T>(size, 1.0, 15);
  std::vector<T> ka(size), kb(size);
  kernel->filter(a.data(), ka.data(), classes, false, 2);
  kernel->filter(b.data(), kb.data(), classes, true, 2);
  double left = 0, right = 0, scale = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    left += double(ka[i]) * b[i];
    right += double(kb[i]) * a[i];
    scale += std::abs(double(ka[i]) * b[i]);
  }
  CHECK(std::abs(left - right) < (sizeof(T) == 4 ? 1e-5 : 1e-13) * scale);
}

}  // namespace

int main() {
  test_every_task_runs_once();
  test_many_short_regions();
  test_nested_and_concurrent_calls();
  test_exceptions_reach_the_caller();
#if !defined(__SANITIZE_THREAD__)
  test_fork();  // the thread sanitizer forbids threads in the child of a process with threads
#endif
  for (int dimension : {1, 2, 3, 5, 8, 16}) {
    test_lattice_is_consistent<float>(dimension, 2.0);
    test_lattice_is_consistent<double>(dimension, 100.0);
    test_blocks_are_consistent<float>(dimension);
    test_filter_is_independent_of_threads_and_transposed<float>(dimension);
    test_filter_is_independent_of_threads_and_transposed<double>(dimension);
  }
  test_packed_and_wide_keys_agree();
  test_bad_features();
  test_mean_field<float>(3, 1, 1);
  test_mean_field<float>(21, 41, 37);
  test_mean_field<float>(30, 20, 20);
  test_mean_field<double>(4, 33, 18);
  for (int n = 0; n < 4; ++n) {
    test_kernel_field<float>(static_cast<crfrnn::Normalization>(n));
    test_kernel_field<double>(static_cast<crfrnn::Normalization>(n));
  }
  if (failures == 0) std::puts("all tests of the core passed");
  return failures == 0 ? 0 : 1;
}
