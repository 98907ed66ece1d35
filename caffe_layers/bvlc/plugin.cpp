// libcrfrnn_caffe.so, which LD_PRELOAD or dlopen brings into a process: finds the Caffe there, checks that
// the layer was compiled for it, and has the layer registered.
//
// Itself it needs nothing of Caffe, so that it always loads and can say what does not fit. The layer is the
// library libcrfrnn_caffe_layer.so beside it, which takes Caffe's symbols from the process.
#include <dlfcn.h>
#include <errno.h>
#include <link.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>

namespace {

using Error = std::runtime_error;

constexpr char kLayerLibrary[] = "libcrfrnn_caffe_layer.so";
// The type information of caffe::LayerParameter, which every libcaffe.so has.
constexpr char kMark[] = "_ZTIN5caffe14LayerParameterE";

bool caffe_is_global() { return dlsym(RTLD_DEFAULT, kMark) != nullptr; }

std::string path_of(const void* address) {
  Dl_info info;
  return dladdr(address, &info) && info.dli_fname ? info.dli_fname : "";
}

// Path of the libcaffe.so that somebody loaded for himself alone, as Python does with its modules.
std::string private_caffe() {
  std::string found;
  dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t, void* result) {
        const std::string path = object->dlpi_name;
        const std::string name = path.substr(path.rfind('/') + 1);
        if (name.rfind("libcaffe.so", 0) != 0 && name.rfind("libcaffe-", 0) != 0) return 0;
        *static_cast<std::string*>(result) = path;
        return 1;
      },
      &found);
  return found;
}

// Preloaded, we are in every program that the shell starts.
bool is_preloaded() {
  const char* preloaded = std::getenv("LD_PRELOAD");
  return preloaded && std::strstr(preloaded, "libcrfrnn_caffe");
}

bool is_python() { return dlsym(RTLD_DEFAULT, "Py_IsInitialized") != nullptr; }

void load_globally(const std::string& path, int more_flags) {
  if (!dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL | more_flags)) throw Error(dlerror());
}

// Makes Caffe's symbols those of the process; false where the process is none of Caffe's business.
bool provide_caffe() {
  if (caffe_is_global()) return true;
  const std::string loaded = private_caffe();
  if (!loaded.empty()) {
    load_globally(loaded, RTLD_NOLOAD);
  } else if (is_python() || !is_preloaded()) {
    load_globally(CRFRNN_LIBCAFFE, 0);
  } else if (std::strstr(program_invocation_short_name, "caffe")) {
    throw Error(
        "this program does not use a libcaffe.so: Caffe's code is inside it, where no plugin reaches it. " +
        std::string("Link it with libcaffe.so (Caffe's own build files do so since 2016)."));
  }
  return caffe_is_global();
}

std::size_t symbol_size(void* library, const char* name) {
  const void* address = dlsym(library, name);
  Dl_info info;
  const ElfW(Sym)* symbol = nullptr;
  const bool found = address && dladdr1(address, &info, (void**)&symbol, RTLD_DL_SYMENT) && symbol;
  return found ? symbol->st_size : 0;
}

// The table of virtual functions of a layer that adds none: its size tells how many Caffe's Layer has.
void check_layer_class(void* layer_library) {
  const std::size_t theirs = symbol_size(RTLD_DEFAULT, "_ZTVN5caffe10SplitLayerIfEE");
  const std::size_t ours = symbol_size(layer_library, "_ZTVN6crfrnn24MultiStageMeanfieldLayerIfEE");
  if (theirs && theirs != ours) throw Error("its class Layer has other functions than the headers");
}

void register_layer() {
  const std::string own = path_of(reinterpret_cast<const void*>(&register_layer));
  const std::string path = own.substr(0, own.rfind('/') + 1) + kLayerLibrary;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw Error(dlerror());
  check_layer_class(library);
  const auto enter = reinterpret_cast<const char* (*)()>(dlsym(library, "crfrnn_register_layer"));
  if (!enter) throw Error(dlerror());
  if (const char* reason = enter()) throw Error(reason);
}

void explain(const std::string& reason) {
  const void* caffe = dlsym(RTLD_DEFAULT, kMark);
  std::cerr << "crfrnn: the layer MultiStageMeanfield was not registered: " << reason << "\n";
  if (caffe) {
    std::cerr << "crfrnn: the plugin was compiled for " CRFRNN_LIBCAFFE ", this process uses "
              << path_of(caffe)
              << ". Compile it for that one: make caffe-plugin CAFFE_ROOT=<folder of that Caffe>\n";
  }
  std::cerr << "crfrnn: see docs/tutorials/plugin.md\n";
}

__attribute__((constructor)) void start() {
  try {
    if (provide_caffe()) register_layer();
  } catch (const std::exception& error) {
    explain(error.what());
  }
}

}  // namespace
