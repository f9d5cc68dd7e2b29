// The two functions of LZ4 that Verilator's FST writer calls, so that waves need no system library.
// Blocks are standard LZ4 (github.com/lz4/lz4, doc/lz4_Block_format.md), matched greedily.
// No package serves: the one on PyPI is a Python extension without header or library, and a compiler
// that finds the system's liblz4-dev is not to be counted on.

#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

inline int LZ4_compress_default(const char* source, char* target, int size, int capacity) {
  // Rules of the format: the last five bytes are literals, a match begins 12 before the end.
  constexpr int kLastLiterals = 5, kMatchLimit = 12, kMinMatch = 4, kReach = 65535, kBits = 14;
  if (capacity < LZ4_compressBound(size)) return 0;
  std::vector<int> seen(1 << kBits, -1);
  char* out = target;
  const auto length = [&out](int value) {
    for (; value >= 255; value -= 255) *out++ = static_cast<char>(255);
    *out++ = static_cast<char>(value);
  };
  const auto literals = [&](int from, int count, int match) {
    *out++ = static_cast<char>((count < 15 ? count : 15) << 4 | (match < 15 ? match : 15));
    if (count >= 15) length(count - 15);
    std::memcpy(out, source + from, count);
    out += count;
  };
  int start = 0;
  for (int at = 0; at + kMatchLimit <= size;) {
    uint32_t word;
    std::memcpy(&word, source + at, 4);
    int& entry = seen[word * 2654435761u >> (32 - kBits)];
    const int before = entry;
    entry = at;
    if (before < 0 || at - before > kReach || std::memcmp(source + before, source + at, 4)) {
      ++at;
      continue;
    }
    int match = kMinMatch;
    while (at + match < size - kLastLiterals && source[before + match] == source[at + match]) {
      ++match;
    }
    literals(start, at - start, match - kMinMatch);
    *out++ = static_cast<char>((at - before) & 255);
    *out++ = static_cast<char>((at - before) >> 8);
    if (match - kMinMatch >= 15) length(match - kMinMatch - 15);
    at += match;
    start = at;
  }
  literals(start, size - start, 0);
  return static_cast<int>(out - target);
}
