#include "upsample.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <vector>

#include "dispatch.h"

namespace ftsdk {
namespace {

// The two sources of one output sample, and the share of the second.
struct Neighbours {
  int near;
  int far;
  float share;
};

std::vector<Neighbours> make_neighbours(int input, int output) {
  std::vector<Neighbours> neighbours(output);
  const double scale = static_cast<double>(input) / output;
  for (int i = 0; i < output; ++i) {
    const double centre = (i + 0.5) * scale - 0.5;
    const int below = static_cast<int>(std::floor(centre));
    neighbours[i] = {std::clamp(below, 0, input - 1), std::clamp(below + 1, 0, input - 1),
                     static_cast<float>(centre - below)};
  }
  return neighbours;
}

void stretch(const float* row, const std::vector<Neighbours>& columns, float* output) {
  for (size_t x = 0; x < columns.size(); ++x) {
    const Neighbours& at = columns[x];
    output[x] = row[at.near] + (row[at.far] - row[at.near]) * at.share;
  }
}

// Calls write(y, near row, far row, share) for each output row in turn.
template <typename Write>
void each_row(const float* map, int rows, int columns, int height, int width, Write write) {
  if (rows < 1 || columns < 1 || height < 1 || width < 1)
    throw std::invalid_argument("sides must be at least 1");
  const std::vector<Neighbours> across = make_neighbours(columns, width);
  const std::vector<Neighbours> down = make_neighbours(rows, height);
  std::vector<float> near(width);
  std::vector<float> far(width);
  int near_row = -1;
  int far_row = -1;
  for (int y = 0; y < height; ++y) {
    const Neighbours& at = down[y];
    if (at.near != near_row && at.near == far_row) {
      near.swap(far);
      std::swap(near_row, far_row);
    }
    if (at.near != near_row)
      stretch(map + static_cast<size_t>(near_row = at.near) * columns, across, near.data());
    if (at.far != far_row)
      stretch(map + static_cast<size_t>(far_row = at.far) * columns, across, far.data());
    write(y, near.data(), far.data(), at.share);
  }
}

FTSDK_INLINE void blend(const float* near, const float* far, float share, int width,
                        float* output) {
  for (int x = 0; x < width; ++x) output[x] = near[x] + (far[x] - near[x]) * share;
}

FTSDK_INLINE void blend_cut(const float* near, const float* far, float share, int width,
                            float threshold, bool* output) {
  for (int x = 0; x < width; ++x) {
    output[x] = near[x] + (far[x] - near[x]) * share > threshold;
  }
}

}  // namespace

void upsample(const float* map, int rows, int columns, int height, int width, float* output) {
  each_row(map, rows, columns, height, width,
           [=](int y, const float* near, const float* far, float share) {
             blend(near, far, share, width, output + static_cast<size_t>(y) * width);
           });
}

void upsample_cut(const float* map, int rows, int columns, int height, int width, float threshold,
                  bool* output) {
  each_row(map, rows, columns, height, width,
           [=](int y, const float* near, const float* far, float share) {
             blend_cut(near, far, share, width, threshold,
                       output + static_cast<size_t>(y) * width);
           });
}

}  // namespace ftsdk
