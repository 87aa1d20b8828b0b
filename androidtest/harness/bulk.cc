#include "androidtest/harness/bulk.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "androidtest/harness/bulk_internal.h"
#include "androidtest/harness/program.h"

namespace fused::androidtest {
namespace {

uint64_t Word(uint64_t index, uint64_t seed) {
  uint64_t x = (index + 1) * 0x9e3779b97f4a7c15 + seed;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  return x ^ (x >> 27);
}

}  // namespace

void FillPattern(char* buffer, size_t size, uint64_t offset, uint64_t seed) {
  for (size_t i = 0; i < size;) {
    const uint64_t word = Word((offset + i) / 8, seed);
    const size_t skip = (offset + i) % 8;
    const size_t n = std::min(size - i, 8 - skip);
    memcpy(buffer + i, reinterpret_cast<const char*>(&word) + skip, n);
    i += n;
  }
}

size_t FirstWrong(const char* buffer, size_t size, uint64_t offset,
                  uint64_t seed) {
  for (size_t i = 0; i < size;) {
    const uint64_t word = Word((offset + i) / 8, seed);
    const size_t skip = (offset + i) % 8;
    const size_t n = std::min(size - i, 8 - skip);
    if (memcmp(buffer + i, reinterpret_cast<const char*>(&word) + skip, n) !=
        0) {
      return i;
    }
    i += n;
  }
  return size;
}

namespace bulk {

Result Verify(const char* data, size_t size, uint64_t offset, uint64_t seed) {
  const size_t wrong = FirstWrong(data, size, offset, seed);
  errno = 0;
  return wrong == size ? ""
                       : absl::StrCat("wrong byte at offset ", offset + wrong);
}

Result Short(std::string_view call, int64_t moved, uint64_t offset) {
  if (moved >= 0) errno = 0;
  return absl::StrCat(call, " at offset ", offset, " moved ", moved);
}

namespace {

// The order of the chunks; shuffled for the random methods.
std::vector<uint64_t> Offsets(const Task& task, size_t piece, bool shuffled) {
  std::vector<uint64_t> offsets;
  for (uint64_t o = 0; o < task.size; o += piece) offsets.push_back(o);
  if (shuffled) {
    std::mt19937_64 random(task.seed);
    std::shuffle(offsets.begin(), offsets.end(), random);
  }
  return offsets;
}

Result ByWrite(const Task& task) {
  const Buffer buffer = AllocateBuffer(kBulkChunk);
  for (const uint64_t offset : Offsets(task, kBulkChunk, false)) {
    FillPattern(buffer.get(), kBulkChunk, offset, task.seed);
    const ssize_t n = write(task.fd, buffer.get(), kBulkChunk);
    if (n != kBulkChunk) return Short("write", n, offset);
  }
  return "";
}

Result ByRandomWrite(const Task& task) {
  constexpr size_t kPiece = 64 << 10;
  const Buffer buffer = AllocateBuffer(kPiece);
  for (const uint64_t offset : Offsets(task, kPiece, true)) {
    FillPattern(buffer.get(), kPiece, offset, task.seed);
    const ssize_t n =
        pwrite(task.fd, buffer.get(), kPiece, static_cast<off_t>(offset));
    if (n != kPiece) return Short("pwrite", n, offset);
  }
  return "";
}

Result ByMappedWrite(const Task& task) {
  if (ftruncate(task.fd, static_cast<off_t>(task.size)) != 0) {
    return "ftruncate";
  }
  void* map =
      mmap(nullptr, task.size, PROT_READ | PROT_WRITE, MAP_SHARED, task.fd, 0);
  if (map == MAP_FAILED) return "mmap";
  FillPattern(static_cast<char*>(map), task.size, 0, task.seed);
  const int synced = msync(map, task.size, MS_SYNC);
  munmap(map, task.size);
  return synced == 0 ? "" : "msync";
}

Result BySpliceWrite(const Task& task) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return "pipe";
  const Descriptor from(ends[0]);
  const Descriptor to(ends[1]);
  constexpr size_t kPiece = 32 << 10;
  const Buffer buffer = AllocateBuffer(kPiece);
  for (const uint64_t offset : Offsets(task, kPiece, false)) {
    FillPattern(buffer.get(), kPiece, offset, task.seed);
    if (write(to.get(), buffer.get(), kPiece) != kPiece) return "pipe write";
    for (size_t left = kPiece; left > 0;) {
      const ssize_t n =
          splice(from.get(), nullptr, task.fd, nullptr, left, SPLICE_F_MOVE);
      if (n <= 0) return Short("splice", n, offset);
      left -= n;
    }
  }
  return "";
}

Result BySendfileWrite(const Task& task) {
  const Descriptor source(memfd_create("source", MFD_CLOEXEC));
  const Task fill = {.fd = source.get(), .size = task.size, .seed = task.seed};
  Result wrong = ByWrite(fill);
  if (!wrong.empty()) return wrong;
  off_t offset = 0;
  while (static_cast<uint64_t>(offset) < task.size) {
    const ssize_t n =
        sendfile(task.fd, source.get(), &offset, task.size - offset);
    if (n <= 0) return Short("sendfile", n, offset);
  }
  return "";
}

Result ByRead(const Task& task) {
  const Buffer buffer = AllocateBuffer(kBulkChunk);
  for (const uint64_t offset : Offsets(task, kBulkChunk, false)) {
    const ssize_t n = read(task.fd, buffer.get(), kBulkChunk);
    if (n != kBulkChunk) return Short("read", n, offset);
    Result wrong = Verify(buffer.get(), kBulkChunk, offset, task.seed);
    if (!wrong.empty()) return wrong;
  }
  return read(task.fd, buffer.get(), 1) == 0 ? "" : "more than it should have";
}

Result ByRandomRead(const Task& task) {
  constexpr size_t kPiece = 64 << 10;
  const Buffer buffer = AllocateBuffer(kPiece);
  for (const uint64_t offset : Offsets(task, kPiece, true)) {
    const ssize_t n =
        pread(task.fd, buffer.get(), kPiece, static_cast<off_t>(offset));
    if (n != kPiece) return Short("pread", n, offset);
    Result wrong = Verify(buffer.get(), kPiece, offset, task.seed);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

Result ByMapping(const Task& task, int flags) {
  void* map = mmap(nullptr, task.size, PROT_READ, flags, task.fd, 0);
  if (map == MAP_FAILED) return "mmap";
  Result wrong = Verify(static_cast<const char*>(map), task.size, 0, task.seed);
  munmap(map, task.size);
  return wrong;
}

Result ByPrivateMapping(const Task& task) {
  return ByMapping(task, MAP_PRIVATE);
}

Result BySharedMapping(const Task& task) { return ByMapping(task, MAP_SHARED); }

Result BySpliceRead(const Task& task) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return "pipe";
  const Descriptor from(ends[0]);
  const Descriptor to(ends[1]);
  constexpr size_t kPiece = 64 << 10;
  const Buffer buffer = AllocateBuffer(kPiece);
  for (uint64_t offset = 0; offset < task.size;) {
    const ssize_t n =
        splice(task.fd, nullptr, to.get(), nullptr, kPiece, SPLICE_F_MOVE);
    if (n <= 0) return Short("splice", n, offset);
    if (read(from.get(), buffer.get(), n) != n) return "pipe read";
    Result wrong = Verify(buffer.get(), n, offset, task.seed);
    if (!wrong.empty()) return wrong;
    offset += n;
  }
  return "";
}

Result BySendfileRead(const Task& task) {
  const Descriptor target(memfd_create("target", MFD_CLOEXEC));
  for (uint64_t moved = 0; moved < task.size;) {
    const ssize_t n =
        sendfile(target.get(), task.fd, nullptr, task.size - moved);
    if (n <= 0) return Short("sendfile", n, moved);
    moved += n;
  }
  lseek(target.get(), 0, SEEK_SET);
  return ByRead({.fd = target.get(), .size = task.size, .seed = task.seed});
}

struct Method {
  const char* name;
  int flags;
  Result (*run)(const Task&);
};

constexpr Method kWriters[] = {
    {"write", O_WRONLY, ByWrite},
    {"random_write", O_WRONLY, ByRandomWrite},
    {"mapping", O_RDWR, ByMappedWrite},
    {"splice", O_WRONLY, BySpliceWrite},
    {"sendfile", O_WRONLY, BySendfileWrite},
    {"aio", O_WRONLY | O_DIRECT, ByAioWrite},
    {"uring", O_WRONLY, ByUringWrite},
    {"direct", O_WRONLY | O_DIRECT, ByWrite},
    {"append", O_WRONLY | O_APPEND, ByWrite},
};

constexpr Method kReaders[] = {
    {"read", O_RDONLY, ByRead},
    {"random_read", O_RDONLY, ByRandomRead},
    {"private_mapping", O_RDONLY, ByPrivateMapping},
    {"shared_mapping", O_RDONLY, BySharedMapping},
    {"splice", O_RDONLY, BySpliceRead},
    {"sendfile", O_RDONLY, BySendfileRead},
    {"aio", O_RDONLY | O_DIRECT, ByAioRead},
    {"uring", O_RDONLY, ByUringRead},
    {"direct", O_RDONLY | O_DIRECT, ByRead},
};

template <size_t N>
v1::Reply RunMethod(const Method (&methods)[N], int more_flags,
                    const Arguments& arguments) {
  Task task;
  if (arguments.size() != 4 || !absl::SimpleAtoi(arguments[2], &task.size) ||
      !absl::SimpleAtoi(arguments[3], &task.seed)) {
    return Wrong("METHOD PATH SIZE SEED");
  }
  for (const Method& method : methods) {
    if (arguments[0] != method.name) continue;
    const Descriptor file(open(arguments[1].c_str(),
                               method.flags | more_flags | O_CLOEXEC, 0666));
    if (file.get() < 0) return Failed("open");
    task.fd = file.get();
    errno = 0;
    const Result wrong = method.run(task);
    if (wrong.empty()) return Done(static_cast<int64_t>(task.size));
    return errno == 0 ? Wrong(wrong) : Failed(wrong);
  }
  return Wrong("no method " + arguments[0]);
}

template <size_t N>
std::vector<std::string> Names(const Method (&methods)[N]) {
  std::vector<std::string> names;
  for (const Method& method : methods) names.emplace_back(method.name);
  return names;
}

}  // namespace
}  // namespace bulk

std::vector<std::string> WriteMethods() { return bulk::Names(bulk::kWriters); }
std::vector<std::string> ReadMethods() { return bulk::Names(bulk::kReaders); }

APP_PROGRAM(Fill) {
  return bulk::RunMethod(bulk::kWriters, O_CREAT | O_EXCL, arguments);
}

APP_PROGRAM(Check) { return bulk::RunMethod(bulk::kReaders, 0, arguments); }

APP_PROGRAM(SmallWrites) {
  int fd = -1;
  int count = 0;
  size_t bytes = 0;
  uint64_t seed = 0;
  if (arguments.size() != 4 || !absl::SimpleAtoi(arguments[0], &fd) ||
      !absl::SimpleAtoi(arguments[1], &count) ||
      !absl::SimpleAtoi(arguments[2], &bytes) ||
      !absl::SimpleAtoi(arguments[3], &seed)) {
    return Wrong("FD COUNT BYTES SEED");
  }
  std::string buffer(bytes, '\0');
  for (int i = 0; i < count; ++i) {
    FillPattern(buffer.data(), bytes, i * bytes, seed);
    if (write(fd, buffer.data(), bytes) != static_cast<ssize_t>(bytes)) {
      return Failed("write");
    }
  }
  return Done(count);
}

}  // namespace fused::androidtest
