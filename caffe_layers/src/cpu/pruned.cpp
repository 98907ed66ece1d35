#include "pruned.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>

#include "class_matrix.hpp"
#include "crfrnn/parallel.hpp"
#include "rows.hpp"
#include "settling.hpp"

namespace crfrnn {
namespace {

using Classes = std::vector<std::int64_t>;

constexpr std::int64_t kChunk = 2048;  // pixels, whose scores of all classes stay in the second-level cache
constexpr int kMaxima = 16;            // kept side by side, so that they are vectors

// The message matrices by set of parameters and kernel.
using Messages = std::vector<std::vector<Matrix>>;

template <typename T>
Messages messages_of(const Field<T>& field) {
  const std::int64_t size = field.classes * field.classes;
  Messages found(field.parameter_sets);
  for (int set = 0; set < field.parameter_sets; ++set) {
    for (const T* w : field.weights) {
      found[set].push_back(message_matrix(field.compatibility + set * size, w + set * size, field.classes));
    }
  }
  return found;
}

bool is_diagonal(const Messages& messages, std::int64_t classes) {
  for (const std::vector<Matrix>& set : messages) {
    for (const Matrix& m : set) {
      for (std::int64_t i = 0; i < classes * classes; ++i) {
        if (i % (classes + 1) != 0 && m[i] != 0) return false;
      }
    }
  }
  return true;
}

// The rows of `from` and columns of `to`, as a square matrix of from.size(), which is at least to.size().
template <typename T>
ClassMatrix<T> part(const Matrix& m, std::int64_t classes, const Classes& from, const Classes& to) {
  const std::int64_t n = static_cast<std::int64_t>(from.size());
  Matrix some(n * n, 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < to.size(); ++j) some[i * n + j] = m[from[i] * classes + to[j]];
  }
  return ClassMatrix<T>(some, n);
}

// Of every class: by how much it is below the highest score of a pixel, where it comes nearest.
template <typename T>
struct Census {
  bool numbers = true;  // no NaN, no infinity, and a score of every pixel is not -infinity
  std::vector<T> nearest;
};

template <typename T>
void lanes_max(const T* scores, const T* top, std::int64_t count, T* maxima) {
  std::int64_t i = 0;
  for (; i + kMaxima <= count; i += kMaxima) {
    for (int l = 0; l < kMaxima; ++l) {
      const T below = scores[i + l] - top[i + l];
      maxima[l] = maxima[l] < below ? below : maxima[l];
    }
  }
  for (; i < count; ++i) maxima[0] = std::max(maxima[0], scores[i] - top[i]);
}

template <typename T>
Census<T> census(const T* scores, std::int64_t classes, std::int64_t pixels, int threads) {
  constexpr T kLowest = -std::numeric_limits<T>::infinity();
  Census<T> found;
  found.nearest.assign(classes, kLowest);
  std::mutex mutex;
  parallel_ranges(threads, pixels, kChunk, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t count = end - begin;
    T top[kChunk];
    std::fill_n(top, count, kLowest);
    bool numbers = true;
    for (std::int64_t c = 0; c < classes; ++c) {
      const T* plane = scores + c * pixels + begin;
      int bad = 0;
      for (std::int64_t i = 0; i < count; ++i) {
        top[i] = top[i] < plane[i] ? plane[i] : top[i];
        bad |= !(plane[i] <= std::numeric_limits<T>::max());
      }
      numbers = numbers && !bad;
    }
    numbers = numbers && std::find(top, top + count, kLowest) == top + count;
    std::vector<T> nearest(classes, kLowest);
    for (std::int64_t c = 0; numbers && c < classes; ++c) {
      T maxima[kMaxima];
      std::fill_n(maxima, kMaxima, kLowest);
      lanes_max(scores + c * pixels + begin, top, count, maxima);
      nearest[c] = *std::max_element(maxima, maxima + kMaxima);
    }
    const std::lock_guard<std::mutex> lock(mutex);
    found.numbers = found.numbers && numbers;
    for (std::int64_t c = 0; c < classes; ++c) found.nearest[c] = std::max(found.nearest[c], nearest[c]);
  });
  return found;
}

template <typename T>
class Pruned {
 public:
  Pruned(const Field<T>& field, const PixelOrder& order, const std::vector<LatticeTerm<T>>& terms,
         const ImageArrays<T>& image, int threads)
      : field_(field),
        order_(order),
        terms_(terms),
        image_(image),
        threads_(threads),
        classes_(field.classes),
        plane_(field.pixels()),
        least_(static_cast<T>(std::log(field.min_probability))),
        messages_(messages_of(field)),
        diagonal_(is_diagonal(messages_, field.classes)),
        returns_(new std::atomic<bool>[field.classes]()),
        came_back_(field.classes, false),
        lift_(field.classes) {}

  int run() {
    if (field_.activation != Activation::kSoftmax || !(diagonal_ || are_means())) return 0;
    Census<T> found = census(image_.unary, classes_, plane_, threads_);
    std::vector<bool> alive(classes_, false);
    const auto take = [&](const Census<T>& seen) {
      for (std::int64_t c = 0; c < classes_; ++c) alive[c] = alive[c] || seen.nearest[c] >= least_;
    };
    if (!found.numbers) return 0;
    take(found);
    if (image_.q0 != image_.unary) {
      found = census(image_.q0, classes_, plane_, threads_);
      if (!found.numbers) return 0;
      take(found);
    }
    // A class that comes back does so from the first iteration on: it was wrong to leave it out.
    int iterations = 0;
    do {
      for (std::int64_t c = 0; c < classes_; ++c) {
        came_back_[c] = came_back_[c] || returns_[c].exchange(false);
        alive[c] = alive[c] || came_back_[c];
      }
      choose(alive);
      if (row_stride(size()) == row_stride(classes_)) return 0;
      iterations = iterate();
    } while (iterations == 0);
    return iterations;
  }

 private:
  std::int64_t size() const { return static_cast<std::int64_t>(active_.size()); }

  // Whether the filtered Q of no class is ever above 1, nor their sum.
  bool are_means() const {
    return std::all_of(field_.kernels.begin(), field_.kernels.end(), [](const FieldKernel<T>& kernel) {
      return !kernel.made && kernel.normalization == Normalization::kAfter;
    });
  }

  void choose(const std::vector<bool>& alive) {
    active_.clear();
    others_.clear();
    for (std::int64_t c = 0; c < classes_; ++c) (alive[c] ? active_ : others_).push_back(c);
    for (std::int64_t c = 0; c < classes_; ++c) lift_[c] = lift_of(c);
    rows_ = Buffer<T>(order_.points() * row_stride(size()));
    ceiling_ = Buffer<T>(order_.points());
    Buffer<T> high(plane_);
    parallel_ranges(threads_, plane_, kChunk, [&](std::int64_t begin, std::int64_t end) {
      std::fill(high.data() + begin, high.data() + end, -std::numeric_limits<T>::infinity());
      for (const std::int64_t c : others_) {
        const T* scores = image_.unary + c * plane_;
        const T lift = lift_[c];
        for (std::int64_t i = begin; i < end; ++i) {
          const T could = scores[i] + lift;
          high[i] = high[i] < could ? could : high[i];
        }
      }
    });
    parallel_ranges(threads_, order_.points(), kChunk, [&](std::int64_t begin, std::int64_t end) {
      to_rows(image_.unary, begin, end - begin, rows_.data() + begin * row_stride(size()));
      for (std::int64_t p = begin; p < end; ++p) ceiling_[p] = high[order_.pixel(p)];
    });
  }

  // The most that messages of the other classes can add to the scores of class c: filtered Qs are at most 1
  // together.
  T lift_of(std::int64_t c) const {
    double most = 0;
    for (const std::vector<Matrix>& set : messages_) {
      double sum = 0;
      for (const Matrix& m : set) {
        double highest = 0;
        for (const std::int64_t from : active_) {
          if (from != c) highest = std::max(highest, m[from * classes_ + c]);
        }
        sum += highest;
      }
      most = std::max(most, sum);
    }
    return static_cast<T>(most);
  }

  void to_rows(const T* planes, std::int64_t first, std::int64_t count, T* rows) const {
    const std::int64_t stride = row_stride(size());
    for (std::int64_t p = 0; p < count; ++p) {
      T* row = rows + p * stride;
      const T* from = planes + order_.pixel(first + p);
      for (std::int64_t j = 0; j < size(); ++j) row[j] = from[active_[j] * plane_];
      for (std::int64_t j = size(); j < stride; ++j) row[j] = -std::numeric_limits<T>::infinity();
    }
  }

  // What a pass reads until it is told others.
  const std::vector<ClassMatrix<T>>& matrices(int set, const Classes& to) {
    matrices_.clear();
    for (const Matrix& m : messages_[set]) matrices_.push_back(part<T>(m, classes_, active_, to));
    return matrices_;
  }

  // How many iterations it took to the end; 0 if returns_ says which classes were missing.
  int iterate() {
    auto pass = std::make_unique<LatticePass<T>>(terms_, size(), threads_);
    Settling<T> settling(field_.tolerance, order_.points() * row_stride(size()));
    int iterations = field_.iterations;
    pass->splat([&](std::int64_t first, std::int64_t count, T* rows) {
      const std::int64_t stride = row_stride(size());
      if (image_.q0 == image_.unary) {
        std::copy_n(rows_.data() + first * stride, count * stride, rows);
      } else {
        to_rows(image_.q0, first, count, rows);
      }
      row_ops<T>().softmax(rows, stride, count);
      settling.begin(first * stride, rows, count * stride);
    });
    for (int t = 0; t < iterations; ++t) {
      if (field_.between) field_.between();
      pass->blur(false);
      const int set = field_.set_of(t);
      if (t + 1 == iterations) {
        finish(*pass, set);
        break;
      }
      pass->mix(matrices(set, active_));
      if (!step(*pass, &settling)) return 0;
      if (settling.settled()) iterations = t + 2;
      if (Classes kept = still_alive();
          row_stride(static_cast<std::int64_t>(kept.size())) < row_stride(size())) {
        pass = narrow(*pass, kept, &settling);
      }
    }
    return iterations;
  }

  bool step(LatticePass<T>& pass, Settling<T>* settling) {
    const std::int64_t stride = row_stride(size());
    std::atomic<bool> missed{false};
    nearest_.assign(stride, -std::numeric_limits<T>::infinity());
    std::vector<T> lift(stride, T(0));
    for (std::int64_t j = 0; j < size(); ++j) lift[j] = lift_[active_[j]];
    std::mutex mutex;
    pass.step(rows_.data(), [&](std::int64_t first, std::int64_t count, T* rows) {
      std::vector<T> nearest(stride, -std::numeric_limits<T>::infinity()), tops(count);
      row_ops<T>().tops(rows, stride, count, tops.data());
      row_ops<T>().approach(
          {rows, rows_.data() + first * stride, lift.data(), tops.data(), stride, nearest.data()}, count);
      for (std::int64_t p = 0; p < count; ++p) {
        if (ceiling_[first + p] - tops[p] >= least_) {
          missed = true;
          mark(first + p, tops[p]);
        }
      }
      row_ops<T>().softmax(rows, stride, count);
      settling->next(first * stride, rows, count * stride);
      const std::lock_guard<std::mutex> lock(mutex);
      for (std::int64_t j = 0; j < stride; ++j) nearest_[j] = std::max(nearest_[j], nearest[j]);
    });
    return !missed;
  }

  void mark(std::int64_t point, T top) {
    const T* scores = image_.unary + order_.pixel(point);
    for (const std::int64_t c : others_) {
      if (scores[c * plane_] + lift_[c] - top >= least_) returns_[c] = true;
    }
  }

  // Places among the active classes of those whose probability matters, or could without their own messages;
  // one that came back stays.
  Classes still_alive() const {
    Classes kept;
    for (std::int64_t j = 0; j < size(); ++j) {
      if (nearest_[j] >= least_ || came_back_[active_[j]]) kept.push_back(j);
    }
    return kept;
  }

  // Leaves out all active classes but those at the places `kept`.
  std::unique_ptr<LatticePass<T>> narrow(const LatticePass<T>& pass, const Classes& kept,
                                         Settling<T>* settling) {
    const std::int64_t before = row_stride(size());
    std::vector<bool> stays(size(), false);
    for (const std::int64_t j : kept) stays[j] = true;
    parallel_ranges(threads_, order_.points(), kChunk, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t p = begin; p < end; ++p) {
        const T* from = rows_.data() + p * before;
        for (std::int64_t j = 0; j < size(); ++j) {
          if (!stays[j]) ceiling_[p] = std::max(ceiling_[p], from[j] + lift_[active_[j]]);
        }
      }
    });
    rows_ = selected(rows_, kept, -std::numeric_limits<T>::infinity());
    if (settling->watches()) settling->rows() = selected(settling->rows(), kept, T(0));
    Classes active;
    for (std::int64_t j = 0; j < size(); ++j) (stays[j] ? active : others_).push_back(active_[j]);
    active_ = std::move(active);
    return pass.selected(kept);
  }

  // Of rows of the active classes those at the places `kept`.
  Buffer<T> selected(const Buffer<T>& from, const Classes& kept, T padding) const {
    const std::int64_t before = row_stride(size());
    const std::int64_t after = row_stride(static_cast<std::int64_t>(kept.size()));
    Buffer<T> rows(order_.points() * after);
    parallel_ranges(threads_, order_.points(), kChunk, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t p = begin; p < end; ++p) {
        T* to = rows.data() + p * after;
        for (std::size_t j = 0; j < kept.size(); ++j) to[j] = from[p * before + kept[j]];
        std::fill(to + kept.size(), to + after, padding);
      }
    });
    return rows;
  }

  // The last iteration's scores: of the active classes, then of the others what the active ones tell them.
  void finish(LatticePass<T>& pass, int set) {
    order_.clear_others(classes_, image_.top);
    typename LatticePass<T>::VertexRows blurred;
    pass.mix(matrices(set, active_), diagonal_ ? nullptr : &blurred);
    const std::int64_t stride = row_stride(size());
    pass.slice(rows_.data(), [&](std::int64_t first, std::int64_t count, T* rows) {
      for (std::int64_t p = 0; p < count; ++p) {
        T* to = image_.top + order_.pixel(first + p);
        for (std::int64_t j = 0; j < size(); ++j) to[active_[j] * plane_] = rows[p * stride + j];
      }
    });
    for (std::size_t done = 0; done < others_.size(); done += active_.size()) {
      const std::size_t end = std::min(others_.size(), done + active_.size());
      const Classes some(others_.begin() + done, others_.begin() + end);
      if (diagonal_) {
        copy(some);
        continue;
      }
      pass.restore(blurred);
      pass.mix(matrices(set, some));
      pass.slice(nullptr, [&](std::int64_t first, std::int64_t count, T* rows) {
        for (std::int64_t p = 0; p < count; ++p) {
          const std::int64_t pixel = order_.pixel(first + p);
          for (std::size_t j = 0; j < some.size(); ++j) {
            const std::int64_t at = some[j] * plane_ + pixel;
            image_.top[at] = image_.unary[at] + rows[p * stride + j];
          }
        }
      });
    }
  }

  void copy(const Classes& some) const {
    for (const std::int64_t c : some) {
      const T* from = image_.unary + c * plane_;
      T* to = image_.top + c * plane_;
      if (order_.points() == plane_) {
        std::copy_n(from, plane_, to);
      } else {
        for (std::int64_t p = 0; p < order_.points(); ++p) to[order_.pixel(p)] = from[order_.pixel(p)];
      }
    }
  }

  const Field<T>& field_;
  const PixelOrder& order_;
  const std::vector<LatticeTerm<T>>& terms_;
  const ImageArrays<T> image_;
  const int threads_;
  const std::int64_t classes_, plane_;
  const T least_;  // logarithm of the probability that matters
  const Messages messages_;
  const bool diagonal_;                           // classes send messages to themselves alone
  std::unique_ptr<std::atomic<bool>[]> returns_;  // of every class: whether it was missed
  std::vector<bool> came_back_;                   // and whether that was so in an earlier attempt
  std::vector<ClassMatrix<T>> matrices_;
  Classes active_, others_;
  std::vector<T> lift_;     // of every class
  Buffer<T> rows_;          // unary scores of the active classes: points x stride
  Buffer<T> ceiling_;       // of every point: no score of another class is above this
  std::vector<T> nearest_;  // of every active class: by how much it is below the highest score at most
};

}  // namespace

template <typename T>
int pruned_forward(const Field<T>& field, const PixelOrder& order, const std::vector<LatticeTerm<T>>& terms,
                   const ImageArrays<T>& image, int threads) {
  return Pruned<T>(field, order, terms, image, threads).run();
}

template int pruned_forward(const Field<float>&, const PixelOrder&, const std::vector<LatticeTerm<float>>&,
                            const ImageArrays<float>&, int);
template int pruned_forward(const Field<double>&, const PixelOrder&, const std::vector<LatticeTerm<double>>&,
                            const ImageArrays<double>&, int);

}  // namespace crfrnn
