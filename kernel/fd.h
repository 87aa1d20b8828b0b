// Owns a file descriptor.
#ifndef FUSED_KERNEL_FD_H_
#define FUSED_KERNEL_FD_H_

#include <utility>

namespace fused::kernel {

// Move-only; closes what it holds. Not thread-safe.
class Fd {
 public:
  Fd() = default;
  // Takes ownership of `fd`; -1 is none.
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.Release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

  // Gives the descriptor up.
  int Release() { return std::exchange(fd_, -1); }

  // Closes what it holds, then owns `fd`.
  void Reset(int fd = -1) {
    if (fd_ >= 0) Close();
    fd_ = fd;
  }

 private:
  void Close() const;

  int fd_ = -1;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_FD_H_
