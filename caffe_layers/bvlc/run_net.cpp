// One forward and one backward pass of a net in genuine Caffe: run_net NET.prototxt TRAIN|TEST FOLDER
//
// Before, arrays are read from FOLDER where there are such: KIND.BLOB with KIND data or diff, and
// data.LAYER.I for parameter I. Afterwards all of them are written there. Files hold the float32 values
// alone.
#include <fstream>
#include <string>

#include "caffe/net.hpp"
#include "caffe_headers.hpp"

namespace {

std::string folder;

void read(const std::string& name, int count, float* values) {
  std::ifstream file(folder + "/" + name, std::ios::binary);
  if (!file) return;
  CHECK(file.read(reinterpret_cast<char*>(values), count * sizeof(float))) << name << " is too short";
}

void write(const std::string& name, int count, const float* values) {
  std::ofstream file(folder + "/" + name, std::ios::binary);
  CHECK(file.write(reinterpret_cast<const char*>(values), count * sizeof(float))) << name;
}

template <typename Visit>
void for_each_blob(const caffe::Net<float>& net, const Visit& visit) {
  for (const std::string& name : net.blob_names()) visit(name, net.blob_by_name(name).get());
  for (std::size_t i = 0; i < net.layers().size(); ++i) {
    const auto& parameters = net.layers()[i]->blobs();
    for (std::size_t j = 0; j < parameters.size(); ++j) {
      visit(net.layer_names()[i] + "." + std::to_string(j), parameters[j].get());
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  CHECK_EQ(argc, 4) << "usage: run_net NET.prototxt TRAIN|TEST FOLDER";
  folder = argv[3];
  caffe::Net<float> net(argv[1], argv[2] == std::string("TRAIN") ? caffe::TRAIN : caffe::TEST);
  net.ClearParamDiffs();
  for_each_blob(net, [](const std::string& name, caffe::Blob<float>* blob) {
    read("data." + name, blob->count(), blob->mutable_cpu_data());
  });
  net.Forward();
  for_each_blob(net, [](const std::string& name, caffe::Blob<float>* blob) {
    read("diff." + name, blob->count(), blob->mutable_cpu_diff());
  });
  net.Backward();
  for_each_blob(net, [](const std::string& name, caffe::Blob<float>* blob) {
    write("data." + name, blob->count(), blob->cpu_data());
    write("diff." + name, blob->count(), blob->cpu_diff());
  });
}
