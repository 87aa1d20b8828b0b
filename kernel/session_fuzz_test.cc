// Packets of any content, against a session whose file system answers all it
// can: what libfuse and the handlers' arguments read must lie in the packet.
//
// An input is a sequence of packets, each behind its length (2 bytes, little
// endian) and an opcode (1 byte). Their headers are made right but for the
// packets whose opcode has its high bit set, which are sent as they are.

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/statusor.h"
#include "kernel/backing_fake.h"
#include "kernel/session.h"
#include "kernel/status.h"
#include "kernel/testing/fake_kernel.h"
#include "kernel/testing/fake_operations.h"

namespace fused::kernel {
namespace {

// Reads every byte that it is given.
class ReadingOperations : public FakeOperations {
 public:
  explicit ReadingOperations(bool exported) : exported_(exported) {}

  void Lookup(const Caller&, NodeId, const char* name,
              EntryReply reply) override {
    if (!exported_ || !IsDot(name)) CheckName(name);
    Entry entry;
    entry.node = 2;
    (void)reply.Send(entry);
  }
  void Symlink(const Caller&, const char* target, NodeId, const char* name,
               EntryReply reply) override {
    CheckName(name);
    Touch(target);
    reply.NegativeCached();
  }
  void Rename(const Caller&, NodeId, const char* name, NodeId,
              const char* new_name, uint32_t, StatusReply reply) override {
    CheckName(name);
    CheckName(new_name);
    reply.Ok();
  }
  void Read(const Caller&, NodeId, HandleId, size_t size, off_t,
            DataReply reply) override {
    CHECK_LE(size, size_t{1} << 20);
    reply.Send(std::string(std::min<size_t>(size, 100), 'x'));
  }
  void Write(const Caller&, NodeId, HandleId, std::string_view data, off_t,
             bool, WriteReply reply) override {
    Touch(data);
    reply.Send(data.size());
  }
  void SetXattr(const Caller&, NodeId, const char* name, std::string_view value,
                int, StatusReply reply) override {
    Touch(name);
    Touch(value);
    reply.Ok();
  }
  void Ioctl(const Caller&, NodeId, HandleId, uint32_t, bool,
             std::string_view input, size_t output_size,
             IoctlReply reply) override {
    Touch(input);
    reply.Send(0, std::string(std::min<size_t>(output_size, 100), 'x'));
  }
  void ReadDirectory(const Caller&, NodeId, HandleId, off_t,
                     DirectoryReply reply) override {
    if (reply.plus()) {
      while (reply.AddPlus("name", Entry(), 1)) {
      }
    } else {
      while (reply.Add("name", 1, S_IFREG, 1)) {
      }
    }
    (void)reply.Send();
  }
  void SetLock(const Caller&, NodeId, HandleId, const LockRequest&, bool wait,
               StatusReply reply) override {
    if (!wait) return reply.Ok();
    auto kept = std::make_shared<StatusReply>(std::move(reply));
    waiting_ = kept;
    kept->OnInterrupt([kept] { kept->Error(ErrnoStatus(EINTR)); });
  }

 private:
  static void Touch(std::string_view bytes) {
    for (const char byte : bytes) {
      sum_ = sum_ + static_cast<unsigned char>(byte);
    }
  }
  static bool IsDot(std::string_view name) {
    return name == "." || name == "..";
  }
  static void CheckName(std::string_view name) {
    CHECK(!name.empty() && !IsDot(name) &&
          name.find('/') == std::string_view::npos);
    Touch(name);
  }

  const bool exported_;
  static inline volatile unsigned sum_ = 0;
  std::shared_ptr<StatusReply> waiting_;
};

void Run(std::string_view input) {
  if (input.empty()) return;
  const bool posix = (input[0] & 1) != 0;
  const bool init = (input[0] & 2) == 0;
  input.remove_prefix(1);

  FakeKernel kernel;
  ReadingOperations operations(posix);
  Session::Options options;
  options.posix = posix;
  absl::StatusOr<std::unique_ptr<Session>> session =
      Session::Create(options, &operations, kernel.TakeDevice(),
                      std::make_unique<FakeBackingDevice>());
  CHECK_OK(session);
  static Session::Buffer buffer;
  if (init) kernel.SendInit(45, FakeKernel::AllFlags());
  while (input.size() >= 3) {
    const auto byte = [&input](size_t i) {
      return static_cast<size_t>(static_cast<unsigned char>(input[i]));
    };
    const size_t length = byte(0) | (byte(1) << 8);
    const auto opcode = static_cast<uint32_t>(byte(2));
    input.remove_prefix(3);
    const std::string_view body = input.substr(0, length);
    input.remove_prefix(body.size());
    if ((opcode & 0x80) != 0) {
      kernel.SendRaw(body);
    } else {
      kernel.Send(opcode, 1, body);
    }
    while ((*session)->Serve(buffer) == Session::Progress::kServed) {
    }
    while (kernel.Poll().has_value()) {
    }
  }
  kernel.Close();
  (void)(*session)->Serve(buffer);
  CHECK_LE(operations.destroys(), operations.inits());
}

}  // namespace
}  // namespace fused::kernel

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fused::kernel::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
