// The paper's CRF-RNN as a layer of genuine Caffe, over the same core as everywhere else.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "caffe_headers.hpp"
#include "crfrnn/mean_field.hpp"
#include "options.hpp"

namespace crfrnn {

// Mean-field inference of a fully connected CRF, unrolled num_iterations times (S. Zheng et al. 2015, section
// 4; the formulas are in crfrnn/mean_field.hpp).
//
// Bottoms: unary (N x C x H x W, scores before softmax), Q0 (N x C x H x W, scores whose softmax starts the
// first iteration), image (N x K x H x W, the colours that the bilateral kernel compares). Top: refined
// scores (N x C x H x W), not soft-maxed. Parameters, each 1 x 1 x C x C: spatial kernel weights, bilateral
// kernel weights, compatibility (starts as minus identity, the Potts model). Gradients go to unary, Q0 and
// the parameters; the image gets none. Sizes and batch may change between calls.
//
// Options: see read_options. What is wrong with them, or with a bottom, ends the process in Caffe's manner,
// with a message that names the layer.
template <typename Dtype>
class MultiStageMeanfieldLayer : public ::caffe::Layer<Dtype> {
 public:
  using Blobs = std::vector<::caffe::Blob<Dtype>*>;

  explicit MultiStageMeanfieldLayer(const ::caffe::LayerParameter& param) : ::caffe::Layer<Dtype>(param) {}

  void LayerSetUp(const Blobs& bottom, const Blobs& top) override;
  void Reshape(const Blobs& bottom, const Blobs& top) override;

  const char* type() const override { return "MultiStageMeanfield"; }
  int ExactNumBottomBlobs() const override { return 3; }
  int ExactNumTopBlobs() const override { return 1; }
  bool AllowForceBackward(const int bottom_index) const override { return bottom_index != 2; }

 protected:
  void Forward_cpu(const Blobs& bottom, const Blobs& top) override;
  void Backward_cpu(const Blobs& top, const std::vector<bool>& propagate_down, const Blobs& bottom) override;
#ifdef CRFRNN_BVLC_CUDA
  void Forward_gpu(const Blobs& bottom, const Blobs& top) override;
  void Backward_gpu(const Blobs& top, const std::vector<bool>& propagate_down, const Blobs& bottom) override;
#endif

 private:
  // Runs `step`; what it throws becomes Caffe's own kind of error.
  void run(const std::function<void()>& step) const;
  void set_start(int blob, const std::vector<double>& diagonal);
  void check_bottoms(const Blobs& bottom) const;
  std::string bottom_name(int index) const;
  // The field of a call; data(blob) is where the values of a blob are, in whichever memory.
  template <typename Data>
  Field<Dtype> field_of(const Blobs& bottom, const Data& data) const {
    const std::vector<int>& shape = bottom[0]->shape();
    Field<Dtype> field;
    field.batch = shape[0];
    field.classes = shape[1];
    field.height = shape[2];
    field.width = shape[3];
    field.iterations = options_.num_iterations;
    field.unary = data(*bottom[0]);
    field.q0 = data(*bottom[1]);
    field.kernels = image_kernels(data(*bottom[2]), bottom[2]->shape(1), options_.thetas);
    field.weights = {data(*this->blobs_[0]), data(*this->blobs_[1])};
    field.compatibility = data(*this->blobs_[2]);
    return field;
  }
  std::unique_ptr<MeanFieldState<Dtype>> forward(const Blobs& bottom, Dtype* top, bool keep_state) const;

  Options options_;
  // Of the last forward pass, for the backward pass. In phase TEST few ask for gradients: it is null, and
  // Backward_cpu runs forward again.
  std::unique_ptr<MeanFieldState<Dtype>> state_;

#ifdef CRFRNN_BVLC_CUDA
  void forward_on_device(const Blobs& bottom, Dtype* top, bool keep_state);

  // state_ in device memory.
  std::unique_ptr<::caffe::SyncedMemory> device_state_;
#endif
};

}  // namespace crfrnn
