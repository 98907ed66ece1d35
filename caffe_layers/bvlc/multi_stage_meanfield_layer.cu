// The layer in GPU mode, over the core in device memory; on Caffe's default stream.
#include <stdexcept>
#include <string>
#include <utility>

#include "crfrnn/cuda/mean_field.hpp"
#include "multi_stage_meanfield_layer.hpp"

namespace crfrnn {
namespace {

// Where a blob's values are in device memory.
struct GpuData {
  template <typename Dtype>
  const Dtype* operator()(const ::caffe::Blob<Dtype>& blob) const {
    return blob.gpu_data();
  }
};

void check_status(const std::int32_t* status, std::int64_t batch) {
  for (std::int64_t n = 0; n < batch; ++n) {
    if (status[n] == cuda::kFine) continue;
    throw std::invalid_argument("image " + std::to_string(n) + " of the batch has " +
                                (status[n] == cuda::kNotFinite
                                     ? "values that are not finite."
                                     : "values that are too large for its thetas."));
  }
}

}  // namespace

template <typename Dtype>
void MultiStageMeanfieldLayer<Dtype>::forward_on_device(const Blobs& bottom, Dtype* top, bool keep_state) {
  device_state_.reset();  // before the next one takes as much memory
  const Field<Dtype> field = field_of(bottom, GpuData());
  const cuda::Memory memory = cuda::forward_memory(field, keep_state);
  std::unique_ptr<::caffe::SyncedMemory> state;
  if (keep_state) state.reset(new ::caffe::SyncedMemory(memory.state));
  ::caffe::SyncedMemory workspace(memory.workspace), status(field.batch * sizeof(std::int32_t));
  cuda::mean_field_forward(field, top, static_cast<std::int32_t*>(status.mutable_gpu_data()),
                           state ? state->mutable_gpu_data() : nullptr, workspace.mutable_gpu_data(),
                           nullptr);
  check_status(static_cast<const std::int32_t*>(status.cpu_data()), field.batch);
  device_state_ = std::move(state);
}

template <typename Dtype>
void MultiStageMeanfieldLayer<Dtype>::Forward_gpu(const Blobs& bottom, const Blobs& top) {
  if (options_.force_cpu) return Forward_cpu(bottom, top);
  run([&] { forward_on_device(bottom, top[0]->mutable_gpu_data(), this->phase_ == ::caffe::TRAIN); });
}

template <typename Dtype>
void MultiStageMeanfieldLayer<Dtype>::Backward_gpu(const Blobs& top, const std::vector<bool>& propagate_down,
                                                   const Blobs& bottom) {
  if (options_.force_cpu) return Backward_cpu(top, propagate_down, bottom);
  run([&] {
    if (!device_state_) {
      ::caffe::Blob<Dtype> scores(top[0]->shape());
      forward_on_device(bottom, scores.mutable_gpu_data(), true);
    }
    const Field<Dtype> field = field_of(bottom, GpuData());
    const int count = this->blobs_[0]->count();
    ::caffe::Blob<Dtype> scratch(std::vector<int>{3, count});
    const auto parameter = [&](int i) {
      return this->param_propagate_down(i) ? scratch.mutable_gpu_data() + i * count : nullptr;
    };
    FieldGradient<Dtype> gradient;
    if (propagate_down[0]) gradient.unary = bottom[0]->mutable_gpu_diff();
    if (propagate_down[1]) gradient.q0 = bottom[1]->mutable_gpu_diff();
    gradient.weights = {parameter(0), parameter(1)};
    gradient.compatibility = parameter(2);
    const bool weights = parameter(0) || parameter(1) || parameter(2);
    ::caffe::SyncedMemory workspace(cuda::backward_memory(field, weights));
    cuda::mean_field_backward(field, device_state_->gpu_data(), top[0]->gpu_diff(), gradient,
                              workspace.mutable_gpu_data(), nullptr);
    for (int i = 0; i < 3; ++i) {
      if (parameter(i)) {
        ::caffe::caffe_gpu_axpy(count, Dtype(1), parameter(i), this->blobs_[i]->mutable_gpu_diff());
      }
    }
  });
  if (propagate_down[2]) ::caffe::caffe_gpu_set(bottom[2]->count(), Dtype(0), bottom[2]->mutable_gpu_diff());
}

template void MultiStageMeanfieldLayer<float>::Forward_gpu(const Blobs&, const Blobs&);
template void MultiStageMeanfieldLayer<double>::Forward_gpu(const Blobs&, const Blobs&);
template void MultiStageMeanfieldLayer<float>::Backward_gpu(const Blobs&, const std::vector<bool>&,
                                                            const Blobs&);
template void MultiStageMeanfieldLayer<double>::Backward_gpu(const Blobs&, const std::vector<bool>&,
                                                             const Blobs&);

}  // namespace crfrnn
