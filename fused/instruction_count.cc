#include "fused/instruction_count.h"

#include <elf.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>

#include "absl/status/status.h"
#include "kernel/status.h"

namespace fused {
namespace {

// The child's address space is the parent's: so are the places of functions.
template <typename F>
uint64_t AddressOf(F* function) {
  return reinterpret_cast<uint64_t>(function);
}

// What the kernel lends for calls that need not enter it. A clock that is read
// there is read again where it is set meanwhile, which happens often in single
// steps: no two counts would be the same.
class LentCode {
 public:
  LentCode() : begin_(getauxval(AT_SYSINFO_EHDR)) {
    if (begin_ == 0) return;
    // NOLINTBEGIN(performance-no-int-to-ptr): the kernel says where by a number
    const auto* const elf = reinterpret_cast<const Elf64_Ehdr*>(begin_);
    const auto* const segments =
        reinterpret_cast<const Elf64_Phdr*>(begin_ + elf->e_phoff);
    // NOLINTEND(performance-no-int-to-ptr)
    for (int i = 0; i < elf->e_phnum; ++i) {
      if (segments[i].p_type == PT_LOAD) {
        end_ =
            std::max(end_, begin_ + segments[i].p_offset + segments[i].p_memsz);
      }
    }
  }
  bool Has(uint64_t place) const { return place >= begin_ && place < end_; }

 private:
  const uint64_t begin_;
  uint64_t end_ = 0;
};

absl::StatusOr<uint64_t> Step(pid_t child, InstructionPlaces* places) {
  const LentCode lent;
  uint64_t count = 0;
  bool counting = false;
  int status = 0;
  for (;;) {
    if (waitpid(child, &status, 0) != child) return kernel::ErrnoStatus(errno);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return count;
    if (!WIFSTOPPED(status)) return absl::InternalError("the child failed");
    const int64_t place = ptrace(PTRACE_PEEKUSER, child,
                                 offsetof(user_regs_struct, rip), nullptr);
    if (static_cast<uint64_t>(place) == AddressOf(BeginCounting)) {
      counting = true;
    } else if (static_cast<uint64_t>(place) == AddressOf(EndCounting)) {
      counting = false;
    } else if (counting && !lent.Has(static_cast<uint64_t>(place))) {
      ++count;
      if (places != nullptr) ++(*places)[static_cast<uint64_t>(place)];
    }
    if (ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) != 0) {
      return kernel::ErrnoStatus(errno);
    }
  }
}

}  // namespace

// Not inlined, and not left out.
__attribute__((noinline)) void BeginCounting() {
  asm volatile("" ::: "memory");
}
__attribute__((noinline)) void EndCounting() {
  asm volatile("nop" ::: "memory");
}

absl::StatusOr<uint64_t> CountInstructions(absl::FunctionRef<void()> run,
                                           InstructionPlaces* places) {
  const pid_t child = fork();
  if (child < 0) return kernel::ErrnoStatus(errno);
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
    raise(SIGSTOP);
    run();
    _exit(0);
  }
  return Step(child, places);
}

}  // namespace fused
