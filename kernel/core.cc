#include "kernel/core.h"

#include <poll.h>
#include <sys/uio.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/log/log.h"
#include "absl/synchronization/mutex.h"
#include "kernel/libfuse.h"
#include "kernel/status.h"

namespace fused::kernel {
namespace {

thread_local uint64_t current_unique = 0;
thread_local std::optional<int> current_answer;

// Returns the unique; messages that are no answers have none.
uint64_t NoteAnswer(const struct iovec& part) {
  struct fuse_out_header header;
  if (part.iov_len < sizeof(header)) return 0;
  std::memcpy(&header, part.iov_base, sizeof(header));
  if (header.unique == current_unique && header.unique != 0) {
    current_answer = -header.error;
  }
  return header.unique;
}

std::atomic<uint64_t> next_id{1};

}  // namespace

SessionCore::SessionCore(const Settings& settings, Operations* operations,
                         const BackingRegistry::Options& limits, int device,
                         std::unique_ptr<BackingDevice> fake_backing)
    : id_(next_id.fetch_add(1)),
      settings_(settings),
      operations_(operations),
      device_(device),
      fake_(fake_backing != nullptr),
      backing_device_(fake_ ? std::move(fake_backing)
                            : MakeIoctlBackingDevice(device)),
      backing_(limits, backing_device_.get()) {}

SessionCore::~SessionCore() {
  // Before the device is closed, which it does.
  backing_.Trim();
  if (session_ != nullptr) fuse_session_destroy(session_);
}

void SessionCore::Unref() {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

bool SessionCore::BeginInit() {
  State expected = State::kWaiting;
  return state_.compare_exchange_strong(expected, State::kInitializing);
}

void SessionCore::EndInit(State state) {
  // Under the lock, so that AwaitInit() cannot miss it.
  absl::MutexLock lock(&init_mu_);
  state_.store(state, std::memory_order_release);
}

SessionCore::State SessionCore::AwaitInit() {
  const State now = state();
  if (now != State::kInitializing) return now;
  const auto settled = [this] { return state() != State::kInitializing; };
  absl::MutexLock lock(&init_mu_, absl::Condition(&settled));
  return state();
}

bool SessionCore::Leave() {
  if (active_.fetch_sub(1) != 1 || !ended_.load()) return false;
  return !left_.exchange(true);
}

int SessionCore::Write(const struct iovec* parts, int count) {
  const uint64_t unique = NoteAnswer(parts[0]);
  if (unique != 0 && state() == State::kServing && ring != nullptr) {
    const std::optional<int> result = ring->Answer(unique, parts, count);
    if (result.has_value()) return *result;
  }
  return WriteToDevice(parts, count);
}

int SessionCore::WriteToDevice(const struct iovec* parts, int count) {
  for (;;) {
    if (writev(device_, parts, count) >= 0) return 0;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return errno;
    // Never of /dev/fuse: a fake kernel's socket is full.
    struct pollfd ready = {device_, POLLOUT, 0};
    poll(&ready, 1, -1);
  }
}

bool SessionCore::Deliver(uint64_t unique, int error, const void* body,
                          size_t size) {
  struct fuse_out_header header = {};
  header.len = static_cast<uint32_t>(sizeof(header) + size);
  header.error = -error;
  header.unique = unique;
  const struct iovec parts[] = {{&header, sizeof(header)},
                                {const_cast<void*>(body), size}};
  return Took(unique, Write(parts, size == 0 ? 1 : 2));
}

bool SessionCore::Took(uint64_t unique, int error) {
  if (error == 0) return true;
  // ENOENT: interrupted. ENODEV: unmounted. Others are a reply that the kernel
  // could not make sense of, and the request stays open: the caller would wait
  // for ever.
  if (error != ENOENT && error != ENODEV && error != EPIPE) {
    LOG(ERROR) << "the kernel refused a reply: "
               << Describe(ErrnoStatus(error));
    Answer(unique, EIO);
  }
  return false;
}

void SessionCore::Answer(uint64_t unique, int error) {
  struct fuse_out_header header = {};
  header.len = sizeof(header);
  header.error = -error;
  header.unique = unique;
  const struct iovec part = {&header, sizeof(header)};
  // Nobody is left to be told of a failure.
  (void)Write(&part, 1);
}

uint64_t SessionCore::CurrentUnique() { return current_unique; }

void SessionCore::SetCurrentUnique(uint64_t unique) {
  current_unique = unique;
  current_answer = std::nullopt;
}

std::optional<int> SessionCore::CurrentAnswer() { return current_answer; }

}  // namespace fused::kernel
