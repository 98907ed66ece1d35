#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "crfrnn/field.hpp"
#include "testing.hpp"

TEST(the_two_kernels_of_an_image) {
  const std::vector<float> image(3 * 20);
  const auto kernels = crfrnn::image_kernels(image.data(), 3, {8, 15, 2});
  CHECK(kernels.size() == 2);
  CHECK(kernels[0].features.theta_x == 2 && kernels[0].features.theta_y == 2);
  CHECK(kernels[0].features.values == nullptr && kernels[0].features.dimension() == 2);
  CHECK(kernels[1].features.theta_x == 8 && kernels[1].features.theta_y == 8 &&
        kernels[1].features.theta == 15);
  CHECK(kernels[1].features.values == image.data() && kernels[1].features.dimension() == 5);
  for (const auto& kernel : kernels) {
    CHECK(!kernel.shared && kernel.normalization == crfrnn::Normalization::kAfter);
  }
}

TEST(what_is_wrong_with_an_image_or_its_thetas_is_said) {
  const std::vector<float> image(20);
  const auto message = [&](std::int64_t channels, const crfrnn::Thetas& thetas) {
    return testing::message_of([&] { crfrnn::image_kernels(image.data(), channels, thetas); });
  };
  CHECK(message(1, {1, 1, 1}).empty());
  CHECK(message(0, {1, 1, 1}) == "the image has 0 channels, 1 to 30 are supported");
  CHECK(testing::contains(message(31, {1, 1, 1}), "31 channels"));
  CHECK(message(1, {-1, 1, 1}) == "theta_alpha must be finite and greater than 0, got -1.000000");
  CHECK(testing::contains(message(1, {1, NAN, 1}), "theta_beta"));
  CHECK(testing::contains(message(1, {1, 1, INFINITY}), "theta_gamma"));
}

TEST(iterations_share_parameters_or_have_their_own) {
  crfrnn::FieldShape shape;
  shape.iterations = 3;
  CHECK(shape.set_of(0) == 0 && shape.set_of(2) == 0);
  shape.parameter_sets = 3;
  CHECK(shape.set_of(0) == 0 && shape.set_of(2) == 2);
  CHECK(testing::message_of([] { crfrnn::check_iterations(3, 3); }).empty());
  CHECK(testing::contains(testing::message_of([] { crfrnn::check_iterations(0, 1); }), "at least 1, got 0"));
  CHECK(testing::contains(testing::message_of([] { crfrnn::check_iterations(3, 2); }),
                          "2 sets of parameters, but 3"));
}
