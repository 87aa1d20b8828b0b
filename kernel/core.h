// What a session and the replies that are still owed share. For the use of
// this room: it outlives the Session where a handler keeps a reply for longer.
#ifndef FUSED_KERNEL_CORE_H_
#define FUSED_KERNEL_CORE_H_

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "kernel/backing.h"
#include "kernel/interrupts.h"
#include "kernel/ring.h"
#include "kernel/types.h"

struct fuse_session;

namespace fused::kernel {

class Operations;

// Reference-counted; thread-safe but for the members that say otherwise.
class SessionCore {
 public:
  struct Settings {
    bool passthrough = true;
    uint32_t max_stack_depth = 1;
    bool posix = false;
    bool uring = false;
  };

  enum class State {
    kWaiting,       // for INIT
    kInitializing,  // a thread is at it
    kServing,
  };

  // Starts with one reference. `session` is null until Adopt().
  SessionCore(const Settings& settings, Operations* operations,
              const BackingRegistry::Options& limits, int device,
              std::unique_ptr<BackingDevice> fake_backing);
  SessionCore(const SessionCore&) = delete;
  SessionCore& operator=(const SessionCore&) = delete;

  // Takes `session`, which owns the device.
  void Adopt(fuse_session* session) { session_ = session; }

  void Ref() { references_.fetch_add(1, std::memory_order_relaxed); }
  // The last one closes the device.
  void Unref();

  uint64_t id() const { return id_; }
  Operations* operations() const { return operations_; }
  const Settings& settings() const { return settings_; }
  fuse_session* session() const { return session_; }
  int device() const { return device_; }
  bool fake() const { return fake_; }
  BackingRegistry& backing() { return backing_; }
  Interrupts& interrupts() { return interrupts_; }

  State state() const { return state_.load(std::memory_order_acquire); }
  // kWaiting to kInitializing: false where another thread was first.
  bool BeginInit();
  void EndInit(State state);
  // Waits while the state is kInitializing.
  State AwaitInit();

  // Threads that work for the session. Leave() is true for the last one to
  // leave after End(): once in a session's life.
  void Enter() { active_.fetch_add(1); }
  bool Leave();
  void End() { ended_.store(true); }
  bool ended() const { return ended_.load(); }

  // Sends one message; retries what can be. 0 or an errno.
  int Write(const struct iovec* parts, int count);
  int WriteToDevice(const struct iovec* parts, int count);
  // Answers a request whose handler has an answer. False: the kernel did not
  // take it.
  bool Deliver(uint64_t unique, int error, const void* body, size_t size);
  // Whether the kernel took the answer to `unique`, by what Write() said.
  bool Took(uint64_t unique, int error);
  // Answers the request `unique` with a bare errno (0 is success).
  void Answer(uint64_t unique, int error);

  // Written by the thread that serves INIT, read only after it.
  Connection connection;
  bool negotiated = false;
  bool can_expire = false;
  std::string init_packet;
  // Before the state is kServing; null where requests come from the device.
  std::unique_ptr<Ring> ring;
  // The next answer is that to INIT, and is to ask for io_uring.
  bool answers_init = false;

  std::atomic<uint64_t> unanswered{0};
  std::atomic<uint64_t> malformed{0};
  std::atomic<uint64_t> expired{0};
  // The kernel's; -1: not known.
  std::atomic<int64_t> connection_number{-1};

  // The request that the calling thread is handling.
  static uint64_t CurrentUnique();
  static void SetCurrentUnique(uint64_t unique);
  // The errno that the calling thread has answered it with, 0 for success;
  // nothing yet.
  static std::optional<int> CurrentAnswer();

 private:
  ~SessionCore();

  const uint64_t id_;
  const Settings settings_;
  Operations* const operations_;
  const int device_;
  const bool fake_;
  const std::unique_ptr<BackingDevice> backing_device_;
  BackingRegistry backing_;
  Interrupts interrupts_;
  fuse_session* session_ = nullptr;

  std::atomic<int> references_{1};
  std::atomic<int> active_{0};
  std::atomic<bool> ended_{false};
  std::atomic<bool> left_{false};

  std::atomic<State> state_{State::kWaiting};
  absl::Mutex init_mu_;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_CORE_H_
