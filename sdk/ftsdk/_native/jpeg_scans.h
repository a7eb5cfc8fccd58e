// What a JPEG file's compressed data cannot hold unless it was damaged (ITU-T T.81).
#pragma once

#include <cstddef>
#include <cstdint>

namespace ftsdk {

// How often each sign of damage was met. Decoders pass over all but the first two in silence.
struct JpegFaults {
  int64_t blocks = 0;           // decoded: 64 coefficients of one component
  int64_t missing = 0;          // blocks for which the data ended too early
  int64_t surplus = 0;          // bytes after the last block, or after a restart interval's
  int64_t codes = 0;            // codes that no table has, or whose run leaves the block
  int64_t padding = 0;          // last bytes whose unused bits are neither all ones nor all zeros
  int64_t restarts = 0;         // restart markers that are missing or out of order
  int64_t zero_runs = 0;        // runs of zeros that nothing follows, which no encoder writes
  int64_t ranges = 0;           // blocks that no pixels of 8 bits can have made
};

// Reads every scan of a baseline JPEG. The structure (segments, their lengths and counts) must have
// been checked; what does not fit is passed over here, and nothing outside [data, data + size) is read.
// Returns false, and no faults, for other kinds of JPEG.
bool check_jpeg(const uint8_t* data, size_t size, JpegFaults* faults);

}  // namespace ftsdk
