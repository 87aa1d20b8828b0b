// libaio and io_uring: several chunks under way at once.
#include <libaio.h>
#include <liburing.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/bulk_internal.h"

namespace fused::androidtest::bulk {
namespace {

constexpr size_t kDepth = 8;
constexpr size_t kPiece = 128 << 10;

class Buffers {
 public:
  Buffers() {
    for (size_t i = 0; i < kDepth; ++i) {
      buffers_.push_back(AllocateBuffer(kPiece));
    }
  }
  char* at(size_t i) { return buffers_[i].get(); }

 private:
  std::vector<Buffer> buffers_;
};

class AioContext {
 public:
  AioContext() : error_(io_setup(kDepth, &context_)) {}
  ~AioContext() {
    if (error_ == 0) io_destroy(context_);
  }
  AioContext(const AioContext&) = delete;
  AioContext& operator=(const AioContext&) = delete;
  int error() const { return error_; }
  io_context_t get() const { return context_; }

 private:
  io_context_t context_ = nullptr;
  int error_;
};

Result Aio(const Task& task, bool write) {
  const AioContext context;
  if (context.error() != 0) {
    errno = -context.error();
    return "io_setup";
  }
  Buffers buffers;
  for (uint64_t base = 0; base < task.size; base += kDepth * kPiece) {
    iocb blocks[kDepth];
    iocb* pointers[kDepth];
    for (size_t i = 0; i < kDepth; ++i) {
      const uint64_t offset = base + i * kPiece;
      char* buffer = buffers.at(i);
      if (write) {
        FillPattern(buffer, kPiece, offset, task.seed);
        io_prep_pwrite(&blocks[i], task.fd, buffer, kPiece,
                       static_cast<int64_t>(offset));
      } else {
        memset(buffer, 0, kPiece);
        io_prep_pread(&blocks[i], task.fd, buffer, kPiece,
                      static_cast<int64_t>(offset));
      }
      pointers[i] = &blocks[i];
    }
    const int submitted = io_submit(context.get(), kDepth, pointers);
    if (submitted != kDepth) {
      errno = submitted < 0 ? -submitted : EAGAIN;
      return "io_submit";
    }
    io_event events[kDepth];
    if (io_getevents(context.get(), kDepth, kDepth, events, nullptr) !=
        kDepth) {
      return "io_getevents";
    }
    for (const io_event& event : events) {
      const auto moved = static_cast<int64_t>(event.res);
      if (moved == static_cast<int64_t>(kPiece)) continue;
      errno = moved < 0 ? static_cast<int>(-moved) : 0;
      return Short("aio", moved, base);
    }
    for (size_t i = 0; i < kDepth && !write; ++i) {
      Result wrong =
          Verify(buffers.at(i), kPiece, base + i * kPiece, task.seed);
      if (!wrong.empty()) return wrong;
    }
  }
  return "";
}

class Ring {
 public:
  Ring() : error_(io_uring_queue_init(kDepth, &ring_, 0)) {}
  ~Ring() {
    if (error_ == 0) io_uring_queue_exit(&ring_);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  int error() const { return error_; }
  io_uring* get() { return &ring_; }

 private:
  io_uring ring_ = {};
  int error_;
};

// Waits for as many as are under way; the first failure, else 0.
Result Reap(io_uring* ring, uint64_t base) {
  for (size_t i = 0; i < kDepth; ++i) {
    io_uring_cqe* entry = nullptr;
    const int waited = io_uring_wait_cqe(ring, &entry);
    if (waited != 0) {
      errno = -waited;
      return "io_uring_wait_cqe";
    }
    const int moved = entry->res;
    io_uring_cqe_seen(ring, entry);
    if (moved == static_cast<int>(kPiece)) continue;
    errno = moved < 0 ? -moved : 0;
    return Short("io_uring", moved, base);
  }
  return "";
}

Result Uring(const Task& task, bool write) {
  Ring ring;
  if (ring.error() != 0) {
    errno = -ring.error();
    return "io_uring_queue_init";
  }
  Buffers buffers;
  for (uint64_t base = 0; base < task.size; base += kDepth * kPiece) {
    for (size_t i = 0; i < kDepth; ++i) {
      const uint64_t offset = base + i * kPiece;
      io_uring_sqe* entry = io_uring_get_sqe(ring.get());
      if (write) {
        FillPattern(buffers.at(i), kPiece, offset, task.seed);
        io_uring_prep_write(entry, task.fd, buffers.at(i), kPiece, offset);
      } else {
        memset(buffers.at(i), 0, kPiece);
        io_uring_prep_read(entry, task.fd, buffers.at(i), kPiece, offset);
      }
    }
    if (io_uring_submit(ring.get()) != kDepth) return "io_uring_submit";
    Result wrong = Reap(ring.get(), base);
    for (size_t i = 0; i < kDepth && !write && wrong.empty(); ++i) {
      wrong = Verify(buffers.at(i), kPiece, base + i * kPiece, task.seed);
    }
    if (!wrong.empty()) return wrong;
  }
  return "";
}

}  // namespace

Result ByAioWrite(const Task& task) { return Aio(task, /*write=*/true); }
Result ByAioRead(const Task& task) { return Aio(task, /*write=*/false); }
Result ByUringWrite(const Task& task) { return Uring(task, /*write=*/true); }
Result ByUringRead(const Task& task) { return Uring(task, /*write=*/false); }

}  // namespace fused::androidtest::bulk
