// Tests of the layer inside genuine Caffe, with the plugin preloaded: test_layer 'OPTIONS', where OPTIONS is
// what stands in the layer's definition, such as python_param { param_str: "..." }.
//
// In double, every element of every gradient against a central difference; accumulation of the parameters'
// gradients; what propagate_down leaves alone; and phase TEST, which keeps nothing for the backward pass.
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "caffe_headers.hpp"

namespace {

using Blob = caffe::Blob<double>;

constexpr int kBatch = 2, kClasses = 3, kColours = 3, kHeight = 5, kWidth = 6;
constexpr double kStep = 1e-5, kTolerance = 1e-7;

int failures = 0;

void check(bool condition, const std::string& what) {
  std::printf("%s %s\n", condition ? "ok    " : "FAILED", what.c_str());
  failures += !condition;
}

void fill(Blob* blob, double deviation, std::mt19937* generator) {
  std::normal_distribution<double> normal(0, deviation);
  std::generate_n(blob->mutable_cpu_data(), blob->count(), [&] { return normal(*generator); });
}

std::vector<double> diff_of(const Blob& blob) { return {blob.cpu_diff(), blob.cpu_diff() + blob.count()}; }

double largest(const std::vector<double>& values) {
  double result = 0;
  for (double value : values) result = std::max(result, std::abs(value));
  return result;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b, double factor = 1) {
  double result = 0;
  for (std::size_t i = 0; i < a.size(); ++i) result = std::max(result, std::abs(a[i] - factor * b[i]));
  return result;
}

// A layer from Caffe's registry with random bottoms, full matrices, and the objective sum(weight * top).
struct Example {
  Example(const std::string& options, const std::string& phase) {
    caffe::LayerParameter param;
    const std::string text = "name: 'crf' type: 'MultiStageMeanfield' phase: " + phase + " " + options;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &param)) << text;
    layer = caffe::LayerRegistry<double>::CreateLayer(param);
    std::mt19937 generator(1);
    fill(&unary, 1, &generator);
    fill(&q0, 1, &generator);
    fill(&image, 20, &generator);
    layer->SetUp(bottoms, tops);
    for (const auto& blob : layer->blobs()) {
      Blob noise(blob->shape());
      fill(&noise, 0.3, &generator);
      caffe::caffe_axpy(blob->count(), 1.0, noise.cpu_data(), blob->mutable_cpu_data());
    }
    weight.Reshape(top.shape());
    fill(&weight, 1, &generator);
  }

  double objective() {
    layer->Forward(bottoms, tops);
    return caffe::caffe_cpu_dot(top.count(), top.cpu_data(), weight.cpu_data());
  }

  void backward(const std::vector<bool>& propagate_down) {
    std::copy_n(weight.cpu_data(), top.count(), top.mutable_cpu_diff());
    layer->Backward(tops, propagate_down, bottoms);
  }

  void clear_diffs() {
    for (const auto& blob : layer->blobs()) std::fill_n(blob->mutable_cpu_diff(), blob->count(), 0.0);
  }

  Blob unary{kBatch, kClasses, kHeight, kWidth};
  Blob q0{kBatch, kClasses, kHeight, kWidth};
  Blob image{kBatch, kColours, kHeight, kWidth};
  Blob top, weight;
  std::vector<Blob*> bottoms{&unary, &q0, &image}, tops{&top};
  boost::shared_ptr<caffe::Layer<double>> layer;
};

std::vector<double> central_differences(Example* example, Blob* blob) {
  std::vector<double> result(blob->count());
  for (int i = 0; i < blob->count(); ++i) {
    const double value = blob->cpu_data()[i];
    blob->mutable_cpu_data()[i] = value + kStep;
    const double above = example->objective();
    blob->mutable_cpu_data()[i] = value - kStep;
    const double below = example->objective();
    blob->mutable_cpu_data()[i] = value;
    result[i] = (above - below) / (2 * kStep);
  }
  return result;
}

void check_gradient(const char* name, const std::vector<double>& gradient, const std::vector<double>& truth) {
  const double error = largest_difference(gradient, truth) / largest(truth);
  check(largest(truth) > 1e-3 && error < kTolerance,
        std::string("gradient of ") + name + ": relative error " + std::to_string(error * 1e9) + "e-9");
}

void test_gradients(const std::string& options) {
  Example example(options, "TRAIN");
  const auto& parameters = example.layer->blobs();
  std::vector<std::pair<const char*, Blob*>> inputs{{"unary", &example.unary}, {"Q0", &example.q0}};
  const char* names[] = {"spatial weights", "bilateral weights", "compatibility"};
  for (int i = 0; i < 3; ++i) inputs.emplace_back(names[i], parameters[i].get());

  example.objective();
  example.clear_diffs();
  example.backward({true, true, false});
  std::vector<std::vector<double>> gradients;
  for (const auto& input : inputs) gradients.push_back(diff_of(*input.second));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check_gradient(inputs[i].first, gradients[i], central_differences(&example, inputs[i].second));
  }

  example.objective();
  example.backward({true, true, false});
  for (int i = 0; i < 3; ++i) {
    check(largest_difference(diff_of(*parameters[i]), gradients[i + 2], 2) < 1e-12,
          std::string("two passes add up: ") + names[i]);
  }
  check(diff_of(example.unary) == gradients[0], "two passes do not add up: unary");

  std::fill_n(example.unary.mutable_cpu_diff(), example.unary.count(), 7.0);
  example.layer->set_param_propagate_down(1, false);
  const std::vector<double> before = diff_of(*parameters[1]);
  example.backward({false, true, false});
  check(largest_difference(diff_of(example.unary), std::vector<double>(example.unary.count(), 7)) == 0,
        "no gradient for a bottom that wants none");
  check(diff_of(*parameters[1]) == before, "no gradient for a parameter that wants none");
  check(diff_of(example.q0) == gradients[1], "the others keep theirs");
}

void test_backward_in_phase_test(const std::string& options) {
  Example train(options, "TRAIN"), test(options, "TEST");
  for (Example* example : {&train, &test}) {
    example->clear_diffs();
    example->objective();
    example->backward({true, true, false});
  }
  check(largest_difference(diff_of(train.unary), diff_of(test.unary)) < 1e-12, "gradients in phase TEST");
}

void test_sizes_may_change(const std::string& options) {
  Example example(options, "TRAIN");
  for (const std::vector<int>& shape : {std::vector<int>{1, kClasses, 9, 4}, {3, kClasses, 1, 1}}) {
    std::mt19937 generator(2);
    for (Blob* blob : example.bottoms) {
      blob->Reshape(shape);
      fill(blob, 1, &generator);
    }
    example.layer->Forward(example.bottoms, example.tops);
    check(example.top.shape() == shape && std::isfinite(example.top.asum_data()),
          "another size: " + example.top.shape_string());
  }
}

}  // namespace

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  CHECK_EQ(argc, 2) << "usage: test_layer 'OPTIONS'";
  const std::string options = argv[1];
  test_gradients(options);
  test_backward_in_phase_test(options);
  test_sizes_may_change(options);
  return failures != 0;
}
