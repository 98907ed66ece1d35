// Enters the layer into Caffe's registry, when plugin.cpp has found the Caffe to enter it into.
#include <iostream>
#include <string>

#include "multi_stage_meanfield_layer.hpp"

namespace crfrnn {
namespace {

constexpr char kType[] = "MultiStageMeanfield";
// The same layer. A Caffe without the plugin says "Unknown layer type: " and this, so that its user knows
// what to do; `crfasrnn model stock` writes it.
constexpr char kSpeakingType[] =
    "MultiStageMeanfield of libcrfrnn_caffe.so (load it with LD_PRELOAD, see docs/tutorials/plugin.md)";

template <typename Dtype>
::caffe::shared_ptr<::caffe::Layer<Dtype>> create(const ::caffe::LayerParameter& param) {
  return ::caffe::shared_ptr<::caffe::Layer<Dtype>>(new MultiStageMeanfieldLayer<Dtype>(param));
}

// True where Caffe had a layer of that name. Not through Caffe's registerer, which would abort then.
template <typename Dtype>
bool enter() {
  auto& registry = ::caffe::LayerRegistry<Dtype>::Registry();
  const bool taken = registry.count(kType) > 0;
  registry[kType] = registry[kSpeakingType] = create<Dtype>;
  return taken;
}

// Of the object as the loaded library lays it out, where the compiled headers say sizeof(LayerParameter).
std::size_t size_of_layer_parameter() {
  const auto& message = ::caffe::LayerParameter::default_instance();
#if GOOGLE_PROTOBUF_VERSION < 3004000
  return message.SpaceUsed();
#else
  return message.SpaceUsedLong();
#endif
}

}  // namespace
}  // namespace crfrnn

// Null, or why this Caffe is not the one that the layer was compiled for.
extern "C" const char* crfrnn_register_layer() {
  static const std::size_t size = crfrnn::size_of_layer_parameter();
  if (size != sizeof(::caffe::LayerParameter)) {
    static const std::string reason = "its schema differs: LayerParameter takes " + std::to_string(size) +
                                      " bytes there and " + std::to_string(sizeof(::caffe::LayerParameter)) +
                                      " in the headers";
    return reason.c_str();
  }
  const bool taken = crfrnn::enter<float>();
  if (crfrnn::enter<double>() || taken) {
    std::cerr << "crfrnn: replaced the layer type " << crfrnn::kType << " that this Caffe had.\n";
  }
  return nullptr;
}
