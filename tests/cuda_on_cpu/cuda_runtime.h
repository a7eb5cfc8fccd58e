// CUDA's keywords for a C++ compiler; a launch runs every thread of every block, one by one.
#pragma once

#define __device__
#define __global__
#define FTSDK_LAUNCH(kernel, blocks, threads, stream) on_cpu::launch(kernel, blocks, threads, stream)

struct Index {
  unsigned x;
};

static thread_local Index blockIdx, blockDim, threadIdx;

using cudaStream_t = void*;

inline int cudaGetLastError() { return 0; }

namespace on_cpu {

template <typename... Arguments>
auto launch(void (*kernel)(Arguments...), unsigned blocks, unsigned threads, cudaStream_t) {
  return [=](Arguments... arguments) {
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
      for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) kernel(arguments...);
  };
}

}  // namespace on_cpu
