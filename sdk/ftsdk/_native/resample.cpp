#include "resample.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "dispatch.h"

namespace ftsdk {
namespace {

// Pillow keeps 8 bits of value and 2 bits of headroom in a 32-bit sum.
constexpr int kPrecisionBits = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);
// Rows that travel together through the horizontal pass, one per SIMD lane.
constexpr int kLanes = 16;
constexpr int kTile = 32;
constexpr long kPixelsPerThread = 1'500'000;
constexpr unsigned kMaxThreads = 4;

// Keys' cubic convolution kernel with a = -1/2.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

// The fixed-point weights of one axis: output i sums count[i] inputs from first[i] on.
struct Weights {
  int length = 0;
  std::vector<int> first;
  std::vector<int> count;
  std::vector<int32_t> fixed;

  const int32_t* of(int output) const { return &fixed[static_cast<size_t>(length) * output]; }
};

Weights make_weights(int input, int output) {
  const double scale = static_cast<double>(input) / output;
  const double stretch = std::max(scale, 1.0);
  const double support = 2.0 * stretch;
  Weights weights;
  weights.length = static_cast<int>(std::ceil(support)) * 2 + 1;
  weights.fixed.assign(static_cast<size_t>(weights.length) * output, 0);
  std::vector<double> taps(weights.length);
  for (int i = 0; i < output; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int last = std::min(static_cast<int>(centre + support + 0.5), input);
    double total = 0.0;
    for (int t = first; t < last; ++t) {
      taps[t - first] = bicubic((t - centre + 0.5) * (1.0 / stretch));
      total += taps[t - first];
    }
    int32_t* row = &weights.fixed[static_cast<size_t>(weights.length) * i];
    for (int t = 0; t < last - first; ++t) {
      const double value = (total != 0.0 ? taps[t] / total : taps[t]) * (1 << kPrecisionBits);
      row[t] = static_cast<int32_t>(value < 0.0 ? value - 0.5 : value + 0.5);
    }
    weights.first.push_back(first);
    weights.count.push_back(last - first);
  }
  return weights;
}

FTSDK_INLINE uint8_t to_byte(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

// Turns kLanes rows from `top` on into columns: byte [x][channel][row]. Rows below the
// picture repeat its last one.
FTSDK_INLINE void transpose(const Picture& picture, int top, uint8_t* columns) {
  for (int lane = 0; lane < kLanes; ++lane) {
    const int y = std::min(top + lane, picture.height - 1);
    const uint8_t* row = picture.pixels + y * picture.row_stride;
    uint8_t* column = columns + lane;
    for (int x = 0; x < picture.width; ++x) {
      const uint8_t* pixel = row + x * picture.pixel_stride;
      column[0] = pixel[0];
      column[kLanes] = pixel[picture.channel_stride];
      column[2 * kLanes] = pixel[2 * picture.channel_stride];
      column += 3 * kLanes;
    }
  }
}

// Rows [begin, end) to three planes of height x size bytes; `columns` is scratch for one
// transpose. Allocates nothing, so that it cannot throw within a thread.
FTSDK_INLINE void horizontal(const Picture& picture, const Weights& weights, int size, int begin,
                             int end, uint8_t* columns, uint8_t* squashed) {
  for (int top = begin; top < end; top += kLanes) {
    transpose(picture, top, columns);
    const int rows = std::min(kLanes, end - top);
    for (int x = 0; x < size; ++x) {
      int32_t sums[3 * kLanes];
      for (int i = 0; i < 3 * kLanes; ++i) sums[i] = kHalf;
      const uint8_t* column = columns + static_cast<size_t>(weights.first[x]) * 3 * kLanes;
      const int32_t* weight = weights.of(x);
      for (int t = 0; t < weights.count[x]; ++t) {
        for (int i = 0; i < 3 * kLanes; ++i) sums[i] += weight[t] * column[i];
        column += 3 * kLanes;
      }
      for (int c = 0; c < 3; ++c) {
        uint8_t* out = squashed + (static_cast<size_t>(c) * picture.height + top) * size + x;
        for (int row = 0; row < rows; ++row) {
          out[static_cast<size_t>(row) * size] = to_byte(sums[c * kLanes + row]);
        }
      }
    }
  }
}

// Sums rows of `width` bytes, `stride` apart, into size rows of `width` bytes.
FTSDK_INLINE void vertical(const uint8_t* input, std::ptrdiff_t stride, int width,
                           const Weights& weights, int size, uint8_t* output) {
  for (int y = 0; y < size; ++y) {
    const int32_t* weight = weights.of(y);
    for (int start = 0; start < width; start += kTile) {
      const int tile = std::min(kTile, width - start);
      int32_t sums[kTile];
      for (int x = 0; x < kTile; ++x) sums[x] = kHalf;
      const uint8_t* row = input + weights.first[y] * stride + start;
      for (int t = 0; t < weights.count[y]; ++t) {
        if (tile == kTile) {
          for (int x = 0; x < kTile; ++x) sums[x] += weight[t] * row[x];
        } else {
          for (int x = 0; x < tile; ++x) sums[x] += weight[t] * row[x];
        }
        row += stride;
      }
      uint8_t* out = output + static_cast<size_t>(y) * width + start;
      for (int x = 0; x < tile; ++x) out[x] = to_byte(sums[x]);
    }
  }
}

using Horizontal = void(const Picture&, const Weights&, int, int, int, uint8_t*, uint8_t*);
using Vertical = void(const uint8_t*, std::ptrdiff_t, int, const Weights&, int, uint8_t*);

FTSDK_AVX2 void horizontal_avx2(const Picture& picture, const Weights& weights, int size,
                                int begin, int end, uint8_t* columns, uint8_t* squashed) {
  horizontal(picture, weights, size, begin, end, columns, squashed);
}

void horizontal_portable(const Picture& picture, const Weights& weights, int size, int begin,
                         int end, uint8_t* columns, uint8_t* squashed) {
  horizontal(picture, weights, size, begin, end, columns, squashed);
}

FTSDK_AVX2 void vertical_avx2(const uint8_t* input, std::ptrdiff_t stride, int width,
                              const Weights& weights, int size, uint8_t* output) {
  vertical(input, stride, width, weights, size, output);
}

void vertical_portable(const uint8_t* input, std::ptrdiff_t stride, int width,
                       const Weights& weights, int size, uint8_t* output) {
  vertical(input, stride, width, weights, size, output);
}

int thread_count(const Picture& picture) {
  const long pixels = static_cast<long>(picture.height) * picture.width;
  const long cores = std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads);
  return static_cast<int>(std::clamp(pixels / kPixelsPerThread, 1L, cores));
}

// The columns of the picture squashed to `size`: three planes of height x size bytes.
std::vector<uint8_t> squash_columns(Horizontal pass, const Picture& picture, int size) {
  const Weights weights = make_weights(picture.width, size);
  std::vector<uint8_t> squashed(static_cast<size_t>(3) * picture.height * size);
  const int threads = thread_count(picture);
  const size_t scratch = static_cast<size_t>(picture.width) * 3 * kLanes;
  std::vector<uint8_t> columns(scratch * threads);
  const auto run = [&](long band) {
    pass(picture, weights, size, static_cast<int>(picture.height * band / threads),
         static_cast<int>(picture.height * (band + 1) / threads), columns.data() + band * scratch,
         squashed.data());
  };
  std::vector<std::thread> helpers;
  helpers.reserve(threads);
  for (int band = 1; band < threads; ++band) {
    try {
      helpers.emplace_back(run, band);
    } catch (const std::system_error&) {  // the system gives no more threads
      run(band);
    }
  }
  run(0);
  for (std::thread& helper : helpers) helper.join();
  return squashed;
}

// The picture's bytes without gaps, row by row, pixel by pixel.
std::vector<uint8_t> packed(const Picture& picture) {
  std::vector<uint8_t> bytes(static_cast<size_t>(3) * picture.height * picture.width);
  uint8_t* out = bytes.data();
  for (int y = 0; y < picture.height; ++y) {
    const uint8_t* pixel = picture.pixels + y * picture.row_stride;
    for (int x = 0; x < picture.width; ++x, pixel += picture.pixel_stride, out += 3) {
      for (int c = 0; c < 3; ++c) out[c] = pixel[c * picture.channel_stride];
    }
  }
  return bytes;
}

std::vector<uint8_t> rows_last(Horizontal across, Vertical down, const Picture& picture,
                               int size) {
  const std::vector<uint8_t> squashed = squash_columns(across, picture, size);
  const Weights weights = make_weights(picture.height, size);
  std::vector<uint8_t> planes(static_cast<size_t>(3) * size * size);
  for (size_t c = 0; c < 3; ++c) {
    down(squashed.data() + c * picture.height * size, size, size, weights, size,
         planes.data() + c * size * size);
  }
  return planes;
}

std::vector<uint8_t> rows_first(Horizontal across, Vertical down, const Picture& picture,
                                int size) {
  const Weights weights = make_weights(picture.height, size);
  const int row = 3 * picture.width;
  std::vector<uint8_t> squashed(static_cast<size_t>(row) * size);
  if (picture.pixel_stride == 3 && picture.channel_stride == 1) {
    down(picture.pixels, picture.row_stride, row, weights, size, squashed.data());
  } else {
    down(packed(picture).data(), row, row, weights, size, squashed.data());
  }
  return squash_columns(across, {squashed.data(), size, picture.width, row, 3, 1}, size);
}

// Pillow from version 13 on squashes the rows first where that is the greater squash by
// far. The 8-bit rounding between the passes makes the order visible.
bool rows_go_first(const Picture& picture, int size) {
  return picture.height > size && picture.height - size > 2 * (picture.width - size);
}

void normalise(const std::vector<uint8_t>& planes, const Normalisation& normalisation,
               bool reversed, float* output) {
  const size_t plane = planes.size() / 3;
  for (size_t c = 0; c < 3; ++c) {
    const uint8_t* input = planes.data() + (reversed ? 2 - c : c) * plane;
    const float mean = normalisation.mean[c];
    const float deviation = normalisation.deviation[c];
    for (size_t i = 0; i < plane; ++i) {
      output[c * plane + i] = (static_cast<float>(input[i]) / 255.0f - mean) / deviation;
    }
  }
}

}  // namespace

void resize_normalise(const Picture& picture, int size, const Normalisation& normalisation,
                      bool reversed, bool portable, float* output) {
  if (size < 1 || picture.height < 1 || picture.width < 1)
    throw std::invalid_argument("sides must be at least 1");
  const bool wide = !portable && avx2_available();
  Horizontal* across = wide ? horizontal_avx2 : horizontal_portable;
  Vertical* down = wide ? vertical_avx2 : vertical_portable;
  normalise(rows_go_first(picture, size) ? rows_first(across, down, picture, size)
                                         : rows_last(across, down, picture, size),
            normalisation, reversed, output);
}

}  // namespace ftsdk
