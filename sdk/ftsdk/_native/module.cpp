// Python's view of the kernels. Arguments are checked here; the GIL is free while they run.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>

#include "dispatch.h"
#include "jpeg_scans.h"
#include "resample.h"
#include "upsample.h"

namespace nb = nanobind;

namespace {

using PictureArray = nb::ndarray<const uint8_t, nb::shape<-1, -1, 3>, nb::device::cpu>;
using MapArray = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Output = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

int side(size_t length) {
  if (length < 1 || length > static_cast<size_t>(std::numeric_limits<int>::max() / 4))
    throw nb::value_error("sides must be between 1 and 2^29");
  return static_cast<int>(length);
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
  float* raw = output.release();
  const nb::capsule owner(raw, [](void* pixels) noexcept { delete[] static_cast<float*>(pixels); });
  return nb::ndarray<nb::numpy, float>(raw, {1, 3, edge, edge}, owner);
}

void upsample(const MapArray& map, const Output<float>& output) {
  const int rows = side(output.shape(0));
  const int columns = side(output.shape(1));
  nb::gil_scoped_release release;
  ftsdk::upsample(map.data(), side(map.shape(0)), side(map.shape(1)), rows, columns,
                  output.data());
}

void upsample_cut(const MapArray& map, float threshold, const Output<bool>& output) {
  const int rows = side(output.shape(0));
  const int columns = side(output.shape(1));
  nb::gil_scoped_release release;
  ftsdk::upsample_cut(map.data(), side(map.shape(0)), side(map.shape(1)), rows, columns, threshold,
                      output.data());
}

nb::object jpeg_faults(const nb::bytes& file) {
  ftsdk::JpegFaults faults;
  bool known = false;
  {
    const auto* data = static_cast<const uint8_t*>(file.data());
    const size_t size = file.size();
    nb::gil_scoped_release release;
    known = ftsdk::check_jpeg(data, size, &faults);
  }
  if (!known) return nb::none();
  nb::dict found;
  found["missing"] = faults.missing;
  found["surplus"] = faults.surplus;
  found["codes"] = faults.codes;
  found["padding"] = faults.padding;
  found["restarts"] = faults.restarts;
  found["zero_runs"] = faults.zero_runs;
  found["ranges"] = faults.ranges;
  return found;
}

}  // namespace

NB_MODULE(kernels, module) {
  module.doc() = "Resizing kernels of ftsdk, in C++.";
  module.def("resize_normalise", &resize_normalise, nb::arg("picture").noconvert(), nb::kw_only(),
             nb::arg("size"), nb::arg("mean"), nb::arg("std"), nb::arg("reversed"),
             nb::arg("portable") = false);
  module.def("upsample", &upsample, nb::arg("map").noconvert(), nb::arg("output").noconvert());
  module.def("upsample_cut", &upsample_cut, nb::arg("map").noconvert(), nb::arg("threshold"),
             nb::arg("output").noconvert());
  module.def("jpeg_faults", &jpeg_faults, nb::arg("file"));
  module.def("avx2_available", &ftsdk::avx2_available);
}
