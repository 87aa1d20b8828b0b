#include "kernel/session.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/abort.h"
#include "kernel/core.h"
#include "kernel/direct.h"
#include "kernel/dispatch.h"
#include "kernel/libfuse.h"
#include "kernel/negotiate.h"
#include "kernel/packet.h"
#include "kernel/session_buffer.h"
#include "kernel/status.h"

namespace fused::kernel {
namespace {

// Says FUSE_OVER_IO_URING in libfuse's answer to INIT.
ssize_t WriteInitAnswer(SessionCore& core, const struct iovec* parts,
                        int count) {
  core.answers_init = false;
  fuse_init_out out;
  if (count == 2 && parts[1].iov_len == sizeof(out)) {
    std::memcpy(&out, parts[1].iov_base, sizeof(out));
    out.flags2 |= static_cast<uint32_t>(FUSE_OVER_IO_URING >> 32);
    const struct iovec both[] = {parts[0], {&out, sizeof(out)}};
    return core.Write(both, 2) == 0 ? 1 : -1;
  }
  // An error, or an answer of an older protocol.
  core.connection.uring = false;
  core.ring = nullptr;
  return core.Write(parts, count) == 0 ? 1 : -1;
}

// Libfuse writes its answers through this. Whether the kernel took one is all
// that matters to a reply, and any errno but ENOENT libfuse would print.
ssize_t WriteAnswer(int /*fd*/, struct iovec* parts, int count, void* data) {
  auto& core = *static_cast<SessionCore*>(data);
  if (core.answers_init) return WriteInitAnswer(core, parts, count);
  fuse_out_header header;
  std::memcpy(&header, parts[0].iov_base, sizeof(header));
  if (core.Took(header.unique, core.Write(parts, count))) return 1;
  errno = ENOENT;
  return -1;
}

// Required by libfuse with the above; the session reads by itself.
ssize_t ReadNothing(int /*fd*/, void* /*buffer*/, size_t /*size*/,
                    void* /*data*/) {
  errno = EAGAIN;
  return -1;
}

void LogFromLibfuse(enum fuse_log_level level, const char* format,
                    va_list arguments) {
  char line[512];
  std::vsnprintf(line, sizeof(line), format, arguments);
  std::string_view text(line);
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (level <= FUSE_LOG_ERR) {
    LOG(ERROR) << text;
  } else {
    VLOG(1) << text;
  }
}

bool IsXattr(uint32_t opcode) {
  return opcode == FUSE_SETXATTR || opcode == FUSE_GETXATTR ||
         opcode == FUSE_LISTXATTR || opcode == FUSE_REMOVEXATTR;
}

bool HasNoAnswer(uint32_t opcode) {
  return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET ||
         opcode == FUSE_INTERRUPT || opcode == FUSE_NOTIFY_REPLY;
}

// Tells the operations, when it goes, what has become of a request.
class ServedTeller {
 public:
  ServedTeller(SessionCore& core, const fuse_in_header& header)
      : core_(core), opcode_(header.opcode), uid_(header.uid) {
    SessionCore::SetCurrentUnique(header.unique);
  }
  ServedTeller(const ServedTeller&) = delete;
  ServedTeller& operator=(const ServedTeller&) = delete;
  ~ServedTeller() {
    std::optional<int> answer = SessionCore::CurrentAnswer();
    if (!answer.has_value() && HasNoAnswer(opcode_)) answer = 0;
    const auto took = std::chrono::steady_clock::now() - start_;
    core_.operations()->Served(
        opcode_, uid_, answer,
        static_cast<uint64_t>(
            std::chrono::duration_cast<std::chrono::nanoseconds>(took)
                .count()));
  }

 private:
  SessionCore& core_;
  const uint32_t opcode_;
  const uid_t uid_;
  const std::chrono::steady_clock::time_point start_ =
      std::chrono::steady_clock::now();
};

// Tries what INIT cannot tell: whether this process may register files.
const char* WhyNoBackingFiles(SessionCore& core) {
  const Fd file(memfd_create("fused-probe", MFD_CLOEXEC));
  if (!file.valid()) return "";  // not the kernel's word on it
  std::unique_ptr<BackingDevice> device = MakeIoctlBackingDevice(core.device());
  absl::StatusOr<int32_t> id = device->Open(file.get());
  if (id.ok()) {
    device->Close(*id);
    return "";
  }
  return IsErrno(id.status(), EPERM)
             ? "registering backing files needs CAP_SYS_ADMIN"
             : "the kernel refuses to register backing files";
}

fuse_session* NewFuseSession(SessionCore* core, int device) {
  static std::once_flag log_once;
  std::call_once(log_once, [] { fuse_set_log_func(LogFromLibfuse); });
  char name[] = "fused";
  char* argv[] = {name, nullptr};
  struct fuse_args args = FUSE_ARGS_INIT(1, argv);
  fuse_session* session = fuse_session_new(&args, &DispatchTable(),
                                           sizeof(fuse_lowlevel_ops), core);
  fuse_opt_free_args(&args);
  if (session == nullptr) return nullptr;
  struct fuse_custom_io io = {};
  io.writev = WriteAnswer;
  io.read = ReadNothing;
  if (fuse_session_custom_io(session, &io, sizeof(io), device) != 0) {
    fuse_session_destroy(session);
    return nullptr;
  }
  return session;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> Session::Create(
    const Options& options, Operations* operations, Fd device,
    std::unique_ptr<BackingDevice> fake_backing) {
  const int flags = fcntl(device.get(), F_GETFL);
  if (flags < 0 || fcntl(device.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "FUSE device");
  }
  auto* core = new SessionCore({options.passthrough, options.max_stack_depth,
                                options.posix, options.uring},
                               operations, options.backing, device.get(),
                               std::move(fake_backing));
  std::unique_ptr<Session> session(new Session(core));
  fuse_session* fuse = NewFuseSession(core, device.get());
  if (fuse == nullptr) {
    return absl::ResourceExhaustedError("libfuse cannot make another session");
  }
  (void)device.Release();  // the fuse_session's now
  core->Adopt(fuse);
  return session;
}

Session::~Session() {
  // Nobody reads an INTERRUPT any more. A callback that owns its reply would
  // keep the core, and itself, for ever.
  core_->interrupts().Close();
  core_->Unref();
}

uint64_t Session::id() const { return core_->id(); }

int Session::descriptor() const { return core_->device(); }

Session::Progress Session::Serve(Buffer& buffer) {
  const Progress progress = Receive(buffer);
  if (progress == Progress::kServed) Process(buffer);
  return progress;
}

Session::Progress Session::Receive(Buffer& buffer) {
  core_->Enter();
  while (!core_->ended()) {
    const ssize_t size =
        read(core_->device(), buffer.impl_->start, kBufferSize);
    if (size > 0) {
      buffer.impl_->size = static_cast<size_t>(size);
      return Progress::kServed;
    }
    const int error = size == 0 ? ENODEV : errno;
    // EINTR: a signal. ENOENT: the request was taken back. The others: the
    // kernel could not hand this one over and has failed it; there may be more.
    if (error == EINTR || error == ENOENT || error == EIO || error == E2BIG) {
      continue;
    }
    if (error == EAGAIN) {
      Leave();
      return Progress::kIdle;
    }
    core_->End();
  }
  Leave();
  return Progress::kEnded;
}

bool Session::Accept(Buffer& buffer) {
  core_->Enter();
  if (!core_->ended()) return true;
  // Its superblock is going; what is asked for still must not wait.
  Refuse(buffer, ENOTCONN);
  return false;
}

void Session::Leave() {
  if (core_->Leave() && initialized()) core_->operations()->Destroy();
}

void Session::Process(Buffer& buffer) {
  Handle(std::string_view(buffer.impl_->start, buffer.impl_->size));
  Leave();
}

void Session::Refuse(Buffer& buffer, int error) {
  const RequestId request = buffer.request();
  if (request.unique != 0 && !HasNoAnswer(request.opcode)) {
    core_->Answer(request.unique, error);
  }
  Leave();
}

bool Session::HasDeadline(const RequestId& request) {
  // A count that is not told is lost; the others make and end the connection.
  return request.unique != 0 && !HasNoAnswer(request.opcode) &&
         request.opcode != FUSE_INIT && request.opcode != FUSE_DESTROY;
}

bool Session::MayBeRefused(const RequestId& request) {
  return HasDeadline(request) && request.opcode != FUSE_RELEASE &&
         request.opcode != FUSE_RELEASEDIR && request.opcode != FUSE_FLUSH;
}

void Session::Expire(const RequestId& request) {
  core_->expired.fetch_add(1, std::memory_order_relaxed);
  core_->Answer(request.unique, ETIMEDOUT);
}

uint64_t Session::expired() const { return core_->expired.load(); }

absl::Status Session::Abort() {
  const int64_t number = core_->connection_number.load();
  if (number < 0) {
    return absl::FailedPreconditionError("the connection's number is unknown");
  }
  return AbortConnection(static_cast<unsigned>(number));
}

void Session::SetConnection(unsigned number) {
  core_->connection_number.store(number);
}

void Session::Handle(std::string_view packet) {
  if (packet.size() < sizeof(fuse_in_header)) {
    core_->malformed.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  fuse_in_header header;
  std::memcpy(&header, packet.data(), sizeof(header));
  // INIT or DESTROY may have come while this one was on its way here.
  const SessionCore::State state = core_->AwaitInit();
  if (core_->ended()) return;

  core_->operations()->Received(header.opcode);
  const ServedTeller teller(*core_, header);
  PacketVerdict verdict = CheckPacket(packet, core_->settings().posix);
  if (verdict.kind != PacketVerdict::Kind::kPass && verdict.error != ENOSYS) {
    core_->malformed.fetch_add(1, std::memory_order_relaxed);
  }
  if (verdict.kind == PacketVerdict::Kind::kPass) {
    const bool init = header.opcode == FUSE_INIT;
    if (init != (state == SessionCore::State::kWaiting)) {
      verdict = {HasNoAnswer(header.opcode) ? PacketVerdict::Kind::kDrop
                                            : PacketVerdict::Kind::kRefuse,
                 EIO};
    } else if (IsXattr(header.opcode) && !core_->settings().posix) {
      verdict = {PacketVerdict::Kind::kRefuse, ENOSYS};
    } else if (header.opcode == FUSE_SETLKW && core_->ring != nullptr &&
               !core_->ring->HasRoom()) {
      // It would keep an entry, perhaps the one that the unlock needs.
      verdict = {PacketVerdict::Kind::kRefuse, ENOLCK};
    }
  }
  switch (verdict.kind) {
    case PacketVerdict::Kind::kDrop:
      return;
    case PacketVerdict::Kind::kRefuse:
      core_->Answer(header.unique, verdict.error);
      return;
    case PacketVerdict::Kind::kPass:
      Dispatch(header, packet);
      return;
  }
}

void Session::Dispatch(const fuse_in_header& header, std::string_view packet) {
  switch (header.opcode) {
    case FUSE_INIT:
      ServeInit(header, packet);
      return;
    case FUSE_DESTROY:
      // Operations::Destroy() is called when the last thread leaves.
      core_->End();
      core_->Answer(header.unique, 0);
      return;
    case FUSE_INTERRUPT: {
      fuse_interrupt_in in;
      std::memcpy(&in, packet.data() + sizeof(header), sizeof(in));
      core_->interrupts().Interrupt(in.unique);
      return;
    }
    default:
      if (!ServeDirectly(*core_, header, packet)) PassToLibfuse(header, packet);
  }
}

void Session::PassToLibfuse(const fuse_in_header& header,
                            std::string_view packet) {
  struct fuse_buf buf = {};
  buf.size = packet.size();
  buf.mem = const_cast<char*>(packet.data());  // libfuse only reads it
  fuse_session_process_buf(core_->session(), &buf);
}

void Session::ServeInit(const fuse_in_header& header, std::string_view packet) {
  fuse_init_in in = {};
  std::memcpy(&in, packet.data() + sizeof(header),
              std::min(sizeof(in), packet.size() - sizeof(header)));
  if (in.major < FUSE_KERNEL_VERSION ||
      (in.major == FUSE_KERNEL_VERSION && in.minor < kOldestMinor)) {
    LOG(ERROR) << "the kernel's FUSE protocol " << in.major << "." << in.minor
               << " is too old";
    core_->Answer(header.unique, EPROTO);
    return;
  }
  if (!core_->BeginInit()) {
    core_->Answer(header.unique, EIO);
    return;
  }
  core_->init_packet.assign(packet);
  PassToLibfuse(header, packet);
  // Of a newer major libfuse asks for another INIT.
  if (!core_->negotiated) {
    core_->EndInit(SessionCore::State::kWaiting);
    return;
  }
  Connection& connection = core_->connection;
  if (connection.passthrough && !core_->fake()) {
    connection.passthrough_reason = WhyNoBackingFiles(*core_);
    connection.passthrough = connection.passthrough_reason[0] == '\0';
  }
  core_->operations()->Init(connection);
  core_->EndInit(SessionCore::State::kServing);
}

bool Session::initialized() const {
  return core_->state() == SessionCore::State::kServing;
}

bool Session::ended() const { return core_->ended(); }

Ring* Session::ring() const { return core_->ring.get(); }

const Connection& Session::connection() const { return core_->connection; }

const std::string& Session::init_packet() const { return core_->init_packet; }

BackingRegistry& Session::backing() { return core_->backing(); }

uint64_t Session::unanswered() const { return core_->unanswered.load(); }

uint64_t Session::malformed() const { return core_->malformed.load(); }

absl::Status Session::Notify(int code, std::string_view fixed,
                             std::string_view name) {
  if (!initialized()) return ErrnoStatus(ENOTCONN);
  fuse_out_header header = {};
  header.error = code;
  static constexpr char kTerminator = '\0';
  struct iovec parts[] = {
      {&header, sizeof(header)},
      {const_cast<char*>(fixed.data()), fixed.size()},
      {const_cast<char*>(name.data()), name.size()},
      {const_cast<char*>(&kTerminator), name.empty() ? size_t{0} : 1},
  };
  for (const struct iovec& part : parts) {
    header.len += static_cast<uint32_t>(part.iov_len);
  }
  const int error = core_->Write(parts, 4);
  // Nothing cached under it.
  if (error == 0 || error == ENOENT) return absl::OkStatus();
  return ErrnoStatus(error);
}

absl::Status Session::InvalidateInode(NodeId node, bool data) {
  fuse_notify_inval_inode_out out = {};
  out.ino = node;
  out.off = data ? 0 : -1;
  out.len = 0;
  return Notify(FUSE_NOTIFY_INVAL_INODE,
                {reinterpret_cast<const char*>(&out), sizeof(out)}, {});
}

absl::Status Session::NotifyEntry(NodeId parent, std::string_view name,
                                  uint32_t flags) {
  if (name.empty() || name.size() > NAME_MAX) return ErrnoStatus(EINVAL);
  fuse_notify_inval_entry_out out = {};
  out.parent = parent;
  out.namelen = static_cast<uint32_t>(name.size());
  out.flags = flags;
  return Notify(FUSE_NOTIFY_INVAL_ENTRY,
                {reinterpret_cast<const char*>(&out), sizeof(out)}, name);
}

absl::Status Session::InvalidateEntry(NodeId parent, std::string_view name) {
  return NotifyEntry(parent, name, 0);
}

absl::Status Session::ExpireEntry(NodeId parent, std::string_view name) {
  if (!initialized()) return ErrnoStatus(ENOTCONN);
  return NotifyEntry(parent, name, core_->can_expire ? FUSE_EXPIRE_ONLY : 0);
}

absl::Status Session::IncrementEpoch() {
  if (!initialized()) return ErrnoStatus(ENOTCONN);
  if (!core_->connection.inc_epoch) {
    return absl::UnimplementedError("the kernel has no FUSE_NOTIFY_INC_EPOCH");
  }
  return Notify(FUSE_NOTIFY_INC_EPOCH, {}, {});
}

}  // namespace fused::kernel
