// Pooling with switches, unpooling and picking of 2×2 windows, for CPUs.
//
// One pass over memory, shared among the threads of XLA's own pool. Arrays are
// (..., h, w, c). `ops/pooling.py` states the rules (ties, NaN, codes outside the
// window); results equal those of `ops/pooling_xla.py`.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "threads.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

// Channels that are computed at a time, in buffers that stay in the L1 cache.
constexpr int64_t kRun = 512;
// Larger results bypass the caches, which then need not read them first.
constexpr int64_t kStreamedBytes = 4 << 20;
// Every thread gets at least this many bytes of the image.
constexpr int64_t kBytesPerThread = 512 << 10;

// bfloat16 is held as its bits, which are the upper half of a float.
inline float widen(float value) { return value; }
inline float widen(uint16_t upper) {
  const uint32_t bits = static_cast<uint32_t>(upper) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline uint16_t narrow(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}

// Copies to memory, past the caches if `streamed` and the CPU can.
inline void store(void* target, const void* source, int64_t bytes, bool streamed) {
#if defined(__SSE2__)
#if defined(__AVX512F__)
  using Vector = __m512i;
  const auto copy = [](Vector* to, const Vector* from) {
    _mm512_stream_si512(to, _mm512_load_si512(from));
  };
#else
  using Vector = __m128i;
  const auto copy = [](Vector* to, const Vector* from) {
    _mm_stream_si128(to, _mm_load_si128(from));
  };
#endif
  constexpr int64_t size = sizeof(Vector);
  const bool aligned = reinterpret_cast<uintptr_t>(target) % size == 0;
  if (streamed && aligned && bytes % size == 0) {
    auto* to = static_cast<Vector*>(target);
    auto* from = static_cast<const Vector*>(source);
    for (int64_t k = 0; k < bytes / size; ++k) copy(to + k, from + k);
    return;
  }
#endif
  std::memcpy(target, source, bytes);
}

template <typename T>
inline void prefetch(const T* from, int64_t count) {
  const char* bytes = reinterpret_cast<const char*>(from);
  for (int64_t k = 0; k < count * int64_t{sizeof(T)}; k += 64) {
    __builtin_prefetch(bytes + k);
  }
}

// Shape of an image whose leading axes are photos.
struct Image {
  int64_t photos = 1, height, width, channels;

  explicit Image(ffi::Span<const int64_t> shape) {
    const size_t axes = shape.size();
    for (size_t k = 0; k + 3 < axes; ++k) photos *= shape[k];
    height = shape[axes - 3], width = shape[axes - 2], channels = shape[axes - 1];
  }
};

// Calls visit(image, pooled, count) for every run of channels of every window in rows
// of windows [first, last): offset of the window's first element, offset in the pooled
// array, number of channels.
template <typename Visit>
void for_runs(const Image& image, int64_t first, int64_t last, const Visit& visit) {
  const int64_t height = image.height / 2, width = image.width / 2;
  for (int64_t row = first; row < last; ++row) {
    const int64_t top = (row / height) * image.height + 2 * (row % height);
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t c = 0; c < image.channels; c += kRun) {
        visit((top * image.width + 2 * x) * image.channels + c,
              (row * width + x) * image.channels + c,
              std::min(kRun, image.channels - c));
      }
    }
  }
}

// The loops over k below are written so that compilers make vectors of them: one width
// of element, no branch, buffers that do not overlap.

// Values up to `bound` become 0: that is ReLU for 0 and nothing for NaN.
template <typename T>
inline float read(T element, float bound) {
  const float value = widen(element);
  return value <= bound ? 0.0f : value;
}

template <typename T>
inline void first_element(const T* __restrict element, float bound, int64_t count,
                          float* __restrict most, int32_t* __restrict where) {
  for (int64_t k = 0; k < count; ++k) most[k] = read(element[k], bound);
  std::fill_n(where, count, 0);
}

template <typename T>
inline void next_element(const T* __restrict element, float bound, int32_t place,
                         int64_t count, float* __restrict most,
                         int32_t* __restrict where) {
  for (int64_t k = 0; k < count; ++k) {
    const float value = read(element[k], bound);
    // Greater, or the first NaN.
    const bool wins = !(value <= most[k]) & (most[k] == most[k]);
    most[k] = wins ? value : most[k];
    where[k] = wins ? place : where[k];
  }
}

template <typename T>
void pool_rows(const T* images, bool relu, T* pooled, uint8_t* codes,
               const Image& image, int64_t first, int64_t last, bool streamed) {
  const int64_t right = image.channels, down = image.width * image.channels;
  const float bound = relu ? 0.0f : std::numeric_limits<float>::quiet_NaN();
  alignas(64) float most[kRun];
  alignas(64) int32_t where[kRun];
  alignas(64) uint8_t code[kRun];
  for_runs(image, first, last, [&](int64_t at, int64_t to, int64_t count) {
    const T* window = images + at;
    // One element after the other, as they lie in memory, and the next row announced:
    // all four at a time took twice as long from 256 channels.
    prefetch(window + down, count);
    first_element(window, bound, count, most, where);
    next_element(window + right, bound, 1, count, most, where);
    prefetch(window + 2 * right, count);
    next_element(window + down, bound, 2, count, most, where);
    next_element(window + down + right, bound, 3, count, most, where);
    for (int64_t k = 0; k < count; ++k) code[k] = static_cast<uint8_t>(where[k]);
    store(codes + to, code, count, streamed);
    if constexpr (std::is_same_v<T, float>) {
      store(pooled + to, most, count * sizeof(T), streamed);
    } else {
      alignas(64) T best[kRun];
      for (int64_t k = 0; k < count; ++k) best[k] = narrow(most[k]);
      store(pooled + to, best, count * sizeof(T), streamed);
    }
  });
}

// Sets all values to zero whose gate is not positive.
template <typename T>
inline void close_gates(const T* __restrict gate, int64_t count, T* __restrict values) {
  for (int64_t k = 0; k < count; ++k) {
    values[k] = widen(gate[k]) > 0.0f ? values[k] : T(0);
  }
}

// Codes as integers that are as wide as the values.
template <typename T>
using Place = std::conditional_t<sizeof(T) == 4, int32_t, int16_t>;

template <typename T>
void unpool_rows(const T* values, const uint8_t* codes, const T* gate, T* images,
                 const Image& image, int64_t first, int64_t last, bool streamed) {
  const int64_t right = image.channels, down = image.width * image.channels;
  alignas(64) T value[kRun];
  alignas(64) T element[kRun];
  alignas(64) Place<T> where[kRun];
  for_runs(image, first, last, [&](int64_t to, int64_t at, int64_t count) {
    std::copy_n(values + at, count, value);
    std::copy_n(codes + at, count, where);
    if (gate) close_gates(gate + at, count, value);
    for (int64_t q = 0; q < 4; ++q) {
      const Place<T> place = q;
      for (int64_t k = 0; k < count; ++k) element[k] = where[k] == place ? value[k] : 0;
      T* target = images + to + q / 2 * down + q % 2 * right;
      store(target, element, count * sizeof(T), streamed);
    }
  });
  // An odd last row or column is in no window.
  const int64_t height = image.height / 2;
  for (int64_t row = first; row < last; ++row) {
    T* top = images + ((row / height) * image.height + 2 * (row % height)) * down;
    if (image.width % 2) {
      std::fill_n(top + down - right, right, T(0));
      std::fill_n(top + 2 * down - right, right, T(0));
    }
    if (image.height % 2 && row % height == height - 1) {
      std::fill_n(top + 2 * down, down, T(0));
    }
  }
}

template <typename T>
void pick_rows(const T* images, const uint8_t* codes, const T* gate, T* picked,
               const Image& image, int64_t first, int64_t last, bool streamed) {
  const int64_t right = image.channels, down = image.width * image.channels;
  alignas(64) T chosen[kRun];
  alignas(64) Place<T> where[kRun];
  for_runs(image, first, last, [&](int64_t at, int64_t to, int64_t count) {
    std::copy_n(codes + to, count, where);
    std::fill_n(chosen, count, T(0));
    for (int64_t q = 0; q < 4; ++q) {
      const Place<T> place = q;
      const T* __restrict element = images + at + q / 2 * down + q % 2 * right;
      if (q % 2 == 0) prefetch(q ? element - down + 2 * right : element + down, count);
      for (int64_t k = 0; k < count; ++k) {
        const T value = element[k];
        chosen[k] = where[k] == place ? value : chosen[k];
      }
    }
    if (gate) close_gates(gate + to, count, chosen);
    store(picked + to, chosen, count * sizeof(T), streamed);
  });
}

// Calls function(T()) with the type that holds an element of the buffer.
template <typename Function>
ffi::Error with_type(const ffi::AnyBuffer& buffer, const Function& function) {
  if (buffer.element_type() == ffi::F32) {
    function(float());
  } else if (buffer.element_type() == ffi::BF16) {
    function(uint16_t());
  } else {
    return ffi::Error::InvalidArgument("float32 or bfloat16 expected");
  }
  return ffi::Error::Success();
}

// Calls work(first, last, streamed) for the rows of windows of an image.
template <typename Work>
void share_windows(ffi::ThreadPool& threads, const Image& image, int64_t image_bytes,
                   int64_t result_bytes, const Work& work) {
  const bool streamed = result_bytes > kStreamedBytes;
  const int64_t rows = image.photos * (image.height / 2);
  const int64_t wanted = std::clamp<int64_t>(image_bytes / kBytesPerThread, 1,
                                             std::max<int64_t>(1, threads.num_threads()));
  // Several shares a thread: one that is slow does not hold up the others.
  share_rows(threads, rows, wanted == 1 ? 1 : 4 * wanted,
             [&](int64_t first, int64_t last) { work(first, last, streamed); });
}

// The gate is the first of `gates`, if there is one.
template <typename T>
const T* gate_of(ffi::RemainingArgs gates) {
  return gates.size() ? gates.get<ffi::AnyBuffer>(0)->reinterpret_data<T>() : nullptr;
}

ffi::Error pool(ffi::ThreadPool threads, ffi::AnyBuffer images,
                ffi::Result<ffi::AnyBuffer> pooled, ffi::Result<ffi::AnyBuffer> codes,
                bool relu) {
  return with_type(images, [&](auto type) {
    using T = decltype(type);
    const Image image(images.dimensions());
    share_windows(threads, image, images.size_bytes(), pooled->size_bytes(),
                  [&, from = images.reinterpret_data<T>(),
                   to = pooled->reinterpret_data<T>(),
                   code = codes->reinterpret_data<uint8_t>()](auto... part) {
                    pool_rows(from, relu, to, code, image, part...);
                  });
  });
}

ffi::Error unpool(ffi::ThreadPool threads, ffi::AnyBuffer values, ffi::AnyBuffer codes,
                  ffi::RemainingArgs gates, ffi::Result<ffi::AnyBuffer> images) {
  return with_type(values, [&](auto type) {
    using T = decltype(type);
    const Image image(images->dimensions());
    share_windows(
        threads, image, images->size_bytes(), images->size_bytes(),
        [&, from = values.reinterpret_data<T>(), to = images->reinterpret_data<T>(),
         code = codes.reinterpret_data<uint8_t>(),
         gate = gate_of<T>(gates)](auto... part) {
          unpool_rows(from, code, gate, to, image, part...);
        });
  });
}

ffi::Error pick(ffi::ThreadPool threads, ffi::AnyBuffer images, ffi::AnyBuffer codes,
                ffi::RemainingArgs gates, ffi::Result<ffi::AnyBuffer> picked) {
  return with_type(images, [&](auto type) {
    using T = decltype(type);
    const Image image(images.dimensions());
    share_windows(
        threads, image, images.size_bytes(), picked->size_bytes(),
        [&, from = images.reinterpret_data<T>(), to = picked->reinterpret_data<T>(),
         code = codes.reinterpret_data<uint8_t>(),
         gate = gate_of<T>(gates)](auto... part) {
          pick_rows(from, code, gate, to, image, part...);
        });
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(vgg_unpool_pool, pool,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Attr<bool>("relu"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(vgg_unpool_unpool, unpool,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .RemainingArgs()
                                  .Ret<ffi::AnyBuffer>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(vgg_unpool_pick, pick,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .RemainingArgs()
                                  .Ret<ffi::AnyBuffer>());
