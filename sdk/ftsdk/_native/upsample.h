// Bilinear resizing of a probability map to a picture's size.
#pragma once

namespace ftsdk {

// Both resize a source of `rows` x `columns` float32 with half-pixel centres and
// replicated borders, holding no more than two interpolated rows.
void upsample(const float* map, int rows, int columns, int height, int width, float* output);
// Writes value > threshold instead of the value.
void upsample_cut(const float* map, int rows, int columns, int height, int width, float threshold,
                  bool* output);

}  // namespace ftsdk
