// The squash on a GPU: the arithmetic of bicubic.h, one thread an output.
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "bicubic.h"
#include "resample.h"

#ifdef __CUDACC__
#define FTSDK_LAUNCH(kernel, blocks, threads, stream) kernel<<<blocks, threads, 0, stream>>>
#endif

namespace ftsdk {
namespace {

constexpr int kThreads = 256;

// The weights of one axis, in scratch.
struct Axis {
  int input;
  int output;
  int length;
  double* taps;
  int32_t* fixed;
  Span* spans;
};

// Where everything lies in scratch; with a null base, `bytes` is what it takes.
struct Scratch {
  Axis across;
  Axis down;
  uint8_t* squashed;
  size_t bytes;
};

Scratch lay_out(uint8_t* base, int height, int width, int size) {
  size_t used = 0;
  const auto take = [&](size_t bytes) {
    uint8_t* at = base ? base + used : nullptr;
    used += (bytes + 15) / 16 * 16;
    return at;
  };
  const auto axis = [&](int input) {
    const int length = most_taps(input, size);
    const size_t count = static_cast<size_t>(length) * size;
    return Axis{input,
                size,
                length,
                reinterpret_cast<double*>(take(count * sizeof(double))),
                reinterpret_cast<int32_t*>(take(count * sizeof(int32_t))),
                reinterpret_cast<Span*>(take(size * sizeof(Span)))};
  };
  Scratch scratch{axis(width), axis(height), nullptr, 0};
  const int longer = rows_go_first(height, width, size) ? width : height;
  scratch.squashed = take(static_cast<size_t>(3) * longer * size);
  scratch.bytes = used;
  return scratch;
}

// Bytes by row, column and channel.
struct Bytes {
  const uint8_t* first;
  ptrdiff_t row;
  ptrdiff_t column;
  ptrdiff_t channel;
};

// The byte at a place, squashed along the rows' axis (`down`) or the columns'.
__device__ uint8_t squashed(const Bytes& input, const Axis& axis, bool down, int row, int column,
                            int channel) {
  const int output = down ? row : column;
  const Span span = axis.spans[output];
  const ptrdiff_t stride = down ? input.row : input.column;
  const ptrdiff_t other = down ? column * input.column : row * input.row;
  const uint8_t* byte = input.first + span.first * stride + other + channel * input.channel;
  const int32_t* weight = axis.fixed + static_cast<size_t>(axis.length) * output;
  int32_t sum = kHalf;
  for (int t = 0; t < span.count; ++t) sum += weight[t] * byte[t * stride];
  return to_byte(sum);
}

__device__ int64_t thread() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

__global__ void weigh(Axis axis) {
  const int i = static_cast<int>(thread());
  if (i >= axis.output) return;
  const size_t start = static_cast<size_t>(axis.length) * i;
  axis.spans[i] = make_weights(i, axis.input, axis.output, axis.taps + start, axis.fixed + start);
}

// The first pass: three planes of height x width bytes.
__global__ void squash(Bytes input, Axis axis, bool down, int height, int width,
                       uint8_t* planes) {
  const int64_t i = thread(), plane = static_cast<int64_t>(height) * width;
  if (i >= 3 * plane) return;
  const int channel = static_cast<int>(i / plane), place = static_cast<int>(i % plane);
  planes[i] = squashed(input, axis, down, place / width, place % width, channel);
}

// The second pass, and what a model reads of it.
__global__ void squash_normalise(Bytes input, Axis axis, bool down, Normalisation normalisation,
                                 bool reversed, float* output) {
  const int size = axis.output;
  const int64_t i = thread(), plane = static_cast<int64_t>(size) * size;
  if (i >= 3 * plane) return;
  const int channel = static_cast<int>(i / plane), place = static_cast<int>(i % plane);
  const uint8_t byte =
      squashed(input, axis, down, place / size, place % size, reversed ? 2 - channel : channel);
  output[i] = normalised(byte, normalisation.mean[channel], normalisation.deviation[channel]);
}

unsigned blocks(int64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

}  // namespace
}  // namespace ftsdk

// Bytes of scratch on the GPU that a picture of this size takes.
extern "C" size_t ftsdk_scratch_bytes(int height, int width, int size) {
  return ftsdk::lay_out(nullptr, height, width, size).bytes;
}

// `resize_normalise` of resample.h for a [height, width, 3] picture without gaps. Picture, scratch
// and output are on the GPU; all is put into `stream`. Returns the CUDA runtime's status.
extern "C" int ftsdk_resize_normalise(const uint8_t* picture, int height, int width, int size,
                                      const float* mean, const float* deviation, bool reversed,
                                      uint8_t* memory, float* output, void* stream) {
  using namespace ftsdk;
  const auto queue = static_cast<cudaStream_t>(stream);
  const Scratch scratch = lay_out(memory, height, width, size);
  Normalisation normalisation{};
  for (int c = 0; c < 3; ++c) {
    normalisation.mean[c] = mean[c];
    normalisation.deviation[c] = deviation[c];
  }
  const bool down = rows_go_first(height, width, size);
  const Axis first = down ? scratch.down : scratch.across;
  const Axis second = down ? scratch.across : scratch.down;
  const int rows = down ? size : height, columns = down ? width : size;
  const int64_t plane = static_cast<int64_t>(rows) * columns;
  const Bytes pixels{picture, static_cast<ptrdiff_t>(3) * width, 3, 1};
  const Bytes planes{scratch.squashed, columns, 1, static_cast<ptrdiff_t>(plane)};
  FTSDK_LAUNCH(weigh, blocks(size), kThreads, queue)(first);
  FTSDK_LAUNCH(weigh, blocks(size), kThreads, queue)(second);
  FTSDK_LAUNCH(squash, blocks(3 * plane), kThreads, queue)
  (pixels, first, down, rows, columns, scratch.squashed);
  FTSDK_LAUNCH(squash_normalise, blocks(3 * static_cast<int64_t>(size) * size), kThreads, queue)
  (planes, second, !down, normalisation, reversed, output);
  return static_cast<int>(cudaGetLastError());
}
