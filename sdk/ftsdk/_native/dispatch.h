// One C++ source per kernel, compiled twice on x86: for the baseline and for AVX2.
#pragma once

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#define FTSDK_HAS_AVX2 1
#define FTSDK_AVX2 __attribute__((target("avx2")))
#else
#define FTSDK_HAS_AVX2 0
#define FTSDK_AVX2
#endif

#if defined(__GNUC__) || defined(__clang__)
#define FTSDK_INLINE inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define FTSDK_INLINE __forceinline
#else
#define FTSDK_INLINE inline
#endif

namespace ftsdk {

inline bool avx2_available() {
#if FTSDK_HAS_AVX2
  static const bool available = __builtin_cpu_supports("avx2");
  return available;
#else
  return false;
#endif
}

}  // namespace ftsdk
