// When the machine runs short of memory.
#ifndef FUSED_FUSED_MEMORY_PRESSURE_H_
#define FUSED_FUSED_MEMORY_PRESSURE_H_

#include <functional>
#include <memory>
#include <thread>

#include "kernel/fd.h"

namespace fused {

// Calls `relieve`, on a thread of its own, each time that processes had to wait
// for memory.
//
// Source: Linux, Documentation/accounting/psi.rst.
class MemoryPressure {
 public:
  // Null where the kernel does not tell.
  static std::unique_ptr<MemoryPressure> Watch(std::function<void()> relieve);

  // Where POLLPRI on `source` tells.
  MemoryPressure(kernel::Fd source, std::function<void()> relieve);
  MemoryPressure(const MemoryPressure&) = delete;
  MemoryPressure& operator=(const MemoryPressure&) = delete;
  // Waits for a call that is under way.
  ~MemoryPressure();

 private:
  void Run();

  const kernel::Fd source_;
  const kernel::Fd stop_;
  const std::function<void()> relieve_;
  std::thread thread_;
};

}  // namespace fused

#endif  // FUSED_FUSED_MEMORY_PRESSURE_H_
