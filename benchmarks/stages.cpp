// Where one mean-field iteration on the CPU spends its time: built by `make bench-stages`, run by
// benchmarks/bench_stages.py, which writes the image and prints the table.
//
// Arguments: an image (channels x height x width, float32), its sizes, the number of classes, threads, and
// the deviations theta_alpha, theta_beta, theta_gamma. Prints a line "name milliseconds" for every stage, the
// best of some runs.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "class_matrix.hpp"
#include "crfrnn/gaussian_kernel.hpp"
#include "crfrnn/parallel.hpp"
#include "lattice_pass.hpp"
#include "pixel_rows.hpp"
#include "rows.hpp"

namespace {

using crfrnn::LatticeTerm;

constexpr int kRuns = 9;

double best_of(const std::function<void()>& body, int runs = kRuns) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count());
  }
  return best;
}

void tell(const std::string& what, double number) { std::printf("%s %.3f\n", what.c_str(), number); }

std::vector<float> read(const char* path, std::size_t count) {
  std::vector<float> values(count);
  std::FILE* file = std::fopen(path, "rb");
  if (!file || std::fread(values.data(), sizeof(float), count, file) != count) {
    std::fprintf(stderr, "cannot read %zu numbers from %s\n", count, path);
    std::exit(1);
  }
  std::fclose(file);
  return values;
}

// The stages of an iteration with these kernels, `name` before what they are called.
void stages(const std::string& name, const std::vector<LatticeTerm<float>>& terms, std::int64_t classes,
            int threads) {
  const std::int64_t stride = crfrnn::row_stride(classes);
  const std::int64_t points = terms[0].lattice->points();
  crfrnn::Buffer<float> start(points * stride);
  for (std::int64_t i = 0; i < points * stride; ++i) start[i] = float(i % 97) * 0.05f;
  const auto nothing = [](std::int64_t, std::int64_t, float*) {};
  const auto copy = [&](std::int64_t first, std::int64_t count, float* rows) {
    std::copy_n(start.data() + first * stride, count * stride, rows);
  };
  crfrnn::LatticePass<float> pass(terms, classes, threads);
  pass.splat(copy);
  const crfrnn::Matrix identity = [&] {
    crfrnn::Matrix m(classes * classes, 0.0);
    for (std::int64_t c = 0; c < classes; ++c) m[c * classes + c] = 1.0;
    return m;
  }();
  std::vector<crfrnn::ClassMatrix<float>> matrices;
  for (std::size_t k = 0; k < terms.size(); ++k) matrices.emplace_back(identity, classes);
  pass.mix(matrices);
  tell(name + "blur", best_of([&] { pass.blur(false); }));
  tell(name + "slice", best_of([&] { pass.slice(start.data(), nothing); }));
  tell(name + "slice,splat", best_of([&] { pass.step(start.data(), nothing); }));
  const auto soften = [&](std::int64_t, std::int64_t count, float* rows) {
    crfrnn::row_ops<float>().softmax(rows, stride, count);
  };
  tell(name + "slice,soft-max,splat", best_of([&] { pass.step(start.data(), soften); }));
}

// The loops that a pass calls for one kernel, each by itself over all blocks.
void loops(const std::string& name, const LatticeTerm<float>& term, std::int64_t classes, int threads) {
  const crfrnn::PermutohedralLattice<float>& lattice = *term.lattice;
  const crfrnn::RowOps<float>& ops = crfrnn::row_ops<float>();
  const std::int64_t stride = crfrnn::row_stride(classes), part = 64;
  crfrnn::Buffer<float> rows(lattice.places() * stride), scratch(64 * stride * threads * 64);
  std::fill_n(rows.data(), lattice.places() * stride, 0.5f);
  std::fill_n(scratch.data(), 64 * stride, 0.5f);
  const auto over_blocks = [&](const auto& body) {
    return best_of([&] {
      const auto& blocks = lattice.blocks();
      crfrnn::parallel_for(threads, std::int64_t(blocks.size()), [&](std::int64_t i) { body(blocks[i]); });
    });
  };
  const auto over_parts = [&](const auto& body) {
    return over_blocks([&](const crfrnn::LatticeBlock& block) {
      std::vector<float> own(part * stride, 0.5f);
      for (std::int64_t p = 0; p < block.points; p += part) {
        const std::int64_t first = block.first_point + p;
        crfrnn::SimplexArgs<float> args{};
        args.corner = lattice.corner() + first * lattice.corners();
        args.weight = lattice.barycentric() + first * lattice.corners();
        args.corners = lattice.corners();
        args.count = std::min(part, block.points - p);
        args.width = args.stride = stride;
        args.gain = 1;
        body(args, own.data());
      }
    });
  };
  tell(name + "gather", over_blocks([&](const crfrnn::LatticeBlock& block) {
         ops.gather({rows.data(), lattice.shared().data() + block.first_shared, block.shares, stride,
                     rows.data() + (lattice.vertices() + block.first_shared) * stride});
       }));
  tell(name + "slice-alone",
       over_parts([&](const auto& args, float* own) { ops.slice(args, rows.data(), nullptr, own); }));
  tell(name + "fill", over_blocks([&](const crfrnn::LatticeBlock& block) {
         std::fill_n(rows.data() + block.first_vertex * stride, block.own * stride, 0.0f);
         std::fill_n(rows.data() + (lattice.vertices() + block.first_shared) * stride, block.shares * stride,
                     0.0f);
       }));
  tell(name + "splat-alone",
       over_parts([&](const auto& args, float* own) { ops.splat(args, own, rows.data()); }));
  const std::int64_t shared = std::int64_t(lattice.shared_vertices().size()) - 1;
  tell(name + "merge", best_of([&] {
         crfrnn::parallel_ranges(threads, shared, 1024, [&](std::int64_t begin, std::int64_t end) {
           ops.merge({lattice.shared_vertices().data(), lattice.shared_place().data(),
                      rows.data() + lattice.vertices() * stride, rows.data(), stride},
                     begin, end);
         });
       }));
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 10) {
    std::fprintf(stderr, "stages IMAGE CHANNELS HEIGHT WIDTH CLASSES THREADS ALPHA BETA GAMMA\n");
    return 2;
  }
  const std::int64_t channels = std::atoll(arguments[2]), height = std::atoll(arguments[3]),
                     width = std::atoll(arguments[4]), classes = std::atoll(arguments[5]);
  const int threads = std::atoi(arguments[6]);
  const std::vector<float> image = read(arguments[1], channels * height * width);
  crfrnn::KernelFeatures<float> near, alike;
  near.theta_x = near.theta_y = std::atof(arguments[9]);
  alike.theta_x = alike.theta_y = std::atof(arguments[7]);
  alike.theta = std::atof(arguments[8]);
  alike.values = image.data();
  alike.channels = channels;
  const auto order = crfrnn::pixel_order(height, width);
  const auto normalization = crfrnn::Normalization::kAfter;
  const crfrnn::GaussianKernel<float> spatial(order, near, normalization, threads);
  const crfrnn::GaussianKernel<float> bilateral(order, alike, normalization, threads);
  tell("isa-" + std::string(crfrnn::row_ops<float>().isa), 0);
  for (const auto* kernel : {&spatial, &bilateral}) {
    const std::string name = kernel == &spatial ? "spatial-" : "bilateral-";
    const auto& lattice = kernel->lattice();
    tell(name + "vertices", double(lattice.vertices()));
    tell(name + "places", double(lattice.places()));
    double links = 0;
    for (const auto& axis : lattice.axes()) links += double(axis.size());
    tell(name + "links", links);
  }
  tell("order", best_of([&] { crfrnn::pixel_order(height, width); }));
  tell("bilateral-kernel",
       best_of([&] { const crfrnn::GaussianKernel<float> made(order, alike, normalization, threads); }));
  tell("bilateral-ones", best_of([&] { bilateral.lattice().ones_response(threads); }));
  const std::int64_t stride = crfrnn::row_stride(classes);
  crfrnn::Buffer<float> planes(classes * height * width), rows(order->points() * stride);
  std::fill_n(planes.data(), classes * height * width, 0.5f);
  tell("to-rows", best_of([&] {
         crfrnn::parallel_ranges(threads, order->points(), 1024, [&](std::int64_t begin, std::int64_t end) {
           order->to_rows(planes.data(), classes, 0.0f, begin, end - begin, rows.data() + begin * stride);
         });
       }));
  tell("to-planes", best_of([&] {
         crfrnn::parallel_ranges(threads, order->points(), 1024, [&](std::int64_t begin, std::int64_t end) {
           order->to_planes(rows.data() + begin * stride, classes, begin, end - begin, planes.data());
         });
       }));
  const auto term = [](const crfrnn::GaussianKernel<float>& kernel) {
    return LatticeTerm<float>{&kernel.lattice(), kernel.before(), kernel.after(), 1.0f};
  };
  if (stride <= crfrnn::kGroup) {
    loops("spatial-", term(spatial), classes, threads);
    loops("bilateral-", term(bilateral), classes, threads);
  }
  stages("spatial-", {term(spatial)}, classes, threads);
  stages("bilateral-", {term(bilateral)}, classes, threads);
  stages("", {term(spatial), term(bilateral)}, classes, threads);
  return 0;
}
