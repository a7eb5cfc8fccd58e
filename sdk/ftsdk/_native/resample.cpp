#include "resample.h"

#include <algorithm>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "bicubic.h"
#include "dispatch.h"

namespace ftsdk {
namespace {

// Rows that travel together through the horizontal pass, one per SIMD lane.
constexpr int kLanes = 16;
constexpr int kTile = 32;
constexpr long kPixelsPerThread = 1'500'000;
constexpr unsigned kMaxThreads = 4;

// The fixed-point weights of one axis, by output.
struct Weights {
  int length = 0;
  std::vector<int> first;
  std::vector<int> count;
  std::vector<int32_t> fixed;

  const int32_t* of(int output) const { return &fixed[static_cast<size_t>(length) * output]; }
};

Weights weights_of(int input, int output) {
  Weights weights;
  weights.length = most_taps(input, output);
  weights.fixed.assign(static_cast<size_t>(weights.length) * output, 0);
  std::vector<double> taps(weights.length);
  for (int i = 0; i < output; ++i) {
    int32_t* fixed = &weights.fixed[static_cast<size_t>(weights.length) * i];
    const Span span = make_weights(i, input, output, taps.data(), fixed);
    weights.first.push_back(span.first);
    weights.count.push_back(span.count);
  }
  return weights;
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
  const Weights weights = weights_of(picture.width, size);
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
  const Weights weights = weights_of(picture.height, size);
  std::vector<uint8_t> planes(static_cast<size_t>(3) * size * size);
  for (size_t c = 0; c < 3; ++c) {
    down(squashed.data() + c * picture.height * size, size, size, weights, size,
         planes.data() + c * size * size);
  }
  return planes;
}

std::vector<uint8_t> rows_first(Horizontal across, Vertical down, const Picture& picture,
                                int size) {
  const Weights weights = weights_of(picture.height, size);
  const int row = 3 * picture.width;
  std::vector<uint8_t> squashed(static_cast<size_t>(row) * size);
  if (picture.pixel_stride == 3 && picture.channel_stride == 1) {
    down(picture.pixels, picture.row_stride, row, weights, size, squashed.data());
  } else {
    down(packed(picture).data(), row, row, weights, size, squashed.data());
  }
  return squash_columns(across, {squashed.data(), size, picture.width, row, 3, 1}, size);
}

void normalise(const std::vector<uint8_t>& planes, const Normalisation& normalisation,
               bool reversed, float* output) {
  const size_t plane = planes.size() / 3;
  for (size_t c = 0; c < 3; ++c) {
    const uint8_t* input = planes.data() + (reversed ? 2 - c : c) * plane;
    const float mean = normalisation.mean[c];
    const float deviation = normalisation.deviation[c];
    for (size_t i = 0; i < plane; ++i) {
      output[c * plane + i] = normalised(input[i], mean, deviation);
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
  const bool rows = rows_go_first(picture.height, picture.width, size);
  normalise(rows ? rows_first(across, down, picture, size) : rows_last(across, down, picture, size),
            normalisation, reversed, output);
}

}  // namespace ftsdk
