// Python's view of the kernels. Arguments are checked here; the GIL is free while they run.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <memory>

#include "dispatch.h"
#include "resample.h"
#include "upsample.h"

namespace nb = nanobind;

namespace {

using PictureArray = nb::ndarray<const uint8_t, nb::shape<-1, -1, 3>, nb::device::cpu>;
using MapArray = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

int side(size_t length) {
  if (length < 1 || length > static_cast<size_t>(std::numeric_limits<int>::max() / 4))
    throw nb::value_error("sides must be between 1 and 2^29");
  return static_cast<int>(length);
}

template <typename T>
nb::ndarray<nb::numpy, T> give(std::unique_ptr<T[]> data, std::initializer_list<size_t> shape) {
  T* raw = data.release();
  nb::capsule owner(raw, [](void* pointer) noexcept { delete[] static_cast<T*>(pointer); });
  return nb::ndarray<nb::numpy, T>(raw, shape, owner);
}

nb::ndarray<nb::numpy, float> resize_normalise(const PictureArray& array, int size,
                                               const std::array<float, 3>& mean,
                                               const std::array<float, 3>& std, bool reversed,
                                               bool portable) {
  const ftsdk::Picture picture{array.data(),    side(array.shape(0)), side(array.shape(1)),
                               array.stride(0), array.stride(1),      array.stride(2)};
  ftsdk::Normalisation normalisation{};
  std::copy(mean.begin(), mean.end(), normalisation.mean);
  std::copy(std.begin(), std.end(), normalisation.deviation);
  const size_t edge = static_cast<size_t>(side(size < 1 ? 0 : size));
  std::unique_ptr<float[]> output(new float[3 * edge * edge]);
  {
    nb::gil_scoped_release release;
    ftsdk::resize_normalise(picture, size, normalisation, reversed, portable, output.get());
  }
  return give(std::move(output), {1, 3, edge, edge});
}

nb::ndarray<nb::numpy, float> upsample(const MapArray& map, size_t height, size_t width) {
  const int rows = side(height);
  const int columns = side(width);
  std::unique_ptr<float[]> output(new float[height * width]);
  {
    nb::gil_scoped_release release;
    ftsdk::upsample(map.data(), side(map.shape(0)), side(map.shape(1)), rows, columns,
                    output.get());
  }
  return give(std::move(output), {height, width});
}

nb::ndarray<nb::numpy, bool> upsample_cut(const MapArray& map, size_t height, size_t width,
                                          float threshold) {
  const int rows = side(height);
  const int columns = side(width);
  std::unique_ptr<bool[]> output(new bool[height * width]);
  {
    nb::gil_scoped_release release;
    ftsdk::upsample_cut(map.data(), side(map.shape(0)), side(map.shape(1)), rows, columns,
                        threshold, output.get());
  }
  return give(std::move(output), {height, width});
}

}  // namespace

NB_MODULE(kernels, module) {
  module.doc() = "Resizing kernels of ftsdk, in C++.";
  module.def("resize_normalise", &resize_normalise, nb::arg("picture"), nb::kw_only(),
             nb::arg("size"), nb::arg("mean"), nb::arg("std"), nb::arg("reversed"),
             nb::arg("portable") = false);
  module.def("upsample", &upsample, nb::arg("map"), nb::arg("height"), nb::arg("width"));
  module.def("upsample_cut", &upsample_cut, nb::arg("map"), nb::arg("height"), nb::arg("width"),
             nb::arg("threshold"));
  module.def("avx2_available", &ftsdk::avx2_available);
}
