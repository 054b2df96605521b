// 3×3 convolution and its weight gradient by Winograd's F(4×4, 3×3), for CPUs.
//
// What `ops/winograd.py` does, with transforms and products of a block of tiles in the
// caches. Images are (n, h, w, c) float32, kernels (3, 3, i, o); stride 1, zero padding
// of 1. Where there is a gate, values whose gate is not positive count as zero: that is
// the gradient of ReLU.
//
// Arrays of a block hold 36 matrices, one per position of a transformed tile. A matrix
// with the output channels as columns is cut into panels of up to four vectors, which
// lie one after the other, so that the inner loops read consecutive memory.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <type_traits>
#include <vector>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "threads.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using Array = ffi::Buffer<ffi::F32>;

namespace {

#if defined(__AVX512F__)
constexpr int64_t kLanes = 16;
constexpr int64_t kMaxWidth = 4;
#elif defined(__AVX__)
constexpr int64_t kLanes = 8;
constexpr int64_t kMaxWidth = 2;
#else
constexpr int64_t kLanes = 4;
constexpr int64_t kMaxWidth = 2;
#endif

// Unaligned vectors.
typedef float Vector
    __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));

constexpr int64_t kTile = 4;              // outputs per side of a tile
constexpr int64_t kSide = kTile + 2;      // inputs per side
constexpr int64_t kPlaces = kSide * kSide;
constexpr int64_t kRows = 24;             // tiles of a block are a multiple of this
constexpr int64_t kLine = 16;             // elements of a line of the cache
constexpr int64_t kStrip = kLanes == 16 ? 48 : 24;  // channels of a strip
constexpr int64_t kBlockBytes = 1 << 20;  // transformed inputs and outputs of a block
constexpr int64_t kAhead = 128;           // elements that are fetched before their turn
constexpr int64_t kDepth = 256;           // channels that are multiplied at a time
constexpr int64_t kSumsBytes = 8 << 20;   // of sums that each thread has for itself
constexpr int64_t kKernelBytes = 8 << 20;  // of a transformed kernel for many tiles
// Larger results bypass the caches, which then need not read them first.
constexpr int64_t kStreamedBytes = 4 << 20;

// Points of the algorithm are 0, ±p, ±q and infinity, see `ops/winograd.py`.
constexpr float p = 0.75f, q = 1.5f;
constexpr float pp = p * p, qq = q * q;

// Rows of a product that are summed in registers, for each width in vectors.
constexpr int64_t rows_of(int64_t width) {
  if (kMaxWidth == 4) return width == 4 ? 6 : width == 3 ? 8 : 12;
  return width == 2 ? 6 : 12;
}

static_assert(kStrip % kLanes == 0 && kStrip % kRows == 0,
              "a strip has whole vectors and whole blocks of rows");

// Channels, rounded up to vectors and cut into panels.
struct Channels {
  int64_t count, vectors, padded;
  struct Panel {
    int64_t first, width;  // in vectors
  };
  std::vector<Panel> panels;
  std::vector<int32_t> panel_of;  // of a vector

  explicit Channels(int64_t channels)
      : count(channels),
        vectors((channels + kLanes - 1) / kLanes),
        padded(vectors * kLanes) {
    const int64_t parts = (vectors + kMaxWidth - 1) / kMaxWidth;
    for (int64_t k = 0, first = 0; k < parts; ++k) {
      const int64_t width = (vectors - first + parts - k - 1) / (parts - k);
      panels.push_back({first, width});
      panel_of.insert(panel_of.end(), width, k);
      first += width;
    }
  }
};

// Matrices with a row of channels for each tile, for products that sum over channels.
struct Lines {
  const Channels& channels;
  int64_t rows, stride;
  int64_t together;  // vectors of channels that lie side by side

  Lines(const Channels& channels, int64_t rows)
      : channels(channels),
        rows(rows),
        // One line more than a large power of two: the same channels of all rows would
        // otherwise compete for few places of the cache.
        stride(channels.padded % (32 * kLine) ? channels.padded
                                              : channels.padded + kLine),
        together(channels.vectors) {}

  // Elements of a matrix. One line more than needed: the 36 matrices of a block would
  // otherwise compete, too.
  int64_t size() const { return rows * stride + kLanes; }
  int64_t at(int64_t tile, int64_t v) const { return tile * stride + v * kLanes; }
};

// The same matrices for products that sum over tiles: kStrip channels of all tiles, then
// the next ones.
struct Strips {
  static constexpr int64_t kVectors = kStrip / kLanes;
  const Channels& channels;
  int64_t rows, together = kVectors;

  Strips(const Channels& channels, int64_t rows) : channels(channels), rows(rows) {}

  int64_t length() const { return rows * kStrip; }
  // The products read all channels of the last strip.
  int64_t size() const {
    return (channels.vectors + kVectors - 1) / kVectors * length() + kLanes;
  }
  int64_t at(int64_t tile, int64_t v) const {
    return v / kVectors * length() + tile * kStrip + v % kVectors * kLanes;
  }
};

// Whole panels of channels as the columns of matrices, one behind the other.
struct Matrices {
  const Channels& channels;
  int64_t rows, first, last;  // the vectors [first, last) of the channels

  // All channels.
  Matrices(const Channels& channels, int64_t rows)
      : channels(channels), rows(rows), first(0), last(channels.vectors) {}
  // Those of the panels [from, until).
  Matrices(const Channels& channels, int64_t rows, int64_t from, int64_t until)
      : channels(channels),
        rows(rows),
        first(channels.panels[from].first),
        last(channels.panels[until - 1].first + channels.panels[until - 1].width) {}

  // Elements of a matrix. One line more than needed, see `Lines::size`.
  int64_t size() const { return rows * (last - first) * kLanes + kLanes; }

  // Where vector `v` of the channels lies in row `row`.
  int64_t at(int64_t row, int64_t v) const {
    const auto& panel = channels.panels[channels.panel_of[v]];
    return kLanes *
           ((panel.first - first) * rows + row * panel.width + v - panel.first);
  }
};

// Aligned memory that is kept for the next convolution, since the system clears each page
// that it gives anew. As many pieces are kept as were in use at a time.
class Memory {
 public:
  // At least `count` elements, of any value.
  explicit Memory(int64_t count) {
    {
      std::lock_guard<std::mutex> lock(mutex());
      std::vector<Piece>& pieces = kept();
      // The smallest that suffices, or else the largest, which is replaced.
      auto found = std::find_if(pieces.begin(), pieces.end(),
                                [=](const Piece& piece) { return piece.count >= count; });
      if (found == pieces.end() && !pieces.empty()) --found;
      if (found != pieces.end()) {
        piece_ = std::move(*found);
        pieces.erase(found);
      }
    }
    if (piece_.count >= count) return;
    piece_.data.reset();
    const size_t bytes = count * sizeof(float);
    piece_.data.reset(static_cast<float*>(::operator new(bytes, kAlignment)));
    std::fill_n(piece_.data.get(), count, 0.0f);
    piece_.count = count;
  }

  ~Memory() {
    std::lock_guard<std::mutex> lock(mutex());
    std::vector<Piece>& pieces = kept();
    const auto larger = std::find_if(
        pieces.begin(), pieces.end(),
        [this](const Piece& piece) { return piece.count >= piece_.count; });
    pieces.insert(larger, std::move(piece_));
  }

  Memory(const Memory&) = delete;
  float* get() { return piece_.data.get(); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Delete {
    void operator()(float* data) const { ::operator delete(data, kAlignment); }
  };
  struct Piece {
    std::unique_ptr<float, Delete> data;
    int64_t count = 0;
  };
  // Never destroyed: threads of XLA may end after this library.
  static std::mutex& mutex() {
    static auto* const only = new std::mutex;
    return *only;
  }
  static std::vector<Piece>& kept() {  // by size
    static auto* const only = new std::vector<Piece>;
    return *only;
  }

  Piece piece_;
};

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<Vector*>(to) = value; }

// The first `count` lanes.
inline Vector load(const float* from, int64_t count) {
  if (count >= kLanes) return load(from);
  float lanes[kLanes] = {};
  std::memcpy(lanes, from, count * sizeof(float));
  return load(lanes);
}
inline void store(float* to, Vector value, int64_t count) {
  if (count >= kLanes) return store(to, value);
  std::memcpy(to, &value, count * sizeof(float));
}

// Past the caches if `streamed` and the CPU can.
inline void store(float* to, Vector value, int64_t count, bool streamed) {
#if defined(__AVX512F__)
  if (streamed && count >= kLanes && reinterpret_cast<uintptr_t>(to) % 64 == 0) {
    return _mm512_stream_ps(to, (__m512)value);
  }
#endif
  store(to, value, count);
}

// --- transforms in one dimension: B^T, G, A^T, A and G^T ------------------------------

inline void of_inputs(const Vector* x, Vector* y) {
  const Vector even_p = x[4] - qq * x[2], odd_p = p * x[3] - (p * qq) * x[1];
  const Vector even_q = x[4] - pp * x[2], odd_q = q * x[3] - (q * pp) * x[1];
  y[0] = (pp * qq) * x[0] - (pp + qq) * x[2] + x[4];
  y[1] = even_p + odd_p;
  y[2] = even_p - odd_p;
  y[3] = even_q + odd_q;
  y[4] = even_q - odd_q;
  y[5] = (pp * qq) * x[1] - (pp + qq) * x[3] + x[5];
}

inline void of_outputs(const Vector* x, Vector* y) {
  const Vector even_p = x[1] + x[2], odd_p = x[1] - x[2];
  const Vector even_q = x[3] + x[4], odd_q = x[3] - x[4];
  y[0] = x[0] + even_p + even_q;
  y[1] = p * odd_p + q * odd_q;
  y[2] = pp * even_p + qq * even_q;
  y[3] = (p * pp) * odd_p + (q * qq) * odd_q + x[5];
}

inline void of_errors(const Vector* x, Vector* y) {
  const Vector even_p = x[0] + pp * x[2], odd_p = p * x[1] + (p * pp) * x[3];
  const Vector even_q = x[0] + qq * x[2], odd_q = q * x[1] + (q * qq) * x[3];
  y[0] = x[0];
  y[1] = even_p + odd_p;
  y[2] = even_p - odd_p;
  y[3] = even_q + odd_q;
  y[4] = even_q - odd_q;
  y[5] = x[3];
}

// 1 / Π of the differences between a point and the others.
constexpr float kScale0 = 1 / (pp * qq);
constexpr float kScaleP = 1 / (2 * pp * (pp - qq));
constexpr float kScaleQ = 1 / (2 * qq * (qq - pp));

inline void of_kernel(const Vector* x, Vector* y) {
  const Vector even_p = kScaleP * x[0] + (kScaleP * pp) * x[2];
  const Vector even_q = kScaleQ * x[0] + (kScaleQ * qq) * x[2];
  const Vector odd_p = (kScaleP * p) * x[1], odd_q = (kScaleQ * q) * x[1];
  y[0] = kScale0 * x[0];
  y[1] = even_p + odd_p;
  y[2] = even_p - odd_p;
  y[3] = even_q + odd_q;
  y[4] = even_q - odd_q;
  y[5] = x[2];
}

inline void of_products(const Vector* x, Vector* y) {
  const Vector even_p = x[1] + x[2], even_q = x[3] + x[4];
  y[0] = kScale0 * x[0] + kScaleP * even_p + kScaleQ * even_q;
  y[1] = (kScaleP * p) * (x[1] - x[2]) + (kScaleQ * q) * (x[3] - x[4]);
  y[2] = (kScaleP * pp) * even_p + (kScaleQ * qq) * even_q + x[5];
}

// The same in both dimensions: `get(row, column)` of kFrom² to `put(place)` of kTo².
template <int64_t kFrom, int64_t kTo, typename Step, typename Get, typename Put>
inline void transform(const Step& step, const Get& get, const Put& put) {
  Vector middle[kTo][kFrom];
  for (int64_t column = 0; column < kFrom; ++column) {
    Vector from[kFrom], to[kTo];
    for (int64_t row = 0; row < kFrom; ++row) from[row] = get(row, column);
    step(from, to);
    for (int64_t row = 0; row < kTo; ++row) middle[row][column] = to[row];
  }
  for (int64_t row = 0; row < kTo; ++row) {
    Vector to[kTo];
    step(middle[row], to);
    for (int64_t column = 0; column < kTo; ++column) {
      put(row * kTo + column, to[column]);
    }
  }
}

// --- products -------------------------------------------------------------------------

// c (kHeight, kWidth vectors) (+)= a (kHeight, depth) · b (depth, kWidth vectors), where
// elements of `a` are `row` apart in a column and `step` apart in a row.
template <int64_t kHeight, int64_t kWidth>
void multiply(int64_t depth, const float* a, int64_t row, int64_t step, const float* b,
              float* c, bool add) {
  Vector sum[kHeight][kWidth];
  for (int64_t r = 0; r < kHeight; ++r) {
    for (int64_t v = 0; v < kWidth; ++v) {
      sum[r][v] = add ? load(c + (r * kWidth + v) * kLanes) : Vector{};
    }
  }
  for (int64_t k = 0; k < depth; ++k, a += step, b += kWidth * kLanes) {
    Vector line[kWidth];
    for (int64_t v = 0; v < kWidth; ++v) line[v] = load(b + v * kLanes);
    for (int64_t r = 0; r < kHeight; ++r) {
      for (int64_t v = 0; v < kWidth; ++v) sum[r][v] += a[r * row] * line[v];
    }
  }
  for (int64_t r = 0; r < kHeight; ++r) {
    for (int64_t v = 0; v < kWidth; ++v) {
      store(c + (r * kWidth + v) * kLanes, sum[r][v]);
    }
  }
}

// The same for any number of rows, rounded up to what fits the registers.
template <int64_t kWidth>
void multiply_panel(int64_t rows, int64_t depth, const float* a, int64_t row,
                    int64_t step, const float* b, float* c, bool add) {
  constexpr int64_t kHeight = rows_of(kWidth);
  for (int64_t r = 0; r < rows; r += kHeight) {
    multiply<kHeight, kWidth>(depth, a + r * row, row, step, b,
                              c + r * kWidth * kLanes, add);
  }
}

void multiply_panel(int64_t width, int64_t rows, int64_t depth, const float* a,
                    int64_t row, int64_t step, const float* b, float* c, bool add) {
  if constexpr (kMaxWidth == 4) {
    if (width == 4) return multiply_panel<4>(rows, depth, a, row, step, b, c, add);
    if (width == 3) return multiply_panel<3>(rows, depth, a, row, step, b, c, add);
  }
  if (width == 2) return multiply_panel<2>(rows, depth, a, row, step, b, c, add);
  multiply_panel<1>(rows, depth, a, row, step, b, c, add);
}

// Some rows of a matrix: element (r, k) lies at r / together * next + r % together * row
// + k * step.
struct Rows {
  const float* data;
  int64_t together, next, row, step;
};

// The same for all panels of `b_of` and from its row `skip` on, where those of `c_of` may
// be more: rows that are together stay in the caches for all panels.
void multiply(int64_t rows, int64_t depth, Rows a, const Matrices& b_of, int64_t skip,
              const float* b, const Matrices& c_of, float* c, bool add) {
  const Channels& channels = b_of.channels;
  for (int64_t r = 0; r < rows; r += a.together, a.data += a.next) {
    for (int64_t v = b_of.first; v < b_of.last;) {
      const int64_t width = channels.panels[channels.panel_of[v]].width;
      multiply_panel(width, std::min(a.together, rows - r), depth, a.data, a.row, a.step,
                     b + b_of.at(skip, v), c + c_of.at(r, v), add);
      v += width;
    }
  }
}

// --- tiles ----------------------------------------------------------------------------

struct Image {
  int64_t photos, height, width, channels;
  int64_t tile_rows, tile_columns, tiles;

  explicit Image(ffi::Span<const int64_t> shape)
      : photos(shape[0]),
        height(shape[1]),
        width(shape[2]),
        channels(shape[3]),
        tile_rows((height + kTile - 1) / kTile),
        tile_columns((width + kTile - 1) / kTile),
        tiles(photos * tile_rows * tile_columns) {}

  // Pixels of a tile and a margin around it; `outside` beyond the image.
  template <int64_t kPixels, typename T>
  std::array<T*, kPixels * kPixels> pixels(T* image, int64_t tile, T* outside) const {
    constexpr int64_t margin = (kPixels - kTile) / 2;
    const int64_t photo = tile / (tile_rows * tile_columns);
    const int64_t top = tile / tile_columns % tile_rows * kTile - margin;
    const int64_t left = tile % tile_columns * kTile - margin;
    std::array<T*, kPixels * kPixels> result;
    for (int64_t k = 0; k < kPixels * kPixels; ++k) {
      const int64_t y = top + k / kPixels, x = left + k % kPixels;
      const bool inside = y >= 0 && y < height && x >= 0 && x < width;
      const int64_t at = ((photo * height + y) * width + x) * channels;
      result[k] = inside ? image + at : outside;
    }
    return result;
  }
};

// Values that count: those whose gate is positive, and all without a gate.
template <bool kGated>
inline Vector read(const float* value, const float* gate, int64_t count) {
  const Vector all = load(value, count);
  if constexpr (!kGated) return all;
  return load(gate, count) > 0.0f ? all : Vector{};
}

// B^T x B of tiles [first, last): 36 matrices, `Lines` or `Strips`, from tile `begin` on.
template <bool kGated, typename Layout>
void transform_inputs(const float* images, const float* gates, const Image& image,
                      const Layout& layout, int64_t begin, int64_t first, int64_t last,
                      const float* zeros, float* to) {
  const Channels& channels = layout.channels;
  for (int64_t from = 0; from < channels.vectors; from += layout.together) {
    const int64_t until = std::min(channels.vectors, from + layout.together);
    for (int64_t tile = first; tile < last; ++tile) {
      const auto pixels = image.pixels<kSide>(images, tile, zeros);
      const auto gate = image.pixels<kSide>(kGated ? gates : images, tile, zeros);
      for (int64_t v = from; v < until; ++v) {
        const int64_t c = v * kLanes, count = channels.count - c;
        float* const place = to + layout.at(tile - begin, v);
        transform<kSide, kSide>(
            of_inputs,
            [&](int64_t y, int64_t x) {
              const int64_t k = y * kSide + x;
              return read<kGated>(pixels[k] + c, gate[k] + c, count);
            },
            [&](int64_t k, Vector value) { store(place + k * layout.size(), value); });
      }
    }
  }
}

// A g A^T of tiles [first, last): 36 matrices in panels. Adds the sums of all g.
template <bool kGated>
void transform_errors(const float* errors, const float* gates, const Image& image,
                      const Matrices& matrices, int64_t first, int64_t last,
                      const float* zeros, float* to, float* sums) {
  for (int64_t tile = first; tile < last; ++tile) {
    const auto pixels = image.pixels<kTile>(errors, tile, zeros);
    const auto gate = image.pixels<kTile>(kGated ? gates : errors, tile, zeros);
    for (int64_t v = matrices.first; v < matrices.last; ++v) {
      const int64_t c = v * kLanes, count = matrices.channels.count - c;
      float* const place = to + matrices.at(tile - first, v);
      Vector sum{};
      transform<kTile, kSide>(
          of_errors,
          [&](int64_t y, int64_t x) {
            const int64_t k = y * kTile + x;
            const Vector value = read<kGated>(pixels[k] + c, gate[k] + c, count);
            sum += value;
            return value;
          },
          [&](int64_t k, Vector value) {
            store(place + k * matrices.size(), value);
          });
      store(sums + c, load(sums + c) + sum);
    }
  }
}

// A^T m A + bias, and ReLU if wanted, of tiles [first, last).
void transform_outputs(const float* products, const Image& image,
                       const Matrices& matrices, int64_t first, int64_t last,
                       const float* bias, bool relu, bool streamed, float* outputs) {
  for (int64_t tile = first; tile < last; ++tile) {
    const auto pixels =
        image.pixels<kTile>(outputs, tile, static_cast<float*>(nullptr));
    for (int64_t v = matrices.first; v < matrices.last; ++v) {
      const int64_t c = v * kLanes, count = matrices.channels.count - c;
      const Vector shift = load(bias + c, count);
      const float* const place = products + matrices.at(tile - first, v);
      transform<kSide, kTile>(
          of_outputs,
          [&](int64_t y, int64_t x) {
            return load(place + (y * kSide + x) * matrices.size());
          },
          [&](int64_t k, Vector value) {
            if (pixels[k] == nullptr) return;
            value += shift;
            // NaN is not below zero, and stays.
            if (relu) value = value < 0.0f ? Vector{} : value;
            store(pixels[k] + c, value, count, streamed);
          });
    }
  }
}

// G k G^T for inputs [first, last): 36 matrices in panels, each written line by line.
void transform_kernel(const float* kernel, const Matrices& matrices, int64_t first,
                      int64_t last, float* to) {
  const Channels& outputs = matrices.channels;
  for (const auto& panel : outputs.panels) {
    if (panel.first < matrices.first || panel.first >= matrices.last) continue;
    for (int64_t i = first; i < last; ++i) {
      for (int64_t v = panel.first; v < panel.first + panel.width; ++v) {
        const int64_t c = v * kLanes, count = outputs.count - c;
        float* const place = to + matrices.at(i, v);
        transform<3, kSide>(
            of_kernel,
            [&](int64_t y, int64_t x) {
              const int64_t at = (y * 3 + x) * matrices.rows + i;
              return load(kernel + at * outputs.count + c, count);
            },
            [&](int64_t k, Vector value) {
              store(place + k * matrices.size(), value);
            });
      }
    }
  }
}

// G^T m G for inputs [first, last), where m is the sum of some sets of 36 matrices.
void transform_products(const float* products, int64_t sets, const Matrices& matrices,
                        int64_t inputs, int64_t first, int64_t last, float* kernel) {
  const Channels& outputs = matrices.channels;
  for (int64_t begin = matrices.first; begin < matrices.last;) {
    const int64_t end = begin + outputs.panels[outputs.panel_of[begin]].width;
    for (int64_t i = first; i < last; ++i) {
      for (int64_t v = begin; v < end; ++v) {
        const int64_t c = v * kLanes, count = outputs.count - c;
        const float* const place = products + matrices.at(i, v);
        transform<kSide, 3>(
            of_products,
            [&](int64_t y, int64_t x) {
              Vector sum{};
              for (int64_t k = y * kSide + x; k < sets * kPlaces; k += kPlaces) {
                // More matrices than the hardware reads ahead.
                __builtin_prefetch(place + k * matrices.size() + kAhead);
                sum += load(place + k * matrices.size());
              }
              return sum;
            },
            [&](int64_t k, Vector value) {
              store(kernel + (k * inputs + i) * outputs.count + c, value, count);
            });
      }
    }
    begin = end;
  }
}

// Tiles of a block: as many as the cache holds, enough to pay for reading a kernel once
// per block, and not more than the images have.
int64_t tiles_of_block(int64_t tiles, const Channels& inputs, const Channels& outputs,
                       int64_t threads) {
  const int64_t bytes = sizeof(float) * kPlaces * (inputs.padded + outputs.padded);
  const int64_t wanted = std::max<int64_t>({kBlockBytes / bytes, 2 * kRows,
      inputs.padded * outputs.padded / 2048});
  const int64_t share = (tiles + threads - 1) / threads;
  const int64_t most = std::max<int64_t>(1, std::min(wanted, share));
  return (most + kRows - 1) / kRows * kRows;
}

// Calls function(true or false, as a constant; gate or nullptr).
template <typename Function>
void with_gate(ffi::RemainingArgs gates, const Function& function) {
  if (gates.size() == 0) return function(std::false_type(), nullptr);
  function(std::true_type(), gates.get<Array>(0)->typed_data());
}

// Whether a kernel's transform is large, and larger than that of all tiles.
bool has_large_kernel(int64_t tiles, const Channels& inputs, const Channels& outputs) {
  const int64_t bytes = sizeof(float) * kPlaces * inputs.padded * outputs.padded;
  return bytes > kKernelBytes && tiles < outputs.padded;
}

// B^T x B of all tiles.
template <bool kGated, typename Layout>
void transform_all_inputs(ffi::ThreadPool& pool, const float* images,
                          const float* gates, const Image& image, const Layout& layout,
                          const float* zeros, float* to) {
  const int64_t shares = std::max<int64_t>(1, pool.num_threads());
  share_rows(pool, image.tiles, shares, [&](int64_t first, int64_t last) {
    transform_inputs<kGated>(images, gates, image, layout, 0, first, last, zeros, to);
  });
}

// Shares of all panels. Each reads all transformed tiles, so where these are many, it has
// several panels; but every thread gets two shares.
int64_t shares_of(int64_t panels, int64_t tiles, int64_t threads) {
  const int64_t most =
      std::min(64 / (kMaxWidth * kLanes), panels / (2 * std::max<int64_t>(1, threads)));
  const int64_t together = std::max<int64_t>(1, std::min(tiles / 64, most));
  return (panels + together - 1) / together;
}

// A convolution whose transformed kernel would not stay in the caches: panel by panel,
// each for all tiles.
template <bool kGated>
void convolve_by_panels(ffi::ThreadPool& pool, const float* images, const float* gates,
                        const float* kernel, const float* bias, bool relu,
                        const Image& image, const Image& result, float* results) {
  const Channels inputs(image.channels), outputs(result.channels);
  const int64_t rows = (image.tiles + kRows - 1) / kRows * kRows;
  const std::vector<float> zeros(inputs.padded, 0.0f);
  const Lines lines(inputs, rows);
  Memory tiles(kPlaces * lines.size());
  transform_all_inputs<kGated>(pool, images, gates, image, lines, zeros.data(),
                               tiles.get());
  const int64_t panels = outputs.panels.size();
  const int64_t shares = shares_of(panels, image.tiles, pool.num_threads());
  share_rows(pool, panels, shares, [&](int64_t from, int64_t until) {
    const Matrices weights(outputs, inputs.count, from, until);
    const Matrices sums(outputs, rows, from, until);
    Memory transformed(kPlaces * weights.size()), products(kPlaces * sums.size());
    transform_kernel(kernel, weights, 0, inputs.count, transformed.get());
    for (int64_t k = 0; k < kPlaces; ++k) {
      const float* const a = tiles.get() + k * lines.size();
      const float* const b = transformed.get() + k * weights.size();
      float* const c = products.get() + k * sums.size();
      for (int64_t i = 0; i < inputs.count; i += kDepth) {
        multiply(image.tiles, std::min(kDepth, inputs.count - i),
                 {a + i, kRows, kRows * lines.stride, lines.stride, 1}, weights, i, b, sums,
                 c, i > 0);
      }
    }
    transform_outputs(products.get(), result, sums, 0, image.tiles, bias, relu, false,
                      results);
  });
}

ffi::Error convolve(ffi::ThreadPool pool, Array images, Array kernel, Array bias,
                    ffi::RemainingArgs gates, ffi::Result<Array> results, bool relu) {
  const Image image(images.dimensions()), result(results->dimensions());
  const Channels inputs(image.channels), outputs(result.channels);
  if (has_large_kernel(image.tiles, inputs, outputs)) {
    with_gate(gates, [&](auto gated, const float* gate) {
      convolve_by_panels<gated>(pool, images.typed_data(), gate, kernel.typed_data(),
                                bias.typed_data(), relu, image, result,
                                results->typed_data());
    });
    return ffi::Error::Success();
  }
  const int64_t threads = std::max<int64_t>(1, pool.num_threads());
  const int64_t rows = tiles_of_block(image.tiles, inputs, outputs, threads);
  const int64_t blocks = (image.tiles + rows - 1) / rows;
  const bool streamed = static_cast<int64_t>(results->size_bytes()) > kStreamedBytes;
  const Lines lines(inputs, rows);
  const Matrices weights(outputs, inputs.count), sums(outputs, rows);

  Memory transformed(kPlaces * weights.size());
  share_rows(pool, inputs.count, std::min(threads, inputs.count / 8 + 1),
             [&](int64_t first, int64_t last) {
               transform_kernel(kernel.typed_data(), weights, first, last,
                                transformed.get());
             });
  const std::vector<float> zeros(inputs.padded, 0.0f);
  // Several shares a thread: one that is slow does not hold up the others.
  const int64_t shares = threads == 1 ? 1 : 4 * threads;
  share_rows(pool, blocks, shares, [&](int64_t first, int64_t last) {
    // Rows beyond the last tile are multiplied, too, but not used.
    Memory tiles(kPlaces * lines.size()), products(kPlaces * sums.size());
    for (int64_t block = first; block < last; ++block) {
      const int64_t tile = block * rows, end = std::min(image.tiles, tile + rows);
      with_gate(gates, [&](auto gated, const float* gate) {
        transform_inputs<gated>(images.typed_data(), gate, image, lines, tile, tile, end,
                                zeros.data(), tiles.get());
      });
      for (int64_t k = 0; k < kPlaces; ++k) {
        const float* const a = tiles.get() + k * lines.size();
        const float* const b = transformed.get() + k * weights.size();
        float* const c = products.get() + k * sums.size();
        for (const auto& panel : outputs.panels) {
          const int64_t at = panel.first * kLanes;
          for (int64_t i = 0; i < inputs.count; i += kDepth) {
            multiply_panel(panel.width, end - tile, std::min(kDepth, inputs.count - i),
                           a + i, lines.stride, 1,
                           b + at * inputs.count + i * panel.width * kLanes,
                           c + at * rows, i > 0);
          }
        }
      }
      transform_outputs(products.get(), result, sums, tile, end, bias.typed_data(),
                        relu, streamed, results->typed_data());
    }
  });
  return ffi::Error::Success();
}

// A weight gradient whose transform would not stay in the caches: panel by panel, each
// from all tiles.
void weight_gradient_by_panels(ffi::ThreadPool& pool, const float* images,
                               const float* errors, ffi::RemainingArgs& gates,
                               const Image& image, const Image& error, float* kernel,
                               float* bias) {
  const Channels inputs(image.channels), outputs(error.channels);
  const int64_t rows = (image.tiles + kRows - 1) / kRows * kRows;
  const int64_t height = (inputs.count + kRows - 1) / kRows * kRows;
  const std::vector<float> zeros(std::max(inputs.padded, outputs.padded), 0.0f);
  const Strips strips(inputs, rows);
  Memory tiles(kPlaces * strips.size());
  transform_all_inputs<false>(pool, images, nullptr, image, strips, zeros.data(),
                              tiles.get());
  std::vector<float> totals(outputs.padded, 0.0f);
  const int64_t panels = outputs.panels.size();
  const int64_t shares = shares_of(panels, image.tiles, pool.num_threads());
  share_rows(pool, panels, shares, [&](int64_t from, int64_t until) {
    const Matrices changes(outputs, rows, from, until);
    const Matrices sums(outputs, height, from, until);
    Memory changed(kPlaces * changes.size()), products(kPlaces * sums.size());
    with_gate(gates, [&](auto gated, const float* gate) {
      transform_errors<gated>(errors, gate, error, changes, 0, image.tiles,
                              zeros.data(), changed.get(), totals.data());
    });
    for (int64_t k = 0; k < kPlaces; ++k) {
      multiply(inputs.count, image.tiles,
               {tiles.get() + k * strips.size(), kStrip, strips.length(), 1, kStrip},
               changes, 0, changed.get() + k * changes.size(), sums,
               products.get() + k * sums.size(), false);
    }
    transform_products(products.get(), 1, sums, inputs.count, 0, inputs.count, kernel);
  });
  std::copy_n(totals.begin(), outputs.count, bias);
}

ffi::Error weight_gradient(ffi::ThreadPool pool, Array images, Array errors,
                           ffi::RemainingArgs gates, ffi::Result<Array> kernel,
                           ffi::Result<Array> bias) {
  const Image image(images.dimensions()), error(errors.dimensions());
  const Channels inputs(image.channels), outputs(error.channels);
  if (has_large_kernel(image.tiles, inputs, outputs)) {
    weight_gradient_by_panels(pool, images.typed_data(), errors.typed_data(), gates,
                              image, error, kernel->typed_data(), bias->typed_data());
    return ffi::Error::Success();
  }
  const int64_t threads = std::max<int64_t>(1, pool.num_threads());
  const int64_t rows = tiles_of_block(image.tiles, inputs, outputs, threads);
  const int64_t blocks = (image.tiles + rows - 1) / rows;
  const int64_t height = (inputs.count + kRows - 1) / kRows * kRows;
  const Lines lines(inputs, rows);
  const Matrices results(outputs, height);
  const int64_t size = results.size();
  // Threads share the tiles and have sums of their own, which are added in a fixed
  // order; or if these are large, they share the outputs.
  const int64_t panels = outputs.panels.size();
  const bool by_outputs = kPlaces * size * int64_t{sizeof(float)} > kSumsBytes;
  const int64_t parts = by_outputs ? panels : blocks;
  const int64_t share = std::max<int64_t>(1, (parts + threads - 1) / threads);
  const int64_t shares = (parts + share - 1) / share;
  const int64_t sets = by_outputs ? 1 : shares;
  Memory sums(sets * kPlaces * size);
  std::vector<std::vector<float>> totals(sets, std::vector<float>(outputs.padded));
  const std::vector<float> zeros(std::max(inputs.padded, outputs.padded), 0.0f);

  share_rows(pool, shares, shares, [&](int64_t which, int64_t) {
    const int64_t set = by_outputs ? 0 : which;
    const int64_t begin = by_outputs ? 0 : which * share;
    const int64_t finish = by_outputs ? blocks : std::min(blocks, begin + share);
    const int64_t from = by_outputs ? which * share : 0;
    const int64_t until = by_outputs ? std::min(panels, from + share) : panels;
    const Matrices changes(outputs, rows, from, until);
    // The products read up to kRows channels beyond the last.
    Memory tiles(kPlaces * lines.size() + kRows);
    Memory changed(kPlaces * changes.size());
    for (int64_t block = begin; block < finish; ++block) {
      const int64_t tile = block * rows, end = std::min(image.tiles, tile + rows);
      transform_inputs<false>(images.typed_data(), nullptr, image, lines, tile, tile, end,
                              zeros.data(), tiles.get());
      std::vector<float> total(outputs.padded, 0.0f);
      with_gate(gates, [&](auto gated, const float* gate) {
        transform_errors<gated>(errors.typed_data(), gate, error, changes, tile, end,
                                zeros.data(), changed.get(), total.data());
      });
      for (int64_t c = changes.first * kLanes; c < changes.last * kLanes; ++c) {
        totals[set][c] += total[c];
      }
      for (int64_t k = 0; k < kPlaces; ++k) {
        const float* const a = tiles.get() + k * lines.size();
        const float* const b = changed.get() + k * changes.size();
        float* const c = sums.get() + (set * kPlaces + k) * size;
        for (int64_t panel = from; panel < until; ++panel) {
          const auto& [first, width] = outputs.panels[panel];
          multiply_panel(width, inputs.count, end - tile, a, 1, lines.stride,
                         b + changes.at(0, first), c + results.at(0, first),
                         block > begin);
        }
      }
    }
  });
  for (int64_t c = 0; c < outputs.count; ++c) {
    float sum = 0.0f;
    for (const auto& total : totals) sum += total[c];
    bias->typed_data()[c] = sum;
  }
  share_rows(pool, inputs.count, std::min(threads, inputs.count / 8 + 1),
             [&](int64_t first, int64_t last) {
               transform_products(sums.get(), sets, results, inputs.count, first, last,
                                  kernel->typed_data());
             });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(vgg_unpool_convolve, convolve,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .RemainingArgs()
                                  .Ret<Array>()
                                  .Attr<bool>("relu"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(vgg_unpool_weight_gradient, weight_gradient,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .RemainingArgs()
                                  .Ret<Array>()
                                  .Ret<Array>());
