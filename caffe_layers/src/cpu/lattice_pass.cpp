#include "lattice_pass.hpp"

#include <algorithm>

namespace crfrnn {
namespace {

// Points that are sliced, changed and splatted together if a row is one group: their rows stay in the
// first-level cache. Rows of several groups go by whole blocks, group after group.
constexpr std::int64_t kPartPoints = 64;

// Vertices whose rows of several groups are brought together to be mixed.
constexpr std::int64_t kMixRows = 64;

// Runs body(job, begin, end) over ranges of the items of all jobs in one parallel region, since every region
// ends with all threads waiting for the slowest.
template <typename Job, typename Body>
void parallel_jobs(int threads, const std::vector<Job>& jobs, const Body& body) {
  std::vector<std::int64_t> first_task{0};
  for (const Job& job : jobs) {
    first_task.push_back(first_task.back() + (job.items + kVertexGrain - 1) / kVertexGrain);
  }
  parallel_for(threads, first_task.back(), [&](std::int64_t task) {
    std::size_t i = 0;
    while (task >= first_task[i + 1]) ++i;
    const std::int64_t begin = (task - first_task[i]) * kVertexGrain;
    body(jobs[i], begin, std::min(jobs[i].items, begin + kVertexGrain));
  });
}

}  // namespace

template <typename T>
LatticePass<T>::LatticePass(std::vector<LatticeTerm<T>> terms, std::int64_t channels, int threads)
    : terms_(std::move(terms)),
      mixing_(terms_.size()),
      channels_(channels),
      stride_(row_stride(channels)),
      groups_(group_count(stride_)),
      threads_(threads),
      rows_(terms_.size()),
      next_(terms_.size()) {}

template <typename T>
void LatticePass<T>::run(bool slices, const T* start, const Body& change, bool splats) {
  if (splats) {
    for (std::size_t k = 0; k < terms_.size(); ++k) {
      if (!next_[k].size()) next_[k] = Buffer<T>(terms_[k].lattice->places() * stride_);
    }
  }
  const std::vector<LatticeBlock>& blocks = terms_[0].lattice->blocks();
  const std::int64_t part = groups_ == 1 ? kPartPoints : blocks[0].points;
  parallel_for(threads_, static_cast<std::int64_t>(blocks.size()), [&](std::int64_t i) {
    Scratch scratch = take_scratch(part);
    const std::int64_t end = blocks[i].first_point + blocks[i].points;
    for (std::int64_t first = blocks[i].first_point; first < end; first += part) {
      const std::int64_t count = std::min(part, end - first);
      const bool begins = first == blocks[i].first_point;
      if (slices) {
        const T* base = start ? start + first * stride_ : nullptr;
        for (std::size_t k = 0; k < terms_.size(); ++k) {
          slice_points(k, terms_[k].lattice->blocks()[i], first, count, base, begins, &scratch);
          base = scratch.rows.data();
        }
      }
      change(first, count, scratch.rows.data());
      if (!splats) continue;
      for (std::size_t k = 0; k < terms_.size(); ++k) {
        splat_points(k, terms_[k].lattice->blocks()[i], first, count, begins, scratch.rows.data());
      }
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(scratch));
  });
  if (!splats) return;
  std::swap(rows_, next_);
  merge_shared();
}

template <typename T>
typename LatticePass<T>::Scratch LatticePass<T>::take_scratch(std::int64_t points) {
  Scratch scratch;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!idle_.empty()) {
      scratch = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (scratch.rows.size() == 0) scratch.rows = Buffer<T>(points * stride_);
  const bool mixes = std::any_of(mixing_.begin(), mixing_.end(), [](const Mixing& m) { return m.matrix; });
  if (mixes && scratch.mixed.size() == 0) {
    scratch.unmixed = Buffer<T>(points * stride_);
    scratch.mixed = Buffer<T>(points * stride_);
  }
  return scratch;
}

template <typename T>
SimplexArgs<T> LatticePass<T>::simplices(std::size_t term, std::int64_t first, std::int64_t count,
                                         std::int64_t group) const {
  const PermutohedralLattice<T>& lattice = *terms_[term].lattice;
  SimplexArgs<T> args{};
  args.corner = lattice.corner() + first * lattice.corners();
  args.weight = lattice.barycentric() + first * lattice.corners();
  args.corners = lattice.corners();
  args.count = count;
  args.width = group_width(stride_, group);
  args.stride = stride_;
  return args;
}

// scratch.rows = base + the term. base is null, or scratch.rows itself.
template <typename T>
void LatticePass<T>::slice_points(std::size_t k, const LatticeBlock& block, std::int64_t first,
                                  std::int64_t count, const T* base, bool begins, Scratch* scratch) {
  const LatticeTerm<T>& term = terms_[k];
  T* rows = scratch->rows.data();
  const T* matrix = mixing_[k].matrix;
  T* out = matrix ? scratch->unmixed.data() : rows;
  for (std::int64_t g = 0; g < groups_; ++g) {
    SimplexArgs<T> args = simplices(k, first, count, g);
    args.scale = term.slice_scale ? term.slice_scale + first : nullptr;
    args.gain = term.slice_gain;
    args.factor = mixing_[k].factor ? mixing_[k].factor + g * kGroup : nullptr;
    T* vertex_rows = group_rows(rows_, k, g);
    if (begins) {
      T* ghosts = vertex_rows + (term.lattice->vertices() + block.first_shared) * args.width;
      const std::int32_t* shared = term.lattice->shared().data() + block.first_shared;
      row_ops<T>().gather({vertex_rows, shared, block.shares, args.width, ghosts});
    }
    const T* from = base && !matrix ? base + g * kGroup : nullptr;
    row_ops<T>().slice(args, vertex_rows, from, out + g * kGroup);
  }
  if (!matrix) return;
  T* mixed = base ? scratch->mixed.data() : rows;
  for (std::int64_t g = 0; g < groups_; ++g) {
    row_ops<T>().mix({scratch->unmixed.data(), stride_, matrix + g * kGroup, stride_, channels_,
                      mixed + g * kGroup, stride_, group_width(stride_, g)},
                     0, count);
  }
  if (!base) return;
  if (base != rows) std::copy_n(base, count * stride_, rows);
  row_ops<T>().add(mixed, rows, stride_, count);
}

template <typename T>
void LatticePass<T>::splat_points(std::size_t k, const LatticeBlock& block, std::int64_t first,
                                  std::int64_t count, bool begins, const T* points) {
  const LatticeTerm<T>& term = terms_[k];
  for (std::int64_t g = 0; g < groups_; ++g) {
    SimplexArgs<T> args = simplices(k, first, count, g);
    args.scale = term.splat_scale ? term.splat_scale + first : nullptr;
    args.gain = 1;
    T* vertex_rows = group_rows(next_, k, g);
    if (begins) {
      std::fill_n(vertex_rows + block.first_vertex * args.width, block.own * args.width, T(0));
      std::fill_n(vertex_rows + (term.lattice->vertices() + block.first_shared) * args.width,
                  block.shares * args.width, T(0));
    }
    row_ops<T>().splat(args, points + g * kGroup, vertex_rows);
  }
}

template <typename T>
void LatticePass<T>::merge_shared() {
  struct Job {
    std::int64_t items;
    MergeArgs<T> args;
  };
  std::vector<Job> jobs;
  for (std::size_t k = 0; k < terms_.size(); ++k) {
    const PermutohedralLattice<T>& lattice = *terms_[k].lattice;
    for (std::int64_t g = 0; g < groups_; ++g) {
      T* rows = group_rows(rows_, k, g);
      const std::int64_t width = group_width(stride_, g);
      jobs.push_back({static_cast<std::int64_t>(lattice.shared_vertices().size()) - 1,
                      {lattice.shared_vertices().data(), lattice.shared_place().data(),
                       rows + lattice.vertices() * width, rows, width}});
    }
  }
  parallel_jobs(threads_, jobs, [](const Job& job, std::int64_t begin, std::int64_t end) {
    row_ops<T>().merge(job.args, begin, end);
  });
}

template <typename T>
void LatticePass<T>::blur(bool reverse) {
  struct Job {
    std::int64_t items;
    const BlurAxis<T>* axis;
    T* rows;
    std::int64_t width;
  };
  int most = 0;
  for (const LatticeTerm<T>& term : terms_) most = std::max(most, term.lattice->corners());
  for (int step = 0; step < most; ++step) {
    std::vector<Job> jobs;
    for (std::size_t k = 0; k < terms_.size(); ++k) {
      const PermutohedralLattice<T>& lattice = *terms_[k].lattice;
      if (step >= lattice.corners()) continue;
      const BlurAxis<T>& axis = lattice.axes()[reverse ? lattice.corners() - 1 - step : step];
      for (std::int64_t g = 0; g < groups_; ++g) {
        jobs.push_back({axis.size(), &axis, group_rows(rows_, k, g), group_width(stride_, g)});
      }
    }
    parallel_jobs(threads_, jobs, [](const Job& job, std::int64_t begin, std::int64_t end) {
      row_ops<T>().blur({job.axis->order.data(), job.axis->link.data(), job.rows, job.width},
                        chain_start(*job.axis, begin), chain_start(*job.axis, end));
    });
  }
}

template <typename T>
void LatticePass<T>::mix(const std::vector<ClassMatrix<T>>& matrices, VertexRows* keep) {
  struct Job {
    std::int64_t items;  // vertices
    std::size_t term;
    T* kept;          // null: the rows are not kept
    const T* matrix;  // null: the rows stay as they are
  };
  if (keep) keep->clear();
  std::vector<Job> jobs;
  for (std::size_t k = 0; k < terms_.size(); ++k) {
    const PermutohedralLattice<T>& lattice = *terms_[k].lattice;
    mixing_[k] = {};
    Job job{lattice.vertices(), k, nullptr, nullptr};
    if (matrices[k].diagonal()) {
      mixing_[k].factor = matrices[k].diagonal();
    } else if (lattice.vertices() > lattice.points()) {
      mixing_[k].matrix = matrices[k].data();
    } else {
      job.matrix = matrices[k].data();
    }
    if (keep) {
      keep->emplace_back(lattice.vertices() * stride_);
      job.kept = keep->back().data();
    }
    if (job.kept || job.matrix) jobs.push_back(job);
  }
  parallel_jobs(threads_, jobs, [&](const Job& job, std::int64_t begin, std::int64_t end) {
    if (job.kept) copy_vertices(job.term, begin, end, job.kept);
    if (job.matrix) mix_vertices(job.term, begin, end, job.matrix);
  });
}

template <typename T>
void LatticePass<T>::copy_vertices(std::size_t term, std::int64_t begin, std::int64_t end, T* to) const {
  const std::int64_t vertices = terms_[term].lattice->vertices();
  for (std::int64_t g = 0; g < groups_; ++g) {
    const std::int64_t width = group_width(stride_, g);
    std::copy_n(group_rows(rows_, term, g) + begin * width, (end - begin) * width,
                to + g * kGroup * vertices + begin * width);
  }
}

template <typename T>
void LatticePass<T>::restore(const VertexRows& kept) {
  for (std::size_t k = 0; k < terms_.size(); ++k) {
    const std::int64_t vertices = terms_[k].lattice->vertices();
    for (std::int64_t g = 0; g < groups_; ++g) {
      const std::int64_t width = group_width(stride_, g);
      const T* from = kept[k].data() + g * kGroup * vertices;
      T* to = group_rows(rows_, k, g);
      parallel_ranges(threads_, vertices, kVertexGrain, [&](std::int64_t begin, std::int64_t end) {
        std::copy_n(from + begin * width, (end - begin) * width, to + begin * width);
      });
    }
  }
}

template <typename T>
std::unique_ptr<LatticePass<T>> LatticePass<T>::selected(const std::vector<std::int64_t>& channels) const {
  auto made = std::make_unique<LatticePass<T>>(terms_, static_cast<std::int64_t>(channels.size()), threads_);
  for (std::size_t k = 0; k < terms_.size(); ++k) {
    const PermutohedralLattice<T>& lattice = *terms_[k].lattice;
    made->rows_[k] = Buffer<T>(lattice.places() * made->stride_);
    parallel_ranges(threads_, lattice.vertices(), kVertexGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t j = 0; j < made->stride_; ++j) {
        const std::int64_t group = j / kGroup, width = group_width(made->stride_, group);
        T* to = made->group_rows(made->rows_, k, group) + j % kGroup;
        if (j >= made->channels_) {
          for (std::int64_t v = begin; v < end; ++v) to[v * width] = T(0);
          continue;
        }
        const std::int64_t from_group = channels[j] / kGroup, from_width = group_width(stride_, from_group);
        const T* from = group_rows(rows_, k, from_group) + channels[j] % kGroup;
        for (std::int64_t v = begin; v < end; ++v) to[v * width] = from[v * from_width];
      }
    });
  }
  return made;
}

template <typename T>
void LatticePass<T>::mix_vertices(std::size_t term, std::int64_t begin, std::int64_t end, const T* matrix) {
  if (groups_ == 1) {
    T* rows = rows_[term].data();
    row_ops<T>().mix({rows, stride_, matrix, stride_, channels_, rows, stride_, stride_}, begin, end);
    return;
  }
  Buffer<T> unmixed(kMixRows * stride_);
  for (std::int64_t first = begin; first < end; first += kMixRows) {
    const std::int64_t count = std::min(kMixRows, end - first);
    for (std::int64_t g = 0; g < groups_; ++g) {
      const std::int64_t width = group_width(stride_, g);
      const T* rows = group_rows(rows_, term, g) + first * width;
      for (std::int64_t v = 0; v < count; ++v) {
        std::copy_n(rows + v * width, width, unmixed.data() + v * stride_ + g * kGroup);
      }
    }
    for (std::int64_t g = 0; g < groups_; ++g) {
      const std::int64_t width = group_width(stride_, g);
      row_ops<T>().mix({unmixed.data(), stride_, matrix + g * kGroup, stride_, channels_,
                        group_rows(rows_, term, g) + first * width, width, width},
                       0, count);
    }
  }
}

template <typename T>
void LatticePass<T>::add_outer_products(const VertexRows& x, std::vector<std::vector<double>>* sums) const {
  constexpr std::int64_t kChunk = 4 * kVertexGrain;
  for (std::size_t k = 0; k < terms_.size(); ++k) {
    const std::int64_t vertices = terms_[k].lattice->vertices();
    const std::int64_t chunks = (vertices + kChunk - 1) / kChunk;
    Buffer<T> parts(chunks * channels_ * stride_);
    parallel_ranges(threads_, vertices, kChunk, [&](std::int64_t begin, std::int64_t end) {
      T* part = parts.data() + begin / kChunk * channels_ * stride_;
      std::fill_n(part, channels_ * stride_, T(0));
      for (std::int64_t gy = 0; gy < groups_; ++gy) {
        for (std::int64_t gx = 0; gx < groups_; ++gx) {
          const std::int64_t first = gy * kGroup;
          row_ops<T>().outer({group_rows(rows_, k, gy), group_width(stride_, gy),
                              std::min(kGroup, channels_ - first), x[k].data() + gx * kGroup * vertices,
                              group_width(stride_, gx), part + first * stride_ + gx * kGroup, stride_},
                             begin, end);
        }
      }
    });
    for (std::int64_t i = 0; i < chunks; ++i) {
      for (std::int64_t r = 0; r < channels_; ++r) {
        for (std::int64_t c = 0; c < channels_; ++c) {
          (*sums)[k][r * channels_ + c] += parts[(i * channels_ + r) * stride_ + c];
        }
      }
    }
  }
}

template class LatticePass<float>;
template class LatticePass<double>;

}  // namespace crfrnn
