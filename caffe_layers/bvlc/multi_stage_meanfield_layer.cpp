#include "multi_stage_meanfield_layer.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <thread>

namespace crfrnn {
namespace {

// As many as the BLAS of Caffe uses, if that was said, else all processors. Results do not depend on it.
int thread_count() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  const int wanted = text ? std::atoi(text) : 0;
  return wanted > 0 ? wanted : std::max(1u, std::thread::hardware_concurrency());
}

template <typename Dtype>
std::string shape_of(const ::caffe::Blob<Dtype>& blob) {
  std::string text;
  for (int size : blob.shape()) text += (text.empty() ? "(" : ", ") + std::to_string(size);
  return text + ")";
}

}  // namespace

template <typename Dtype>
void MultiStageMeanfieldLayer<Dtype>::run(const std::function<void()>& step) const {
  try {
    step();
  } catch (const std::exception& error) {
    LOG(FATAL) << "layer '" << this->layer_param_.name() << "': " << error.what();
  }
}

template <typename Dtype>
void MultiStageMeanfieldLayer<Dtype>::LayerSetUp(const Blobs& bottom, const Blobs& /*top*/) {
  run([&] {
    if (bottom[0]->num_axes() != 4) {
      throw std::invalid_argument(bottom_name(0) + " must be N x C x H x W, not " + shape_of(*bottom[0]) +
                                  ".");
    }
    const int classes = bottom[0]->shape(1);
    options_ = read_options(this->layer_param_, classes);
    this->param_propagate_down_.resize(3, true);
    if (!this->blobs_.empty()) return;  // the parameters came with the layer's definition
    this->blobs_.resize(3);
    set_start(0, options_.spatial);
    set_start(1, options_.bilateral);
    set_start(2, std::vector<double>(classes, -1));
  });
}

template <typename Dtype>
void MultiStageMeanfieldLayer<Dtype>::set_start(int blob, const std::vector<double>& diagonal) {
  const int classes = static_cast<int>(diagonal.size());
  this->blobs_[blob].reset(new ::caffe::Blob<Dtype>(1, 1, classes, classes));
  Dtype* values = this->blobs_[blob]->mutable_cpu_data();
  std::fill_n(values, this->blobs_[blob]->count(), Dtype(0));
  for (int c = 0; c < classes; ++c) values[c * classes + c] = static_cast<Dtype>(diagonal[c]);
}

template <typename Dtype>
void MultiStageMeanfieldLayer<Dtype>::Reshape(const Blobs& bottom, const Blobs& top) {
  run([&] { check_bottoms(bottom); });
  top[0]->ReshapeLike(*bottom[0]);
}

template <typename Dtype>
void MultiStageMeanfieldLayer<Dtype>::check_bottoms(const Blobs& bottom) const {
  const std::vector<int>& unary = bottom[0]->shape();
  const std::vector<int>& image = bottom[2]->shape();
  if (unary != bottom[1]->shape()) {
    throw std::invalid_argument(bottom_name(1) + " has shape " + shape_of(*bottom[1]) + ", the unary " +
                                bottom_name(0) + " " + shape_of(*bottom[0]) + "; they must agree.");
  }
  if (image.size() != 4 || image[0] != unary[0] || image[2] != unary[2] || image[3] != unary[3]) {
    throw std::invalid_argument("image " + bottom_name(2) + " has shape " + shape_of(*bottom[2]) +
                                ", but the unary " + bottom_name(0) + " has " + shape_of(*bottom[0]) +
                                ": number, height and width must agree. Crop or resize one to the other.");
  }
  for (const auto& blob : this->blobs_) {
    if (blob->shape() != std::vector<int>{1, 1, unary[1], unary[1]}) {
      throw std::invalid_argument("the unary " + bottom_name(0) + " has " + std::to_string(unary[1]) +
                                  " classes, the parameters have shape " + shape_of(*blob) + ".");
    }
  }
}

template <typename Dtype>
std::string MultiStageMeanfieldLayer<Dtype>::bottom_name(int index) const {
  const auto& names = this->layer_param_.bottom();
  return "bottom " + (index < names.size() ? "'" + names.Get(index) + "'" : std::to_string(index));
}

template <typename Dtype>
std::unique_ptr<MeanFieldState<Dtype>> MultiStageMeanfieldLayer<Dtype>::forward(const Blobs& bottom,
                                                                                Dtype* top,
                                                                                bool keep_state) const {
  const auto field = field_of(bottom, [](const ::caffe::Blob<Dtype>& blob) { return blob.cpu_data(); });
  return mean_field_forward(field, top, keep_state, thread_count());
}

template <typename Dtype>
void MultiStageMeanfieldLayer<Dtype>::Forward_cpu(const Blobs& bottom, const Blobs& top) {
  state_.reset();  // before the next one takes as much memory
  run([&] { state_ = forward(bottom, top[0]->mutable_cpu_data(), this->phase_ == ::caffe::TRAIN); });
}

template <typename Dtype>
void MultiStageMeanfieldLayer<Dtype>::Backward_cpu(const Blobs& top, const std::vector<bool>& propagate_down,
                                                   const Blobs& bottom) {
  run([&] {
    if (!state_) state_ = forward(bottom, std::vector<Dtype>(top[0]->count()).data(), true);
    const int count = this->blobs_[0]->count();
    std::vector<Dtype> scratch(3 * count);
    const auto parameter = [&](int i) {
      return this->param_propagate_down(i) ? scratch.data() + i * count : nullptr;
    };
    FieldGradient<Dtype> gradient;
    if (propagate_down[0]) gradient.unary = bottom[0]->mutable_cpu_diff();
    if (propagate_down[1]) gradient.q0 = bottom[1]->mutable_cpu_diff();
    gradient.weights = {parameter(0), parameter(1)};
    gradient.compatibility = parameter(2);
    state_->backward(top[0]->cpu_diff(), gradient, thread_count());
    for (int i = 0; i < 3; ++i) {
      if (!parameter(i)) continue;
      Dtype* diff = this->blobs_[i]->mutable_cpu_diff();
      std::transform(diff, diff + count, parameter(i), diff, std::plus<Dtype>());
    }
  });
  if (propagate_down[2]) std::fill_n(bottom[2]->mutable_cpu_diff(), bottom[2]->count(), Dtype(0));
}

template class MultiStageMeanfieldLayer<float>;
template class MultiStageMeanfieldLayer<double>;

}  // namespace crfrnn
