// Antialiased bicubic squash, normalised, channels first, in one call.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ftsdk {

// An 8-bit picture of three channels; strides in bytes, of any sign.
struct Picture {
  const uint8_t* pixels;
  int height;
  int width;
  std::ptrdiff_t row_stride;
  std::ptrdiff_t pixel_stride;
  std::ptrdiff_t channel_stride;
};

// Affine map of an 8-bit channel to float32: (value / 255 - mean) / deviation.
struct Normalisation {
  float mean[3];
  float deviation[3];
};

// Resizes `picture` to size x size as Pillow's Image.resize(..., BICUBIC) does and
// writes 3 x size x size float32 to `output`. Output channel c reads picture channel
// c, or 2 - c when `reversed`. `portable` forces the path without AVX2.
void resize_normalise(const Picture& picture, int size, const Normalisation& normalisation,
                      bool reversed, bool portable, float* output);

}  // namespace ftsdk
