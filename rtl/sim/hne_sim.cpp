// Drives the Verilated engine from a pipe: loads memories, streams images, reports logits and
// counters. Built by hwsim/rtl/simulator.py, once per engine configuration; no VPI in the loop.
//
// Words are little endian. Commands on stdin, each a uint32; their numbers are those of
// hne_constants.h:
//   1 load: uint32 space, first line, lines, fields; uint64 word [line][field].
//   2 run:  uint32 flags (1: record feature maps, 2: random idles and back-pressure, 4: end the
//           packet one beat early, 8: one late, 16: record a trace), uint32 seed, uint64 most cycles,
//           uint32 images of the batch, the packet that ends early or late, beats of all packets;
//           uint16 activation [beat].
//   3 read: uint32 space, first line, lines, fields. Answers uint64 word [line][field].
//   4 poke: uint32 space, line, field, check bits that are written wrong; uint64 word.
// Every message on stdout begins with uint32 kind, uint32 number of the command (0, 1, …), uint64:
//   kAlive:  the clock cycles since the command began; one message every kAliveTicks of them. Whoever
//            waits knows by them that the simulation goes on, and a simulation that nobody waits for
//            any more ends when it writes one.
//   kAnswer: the bytes that follow, then uint32 Adler-32 of them. One to each command, sent whole.
// Answer of run: uint32 status (0 done, 1 … 7 the cause of an error, 255 out of cycles: the engine is
// reset wherever it is), logits, probabilities, argmax of the first image, layers, maps (writes);
// uint64 cycles from start to done; int64 logit [logits], of one image after the other; uint32
// probability [probabilities]; uint32 argmax [images - 1] of the others; uint32 counter
// [layers + 1][kCounters], running totals at the end of each layer and of the batch; uint32 {layer,
// image, line, act [COLS]} [maps], where image kAllImages stands for a pixel of each image in its
// lane. That of load is empty.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <type_traits>
#include <vector>

#include "hne_constants.h"

#include "Vhne.h"
#include "Vhne___024root.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
#endif
#if VM_COVERAGE
#include <unistd.h>

#include <string>

#include "verilated_cov.h"
#endif

namespace {

constexpr uint64_t kHalfCycle = 5;  // ns, in traces
constexpr unsigned kClassBits = HNE_CLASS_BITS;

void die() { std::exit(1); }

template <typename T>
T get() {
  T value;
  if (std::fread(&value, sizeof value, 1, stdin) != 1) die();
  return value;
}

// What goes to whoever asked: the answer to the command at work, and signs of life before it.
class Messages {
 public:
  template <typename T>
  void put(const T* values, size_t count) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(values);
    answer_.insert(answer_.end(), bytes, bytes + count * sizeof(T));
  }

  // Apart, so that a cycle in which nothing is said costs little.
  [[gnu::noinline, gnu::cold]] void alive(uint64_t ticks) const {
    head(kAlive, ticks);
    std::fflush(stdout);
  }

  void answer() {
    uint32_t low = 1, high = 0;
    for (const unsigned char byte : answer_) {
      low = (low + byte) % 65521;
      high = (high + low) % 65521;
    }
    const uint32_t sum = high << 16 | low;
    head(kAnswer, answer_.size());
    write(answer_.data(), answer_.size());
    write(&sum, sizeof sum);
    std::fflush(stdout);
    answer_.clear();
    ++number_;
  }

 private:
  static void write(const void* bytes, size_t count) {
    if (count && std::fwrite(bytes, 1, count, stdout) != count) die();
  }

  void head(uint32_t kind, uint64_t value) const {
    const uint32_t words[] = {kind, number_};
    write(words, sizeof words);
    write(&value, sizeof value);
  }

  std::vector<unsigned char> answer_;
  uint32_t number_ = 0;
};

// A field of a signal that Verilator keeps in one word or in many.
template <typename T>
uint32_t field(const T& word, unsigned low, unsigned width) {
  return static_cast<uint32_t>(static_cast<uint64_t>(word) >> low) & ((1u << width) - 1);
}

template <std::size_t N>
uint32_t field(const VlWide<N>& words, unsigned low, unsigned width) {
  uint64_t pair = words.at(low / 32);
  if (low / 32 + 1 < N) pair |= static_cast<uint64_t>(words.at(low / 32 + 1)) << 32;
  return static_cast<uint32_t>(pair >> (low % 32)) & ((1u << width) - 1);
}

class Engine {
  using SignedOut = std::conditional_t<sizeof(Vhne::out_data_o) == 4, int32_t, int64_t>;

 public:
  Engine() { reset(); }

  void reset() {
    top_.rst_i = 1;
    top_.start_i = top_.mem_we_i = top_.mem_re_i = top_.in_valid_i = top_.out_ready_i = 0;
    top_.mem_flip_i = 0;
    for (int i = 0; i < 4; ++i) tick();
    top_.rst_i = 0;
    tick();
  }

  // One command, from its first cycle to its answer.
  void command(uint32_t kind) {
    ticks_ = 0;
    if (kind == kLoadCommand) load();
    if (kind == kRunCommand) run();
    if (kind == kReadCommand) read();
    if (kind == kPokeCommand) poke();
    messages_.answer();
  }

  // Of cycles first … last − 1 of every run that asks for it; each overwrites the one before.
  void trace_to(const char* path, uint64_t first, uint64_t last) {
    trace_path_ = path;
    trace_first_ = first;
    trace_last_ = last;
  }

 private:
  void load() {
    select();
    for (uint32_t line = 0; line < lines_; ++line) {
      for (uint32_t n = 0; n < fields_; ++n) {
        top_.mem_we_i = 1;
        top_.mem_line_i = first_ + line;
        top_.mem_field_i = n;
        top_.mem_wdata_i = get<uint64_t>();
        tick();
      }
    }
    top_.mem_we_i = 0;
  }

  void read() {
    select();
    for (uint32_t line = 0; line < lines_; ++line) {
      for (uint32_t n = 0; n < fields_; ++n) {
        top_.mem_re_i = 1;
        top_.mem_line_i = first_ + line;
        top_.mem_field_i = n;
        for (unsigned i = 0; i < kMemoryTicks; ++i) tick();
        const uint64_t word = top_.mem_rdata_o;
        messages_.put(&word, 1);
      }
    }
    top_.mem_re_i = 0;
  }

  void poke() {
    top_.mem_space_i = get<uint32_t>();
    top_.mem_line_i = get<uint32_t>();
    top_.mem_field_i = get<uint32_t>();
    top_.mem_flip_i = get<uint32_t>();
    top_.mem_wdata_i = get<uint64_t>();
    top_.mem_we_i = 1;
    tick();
    top_.mem_we_i = 0;
    top_.mem_flip_i = 0;
  }

  void run() {
    const uint32_t flags = get<uint32_t>();
    random_ = get<uint32_t>() | 1u;
    const uint64_t limit = get<uint64_t>();
    const uint32_t images = get<uint32_t>(), odd = get<uint32_t>();
    if (!images) die();
    const size_t all = get<uint32_t>(), each = all / images;
    // A beat and whether it is the last one of its packet.
    std::vector<uint16_t> beats;
    std::vector<bool> last;
    for (size_t n = 0; n < all; ++n) {
      beats.push_back(get<uint16_t>());
      last.push_back(n % each + 1 == each);
    }
    const size_t end = (odd + 1) * each;
    if ((flags & kLong) && end && end <= beats.size()) {
      last[end - 1] = false;
      beats.insert(beats.begin() + end, 0);
      last.insert(last.begin() + end, true);
    }
    if ((flags & kShort) && end && end <= beats.size()) {
      beats.erase(beats.begin() + end - 1);
      last.erase(last.begin() + end - 1);
      if (each > 1) last[end - 2] = true;
    }
    const size_t count = beats.size();
    top_.images_i = images;

    std::vector<int64_t> logits;
    std::vector<uint32_t> counters, maps;
    uint32_t status = kOutOfCycles, layer = 0;
    size_t next = 0;
    uint64_t cycle = 0;
    bool held = false, busy = false;
    top_.start_i = 1;
    if (flags & kTrace) open_trace();
    for (; cycle < limit; ++cycle) {
      recording_ = (flags & kTrace) && cycle >= trace_first_ && cycle < trace_last_;
      time_ = 2 * kHalfCycle * cycle;
      // A beat that was offered stays until it is taken.
      if (!held) held = next < count && !((flags & kRandom) && chance());
      top_.in_valid_i = held;
      if (held) {
        top_.in_data_i = beats[next];
        top_.in_last_i = last[next];
      }
      top_.out_ready_i = !((flags & kRandom) && chance());
      const bool taken = held && top_.in_ready_o;
      const bool out = top_.out_valid_o && top_.out_ready_i;
      const bool layer_end = top_.layer_end_o;
      if (out) logits.push_back(static_cast<SignedOut>(top_.out_data_o));
      if ((flags & kRecord) && top_.rootp->hne_core__DOT__map_write) {
        maps.push_back(layer);
        maps.push_back(top_.rootp->hne_core__DOT__map_all ? kAllImages
                                                          : top_.rootp->hne_core__DOT__map_image);
        maps.push_back(top_.rootp->hne_core__DOT__map_line);
        for (unsigned n = 0; n < HNE_COLS; ++n) {
          maps.push_back(field(top_.rootp->hne_core__DOT__map_act, n * HNE_ACT_W, HNE_ACT_W));
        }
      }
      tick();
      if (taken) held = false, ++next;
      if (layer_end) {
        add_counters(counters);
        ++layer;
      }
      // Logits out, probabilities there; or refused.
      if (busy && top_.idle_o) {
        status = top_.error_o ? top_.cause_o : 0;
        break;
      }
      if (!top_.idle_o) {
        busy = true;
        top_.start_i = 0;
      }
    }
    recording_ = false;
    if (flags & kTrace) close_trace();
    // The rest of a packet that was refused.
    for (; next < count && status != kOutOfCycles; ++next) {
      top_.in_valid_i = 1;
      top_.in_data_i = beats[next];
      top_.in_last_i = last[next];
      if (!top_.in_ready_o) break;
      tick();
    }
    top_.in_valid_i = top_.out_ready_i = top_.start_i = 0;
    if (status == kOutOfCycles) reset();
    tick();
    add_counters(counters);
    const auto probabilities =
        read_probabilities(images, HNE_SOFTMAX && !status ? logits.size() : 0);
    std::vector<uint32_t> classes;
    for (unsigned n = 0; n < images; ++n) {
      classes.push_back(field(top_.argmax_o, n * kClassBits, kClassBits));
    }

    const uint32_t head[] = {status, static_cast<uint32_t>(logits.size()),
                             static_cast<uint32_t>(probabilities.size()), classes.at(0), layer,
                             static_cast<uint32_t>(maps.size() / (3 + HNE_COLS))};
    messages_.put(head, 6);
    messages_.put(&cycle, 1);
    messages_.put(logits.data(), logits.size());
    messages_.put(probabilities.data(), probabilities.size());
    messages_.put(classes.data() + 1, classes.size() - 1);
    messages_.put(counters.data(), counters.size());
    messages_.put(maps.data(), maps.size());
  }

  void tick() {
    top_.clk_i = 0;
    top_.eval();
    if (recording_) dump();
    top_.clk_i = 1;
    top_.eval();
    if (recording_) dump();
    if (++ticks_ % kAliveTicks == 0) messages_.alive(ticks_);
  }

#if VM_TRACE_FST
  void open_trace() {
    trace_.set_time_unit("1ns");
    trace_.set_time_resolution("1ns");
    if (!traced_) top_.trace(&trace_, 99);
    traced_ = true;
    trace_.open(trace_path_);
  }
  void close_trace() { trace_.close(); }
  void dump() {
    trace_.dump(time_);
    time_ += kHalfCycle;
  }
  VerilatedFstC trace_;
  bool traced_ = false;
#else
  void open_trace() { die(); }
  void close_trace() {}
  void dump() {}
#endif

  void add_counters(std::vector<uint32_t>& counters) const {
    for (unsigned n = 0; n < kCounters; ++n) counters.push_back(top_.count_o.at(n));
  }

  // Of all logits that left, image after image.
  std::vector<uint32_t> read_probabilities(uint32_t images, size_t logits) {
    std::vector<uint32_t> found;
    top_.mem_space_i = kProbabilities;
    top_.mem_re_i = 1;
    const size_t classes = logits / images;
    for (size_t n = 0; n < classes * images; ++n) {
      top_.mem_field_i = n / classes;
      top_.mem_line_i = n % classes;
      for (unsigned i = 0; i < kMemoryTicks; ++i) tick();
      found.push_back(static_cast<uint32_t>(top_.mem_rdata_o));
    }
    top_.mem_re_i = 0;
    return found;
  }

  void select() {
    top_.mem_space_i = get<uint32_t>();
    first_ = get<uint32_t>();
    lines_ = get<uint32_t>();
    fields_ = get<uint32_t>();
  }

  // True in one of three draws.
  bool chance() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 17;
    random_ ^= random_ << 5;
    return random_ % 3 == 0;
  }

  Vhne top_;
  Messages messages_;
  uint64_t ticks_ = 0;
  const char* trace_path_ = nullptr;
  uint64_t trace_first_ = 0, trace_last_ = 0, time_ = 0;
  bool recording_ = false;
  uint32_t random_ = 1, first_ = 0, lines_ = 0, fields_ = 0;
};

}  // namespace

// First argument: registers and memories wake up with random bits from this seed; zero for "-" or
// none. Three more, where it was compiled for traces: file, first cycle, last cycle plus one.
int main(int argc, char** argv) {
#if VM_TRACE_FST
  Verilated::traceEverOn(true);
#endif
  if (argc > 1 && *argv[1] != '-') {
    Verilated::randReset(2);
    Verilated::randSeed(std::atoi(argv[1]));
  } else {
    Verilated::randReset(0);
  }
  Engine engine;
  if (argc > 4) {
    engine.trace_to(argv[2], std::strtoull(argv[3], nullptr, 10),
                    std::strtoull(argv[4], nullptr, 10));
  }
  uint32_t command;
  while (std::fread(&command, sizeof command, 1, stdin) == 1) {
    engine.command(command);
  }
#if VM_COVERAGE
  const char* folder = std::getenv("HWSIM_COVERAGE");
  if (!folder) die();
  VerilatedCov::write(std::string(folder) + "/" + std::to_string(getpid()) + ".dat");
#endif
}
