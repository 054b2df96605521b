// Work that is shared among the threads of XLA's own pool.

#ifndef VGG_UNPOOL_JAX_OPS_THREADS_H_
#define VGG_UNPOOL_JAX_OPS_THREADS_H_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "xla/ffi/api/ffi.h"

// Orders stores past the caches before what other threads are told.
inline void fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// Calls work(first, last) for at most `shares` shares of [0, rows), on this thread and
// on those of the pool. This thread waits only for shares that have begun and takes all
// others itself, so it cannot wait forever for a pool whose threads are busy.
template <typename Work>
void share_rows(xla::ffi::ThreadPool& pool, int64_t rows, int64_t shares,
                const Work& work) {
  struct State {
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::condition_variable all_done;
    int64_t done = 0;
  };
  if (rows == 0) return;
  const int64_t share = (rows + shares - 1) / shares;
  shares = (rows + share - 1) / share;
  auto state = std::make_shared<State>();
  // `work` is used only while a share is open, and this function waits for those.
  auto take = [state, share, shares, rows, job = &work] {
    for (int64_t k; (k = state->next.fetch_add(1)) < shares;) {
      (*job)(k * share, std::min(rows, (k + 1) * share));
      fence();
      std::lock_guard<std::mutex> lock(state->mutex);
      if (++state->done == shares) state->all_done.notify_one();
    }
  };
  const int64_t threads = std::min<int64_t>(pool.num_threads(), shares);
  for (int64_t k = 1; k < threads; ++k) pool.Schedule(decltype(take)(take));
  take();
  std::unique_lock<std::mutex> lock(state->mutex);
  state->all_done.wait(lock, [&] { return state->done == shares; });
}

#endif  // VGG_UNPOOL_JAX_OPS_THREADS_H_
