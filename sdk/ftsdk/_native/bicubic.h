// The arithmetic of the squash, for the CPU's and the GPU's kernels alike: Pillow's, bit for bit.
#pragma once

#include <cmath>
#include <cstdint>

#include "dispatch.h"

#ifdef __CUDACC__
#define FTSDK_SHARED __host__ __device__ __forceinline__
#else
#define FTSDK_SHARED FTSDK_INLINE
#endif

namespace ftsdk {

// Pillow keeps 8 bits of value and 2 bits of headroom in a 32-bit sum.
constexpr int kPrecisionBits = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);

// An output sums `count` inputs from `first` on.
struct Span {
  int first;
  int count;
};

// Keys' cubic convolution kernel with a = -1/2.
FTSDK_SHARED double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

// How far an output reaches on either side, in inputs.
FTSDK_SHARED double support(int input, int output) {
  const double scale = static_cast<double>(input) / output;
  return 2.0 * (scale > 1.0 ? scale : 1.0);
}

// The most inputs that one output sums.
FTSDK_SHARED int most_taps(int input, int output) {
  return static_cast<int>(std::ceil(support(input, output))) * 2 + 1;
}

// Writes the fixed-point weights of output i to `fixed`; `taps` is scratch of as many numbers.
FTSDK_SHARED Span make_weights(int i, int input, int output, double* taps, int32_t* fixed) {
  const double scale = static_cast<double>(input) / output;
  const double stretch = scale > 1.0 ? scale : 1.0;
  const double centre = (i + 0.5) * scale;
  const int begin = static_cast<int>(centre - support(input, output) + 0.5);
  const int end = static_cast<int>(centre + support(input, output) + 0.5);
  const int first = begin > 0 ? begin : 0;
  const int count = (end < input ? end : input) - first;
  double total = 0.0;
  for (int t = 0; t < count; ++t) {
    taps[t] = bicubic((t + first - centre + 0.5) * (1.0 / stretch));
    total += taps[t];
  }
  for (int t = 0; t < count; ++t) {
    const double value = (total != 0.0 ? taps[t] / total : taps[t]) * (1 << kPrecisionBits);
    fixed[t] = static_cast<int32_t>(value < 0.0 ? value - 0.5 : value + 0.5);
  }
  return {first, count};
}

FTSDK_SHARED uint8_t to_byte(int32_t sum) {
  const int32_t value = sum >> kPrecisionBits;
  return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

FTSDK_SHARED float normalised(uint8_t value, float mean, float deviation) {
  return (static_cast<float>(value) / 255.0f - mean) / deviation;
}

// Pillow from version 13 on squashes the rows first where that is the greater squash by
// far. The 8-bit rounding between the passes makes the order visible.
FTSDK_SHARED bool rows_go_first(int height, int width, int size) {
  return height > size && height - size > 2 * (width - size);
}

}  // namespace ftsdk
