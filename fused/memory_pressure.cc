#include "fused/memory_pressure.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

namespace fused {
namespace {

// Some process has waited for memory for 150 ms of two seconds: who is not
// root may ask for no less.
constexpr char kTrigger[] = "some 150000 2000000";

}  // namespace

std::unique_ptr<MemoryPressure> MemoryPressure::Watch(
    std::function<void()> relieve) {
  kernel::Fd source(
      open("/proc/pressure/memory", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!source.valid() || write(source.get(), kTrigger, sizeof(kTrigger)) < 0) {
    return nullptr;
  }
  return std::make_unique<MemoryPressure>(std::move(source),
                                          std::move(relieve));
}

MemoryPressure::MemoryPressure(kernel::Fd source, std::function<void()> relieve)
    : source_(std::move(source)),
      stop_(eventfd(0, EFD_CLOEXEC)),
      relieve_(std::move(relieve)),
      thread_([this] { Run(); }) {}

MemoryPressure::~MemoryPressure() {
  const uint64_t one = 1;
  // An eventfd takes it always.
  (void)!write(stop_.get(), &one, sizeof(one));
  thread_.join();
}

void MemoryPressure::Run() {
  struct pollfd events[] = {{source_.get(), POLLPRI, 0},
                            {stop_.get(), POLLIN, 0}};
  for (;;) {
    if (poll(events, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    // POLLERR: the trigger is gone.
    if (events[1].revents != 0) return;
    if ((events[0].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return;
    if ((events[0].revents & POLLPRI) != 0) relieve_();
  }
}

}  // namespace fused
