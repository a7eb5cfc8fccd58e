#include "jpeg_scans.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace ftsdk {
namespace {

constexpr int kLookBits = 9;
constexpr int kMaxDcBits = 11, kMaxAcBits = 10;  // T.81 table F.1 and F.2, for 8 bits a sample
constexpr int kNoCode = -1;
constexpr int kMostLost = 2;

struct HuffmanTable {
  bool present = false;
  int16_t look[1 << kLookBits];  // length << 8 | symbol of codes up to kLookBits long; -1: longer
  int32_t last[18];              // the largest code of each length, or -1
  int32_t offset[17];            // index of a code's symbol, less the code
  uint8_t symbols[256];
};

struct Component {
  int id = 0, across = 1, down = 1, quantisation = 0;
  const HuffmanTable* dc = nullptr;
  const HuffmanTable* ac = nullptr;
  int previous = 0;
};

struct Picture {
  int width = 0, height = 0, restart_interval = 0;
  std::vector<Component> components;
  HuffmanTable dc[4], ac[4];
  float quantisation[4][64];
  float noise[4];  // what rounding can add to the length of a block's coefficients
};

// Bits of one restart interval; beyond its end, zeros, which are counted.
class Bits {
 public:
  Bits(const uint8_t* at, const uint8_t* end) : at_(at), end_(end) {}

  int peek(int count) {
    if (have_ < count) fill();
    return static_cast<int>(bits_ >> (64 - count));
  }
  void skip(int count) {
    bits_ <<= count;
    have_ -= count;
  }
  int take(int count) {
    const int value = peek(count);
    skip(count);
    return value;
  }
  bool ended() const { return have_ < added_; }      // a bit was used that is not there
  int left() const { return std::max(0, have_ - added_); }
  const uint8_t* position() const { return at_; }
  uint64_t rest() const { return bits_; }

 private:
  void fill() {
    while (have_ <= 56) {
      uint64_t byte = 0;
      if (at_ < end_ && !(*at_ == 0xFF && (at_ + 1 >= end_ || at_[1] != 0))) {
        byte = *at_;
        at_ += *at_ == 0xFF ? 2 : 1;
      } else {
        added_ += 8;
      }
      bits_ |= byte << (56 - have_);
      have_ += 8;
    }
  }

  const uint8_t* at_;
  const uint8_t* end_;
  uint64_t bits_ = 0;
  int have_ = 0, added_ = 0;
};

int symbol(const HuffmanTable& table, Bits* bits) {
  const int16_t found = table.look[bits->peek(kLookBits)];
  if (found >= 0) {
    bits->skip(found >> 8);
    return found & 255;
  }
  const int code = bits->peek(16);
  for (int length = kLookBits + 1; length <= 16; ++length) {
    const int prefix = code >> (16 - length);
    if (prefix <= table.last[length]) {
      bits->skip(length);
      return table.symbols[(prefix + table.offset[length]) & 255];
    }
  }
  return kNoCode;
}

int extended(Bits* bits, int size) {
  if (size == 0) return 0;
  const int value = bits->take(size);
  return value < (1 << (size - 1)) ? value - (1 << size) + 1 : value;
}

// A block of 64 samples between -128 and 127 with mean m has a variance of at most
// (127 - m)(m + 128) (Bhatia and Davis 2000, Amer. Math. Monthly 107).
bool in_range(float dc, float ac_squared, float dc_step, float noise) {
  const float mean = dc / 8;
  const float slack = dc_step / 8 + 1;
  if (mean < -128 - slack || mean > 127 + slack) return false;
  const float high = std::max(127 + slack - mean, 0.0f), low = std::max(mean + 128 + slack, 0.0f);
  return std::sqrt(ac_squared) <= 8 * std::sqrt(high * low) + noise;
}

// Returns false where decoding cannot go on in this interval.
bool block(Bits* bits, const Picture& picture, Component* component, JpegFaults* faults) {
  const int size = symbol(*component->dc, bits);
  if (size < 0 || size > kMaxDcBits) {
    ++faults->codes;
    return false;
  }
  component->previous += extended(bits, size);
  const float* steps = picture.quantisation[component->quantisation];
  float energy = 0;
  int run_of_16 = 0;
  for (int k = 1; k < 64; ++k) {
    const int code = symbol(*component->ac, bits);
    if (code < 0 || (code & 15) > kMaxAcBits) {
      ++faults->codes;
      return false;
    }
    const int run = code >> 4, length = code & 15;
    if (length == 0) {
      if (run != 15) {
        if (run_of_16) ++faults->zero_runs;
        break;
      }
      run_of_16 = 1;
      k += 15;
      if (k > 63) ++faults->codes;
      continue;
    }
    run_of_16 = 0;
    k += run;
    const int value = extended(bits, length);
    if (k > 63) {
      ++faults->codes;
      break;
    }
    const float dequantised = static_cast<float>(value) * steps[k];
    energy += dequantised * dequantised;
  }
  const float dc = static_cast<float>(component->previous) * steps[0];
  if (!in_range(dc, energy, steps[0], picture.noise[component->quantisation])) ++faults->ranges;
  ++faults->blocks;
  return true;
}

int64_t blocks_of(const std::vector<Component*>& members) {
  if (members.size() == 1) return 1;
  int64_t blocks = 0;
  for (const Component* member : members) blocks += member->across * member->down;
  return blocks;
}

// One interval [at, end) of `units` MCUs; end is where its marker stands.
void interval(const uint8_t* at, const uint8_t* end, int64_t units, const Picture& picture,
              std::vector<Component*>* members, JpegFaults* faults) {
  Bits bits(at, end);
  const bool alone = members->size() == 1;
  for (Component* member : *members) member->previous = 0;
  for (int64_t unit = 0; unit < units; ++unit) {
    for (Component* member : *members) {
      const int count = alone ? 1 : member->across * member->down;
      for (int i = 0; i < count; ++i) {
        if (!block(&bits, picture, member, faults)) return;
        if (bits.ended()) {
          faults->missing += (units - unit) * blocks_of(*members);
          return;
        }
      }
    }
  }
  const int unused = bits.left() & 7;
  const uint64_t rest = unused ? bits.rest() >> (64 - unused) : 0;
  if (rest != 0 && rest != (1u << unused) - 1) ++faults->padding;
  faults->surplus += bits.left() / 8;
  for (const uint8_t* byte = bits.position(); byte < end; ++byte) faults->surplus += *byte != 0xFF;
}

const uint8_t* next_marker(const uint8_t* at, const uint8_t* end) {
  while (at < end) {
    at = static_cast<const uint8_t*>(std::memchr(at, 0xFF, static_cast<size_t>(end - at)));
    if (!at || at + 1 >= end) return end;
    if (at[1] != 0 && at[1] != 0xFF) return at;
    ++at;
  }
  return end;
}

int64_t units_of(const Picture& picture, const std::vector<Component*>& members) {
  int across = 1, down = 1;
  for (const Component& component : picture.components) {
    across = std::max(across, component.across);
    down = std::max(down, component.down);
  }
  const auto divided = [](int64_t value, int64_t by) { return (value + by - 1) / by; };
  if (members.size() > 1)
    return divided(picture.width, 8 * across) * divided(picture.height, 8 * down);
  const Component& one = *members[0];
  return divided(divided(int64_t{picture.width} * one.across, across), 8) *
         divided(divided(int64_t{picture.height} * one.down, down), 8);
}

// Reads a scan whose data starts at `at`, and returns where the marker after it stands.
const uint8_t* scan(const uint8_t* at, const uint8_t* end, const Picture& picture,
                    std::vector<Component*>* members, JpegFaults* faults) {
  int64_t left = units_of(picture, *members);
  const int64_t most = picture.restart_interval ? picture.restart_interval : left;
  for (int number = 0;; number = (number + 1) & 7) {
    const uint8_t* marker = next_marker(at, end);
    const int64_t units = std::min(left, most);
    interval(at, marker, units, picture, members, faults);
    left -= units;
    const bool restart = marker + 1 < end && marker[1] >= 0xD0 && marker[1] <= 0xD7;
    if (!restart) {
      faults->missing += left * blocks_of(*members);
      return marker;
    }
    if (left == 0) {
      ++faults->restarts;
      return next_marker(marker + 2, end);
    }
    const int skipped = ((marker[1] & 7) - number) & 7;
    if (skipped) ++faults->restarts;
    if (skipped <= kMostLost) {  // as many markers are lost, and what was between them
      left = std::max<int64_t>(left - skipped * most, 1);
      number = marker[1] & 7;
    }
    at = marker + 2;
  }
}

void read_quantisation(const uint8_t* at, const uint8_t* end, Picture* picture) {
  while (at < end) {
    const int wide = *at >> 4, id = *at & 3;
    ++at;
    if (at + 64 * (1 + (wide != 0)) > end) return;
    float squares = 0;
    for (int k = 0; k < 64; ++k) {
      const int step = wide ? at[0] << 8 | at[1] : at[0];
      at += 1 + (wide != 0);
      picture->quantisation[id][k] = static_cast<float>(step);
      squares += static_cast<float>(step) * static_cast<float>(step);
    }
    picture->noise[id] = std::sqrt(squares) + 8;
  }
}

void read_huffman(const uint8_t* at, const uint8_t* end, Picture* picture) {
  while (at + 17 <= end) {
    HuffmanTable& table = (*at >> 4 ? picture->ac : picture->dc)[*at & 3];
    const uint8_t* counts = at + 1;
    int total = 0;
    for (int i = 0; i < 16; ++i) total += counts[i];
    at += 17;
    if (total > 256 || at + total > end) return;
    std::copy(at, at + total, table.symbols);
    at += total;
    std::fill(std::begin(table.look), std::end(table.look), int16_t{-1});
    int code = 0, index = 0;
    for (int length = 1; length <= 16; ++length) {
      table.offset[length] = index - code;
      table.last[length] = counts[length - 1] ? code + counts[length - 1] - 1 : -1;
      for (int i = 0; i < counts[length - 1]; ++i, ++code, ++index) {
        if (length > kLookBits || code >= 1 << length) continue;
        const int shift = kLookBits - length;
        std::fill_n(table.look + (code << shift), 1 << shift,
                    static_cast<int16_t>(length << 8 | table.symbols[index]));
      }
      code <<= 1;
    }
    table.present = true;
  }
}

bool read_frame(const uint8_t* at, const uint8_t* end, Picture* picture) {
  if (at + 6 > end || at[0] != 8) return false;
  picture->height = at[1] << 8 | at[2];
  picture->width = at[3] << 8 | at[4];
  const int count = at[5];
  if (at + 6 + 3 * count > end) return false;
  picture->components.clear();
  for (at += 6; at + 3 <= end; at += 3) {
    Component component;
    component.id = at[0];
    component.across = std::clamp(at[1] >> 4, 1, 4);
    component.down = std::clamp(at[1] & 15, 1, 4);
    component.quantisation = at[2] & 3;
    picture->components.push_back(component);
  }
  return !picture->components.empty();
}

// Returns false where the header names what was not defined.
bool read_scan_header(const uint8_t* at, const uint8_t* end, Picture* picture,
                      std::vector<Component*>* members) {
  if (at >= end || at + 1 + 2 * *at > end) return false;
  const int count = *at++;
  for (int i = 0; i < count; ++i, at += 2) {
    for (Component& component : picture->components) {
      if (component.id != at[0]) continue;
      component.dc = &picture->dc[at[1] >> 4 & 3];
      component.ac = &picture->ac[at[1] & 3];
      if (!component.dc->present || !component.ac->present) return false;
      members->push_back(&component);
      break;
    }
  }
  return !members->empty();
}

}  // namespace

bool check_jpeg(const uint8_t* data, size_t size, JpegFaults* faults) {
  *faults = JpegFaults{};
  Picture picture{};
  const uint8_t* const end = data + size;
  const uint8_t* at = next_marker(data + std::min<size_t>(size, 2), end);
  while (at + 4 <= end) {
    const int marker = at[1];
    if (marker == 0xD9) return true;
    if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
      at = next_marker(at + 2, end);
      continue;
    }
    const uint8_t* body = at + 4;
    const uint8_t* next = at + 2 + (at[2] << 8 | at[3]);
    if (next > end || next < body) return true;
    if (marker == 0xDB) read_quantisation(body, next, &picture);
    if (marker == 0xC4) read_huffman(body, next, &picture);
    if (marker == 0xDD && next - body >= 2) picture.restart_interval = body[0] << 8 | body[1];
    if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) {
      if (marker > 0xC1 || !read_frame(body, next, &picture)) return false;
    }
    if (marker == 0xDA) {
      std::vector<Component*> members;
      if (!read_scan_header(body, next, &picture, &members)) return false;
      at = scan(next, end, picture, &members, faults);
    } else {
      at = next_marker(next, end);
    }
  }
  return true;
}

}  // namespace ftsdk
