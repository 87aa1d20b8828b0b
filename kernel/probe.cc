#include "kernel/probe.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernel/backing.h"
#include "kernel/fd.h"
#include "kernel/libfuse.h"
#include "kernel/lower.h"
#include "kernel/mount.h"
#include "kernel/status.h"

namespace fused::kernel {
namespace {

constexpr int kCapSysAdmin = 21;

struct Offer {
  uint64_t unique = 0;
  fuse_init_in init = {};
  uint64_t flags = 0;
};

absl::StatusOr<Offer> ReadOffer(int device) {
  std::vector<char> buffer(FUSE_MIN_READ_BUFFER * 2);
  ssize_t size;
  do {
    size = read(device, buffer.data(), buffer.size());
  } while (size < 0 && errno == EINTR);
  if (size < 0) return ErrnoStatus(errno, "reading INIT");
  constexpr size_t kLeast =
      sizeof(fuse_in_header) + offsetof(fuse_init_in, flags2);
  fuse_in_header header = {};
  if (static_cast<size_t>(size) >= kLeast) {
    std::memcpy(&header, buffer.data(), sizeof(header));
  }
  if (header.opcode != FUSE_INIT) {
    return absl::InternalError("the kernel's first request is not INIT");
  }
  Offer offer;
  offer.unique = header.unique;
  std::memcpy(
      &offer.init, buffer.data() + sizeof(header),
      std::min(sizeof(offer.init), static_cast<size_t>(size) - sizeof(header)));
  offer.flags = offer.init.flags;
  if ((offer.init.flags & FUSE_INIT_EXT) != 0) {
    offer.flags |= uint64_t{offer.init.flags2} << 32;
  }
  return offer;
}

// Accepts the offer with passthrough, where it has it.
absl::Status Accept(int device, const Offer& offer) {
  fuse_init_out out = {};
  out.major = FUSE_KERNEL_VERSION;
  out.minor = FUSE_KERNEL_MINOR_VERSION;
  out.max_write = 4096;
  const uint64_t flags = offer.flags & (FUSE_INIT_EXT | FUSE_PASSTHROUGH);
  out.flags = static_cast<uint32_t>(flags);
  out.flags2 = static_cast<uint32_t>(flags >> 32);
  out.max_stack_depth = (flags & FUSE_PASSTHROUGH) != 0 ? 1 : 0;
  fuse_out_header header = {};
  header.len = sizeof(header) + sizeof(out);
  header.unique = offer.unique;
  const struct iovec parts[] = {{&header, sizeof(header)}, {&out, sizeof(out)}};
  if (writev(device, parts, 2) < 0) return ErrnoStatus(errno, "answering INIT");
  return absl::OkStatus();
}

bool RegistersBackingFiles(int device) {
  const Fd file(memfd_create("fused-probe", MFD_CLOEXEC));
  if (!file.valid()) return false;
  std::unique_ptr<BackingDevice> backing = MakeIoctlBackingDevice(device);
  absl::StatusOr<int32_t> id = backing->Open(file.get());
  if (id.ok()) backing->Close(*id);
  return id.ok();
}

// EINVAL: the kernel does not know the code.
bool TakesNotification(int device, int code) {
  fuse_out_header header = {};
  header.len = sizeof(header);
  header.error = code;
  return write(device, &header, sizeof(header)) >= 0;
}

bool UringParameterSet() {
  const Fd file(
      open("/sys/module/fuse/parameters/enable_uring", O_RDONLY | O_CLOEXEC));
  char value = 'N';
  return file.valid() && read(file.get(), &value, 1) == 1 &&
         (value == 'Y' || value == '1');
}

bool HasOpenat2() {
  struct open_how how = {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH;
  const Fd fd(
      static_cast<int>(syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how))));
  return fd.valid();
}

// By descriptor, and opened again: needs CAP_DAC_READ_SEARCH.
bool HasFileHandles() {
  const Fd root(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return false;
  absl::StatusOr<FileHandle> handle = HandleOf(root.get());
  return handle.ok() && OpenHandle(root.get(), *handle, O_PATH).ok();
}

bool HasCapability(int capability) {
  const Fd file(open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC));
  char buffer[8192];
  const ssize_t size =
      file.valid() ? read(file.get(), buffer, sizeof(buffer) - 1) : -1;
  if (size <= 0) return false;
  buffer[size] = '\0';
  const char* line = std::strstr(buffer, "CapEff:");
  if (line == nullptr) return false;
  const uint64_t set =
      std::strtoull(line + std::strlen("CapEff:"), nullptr, 16);
  return ((set >> capability) & 1) != 0;
}

}  // namespace

std::string Features::OneLine() const {
  std::vector<std::string_view> with;
  std::vector<std::string_view> without;
  for (const auto& [name, present] : has) {
    (present ? with : without).push_back(name);
  }
  std::string line = absl::StrCat("kernel ", release, ", FUSE ", protocol, ": ",
                                  absl::StrJoin(with, ", "));
  if (!without.empty()) {
    absl::StrAppend(&line, "; not: ", absl::StrJoin(without, ", "));
  }
  return line;
}

absl::StatusOr<Features> ProbeFeatures() {
  Features features;
  struct utsname name;
  if (uname(&name) == 0) features.release = name.release;

  FuseMountOptions options;
  options.source = "fused-probe";
  absl::StatusOr<FuseMount> mount = CreateFuseMount(options);
  if (!mount.ok()) return mount.status();
  const int device = mount->device.get();
  absl::StatusOr<Offer> offer = ReadOffer(device);
  if (!offer.ok()) return offer.status();
  if (absl::Status status = Accept(device, *offer); !status.ok()) return status;

  features.protocol = absl::StrCat(offer->init.major, ".", offer->init.minor);
  const auto offered = [&offer](uint64_t flag) {
    return (offer->flags & flag) != 0;
  };
  auto& has = features.has;
  has["passthrough"] =
      offered(FUSE_PASSTHROUGH) && RegistersBackingFiles(device);
  has["over_io_uring"] = offered(FUSE_OVER_IO_URING) && UringParameterSet();
  has["posix_acl"] = offered(FUSE_POSIX_ACL);
  has["killpriv_v2"] = offered(FUSE_HANDLE_KILLPRIV_V2);
  has["inc_epoch"] = TakesNotification(device, FUSE_NOTIFY_INC_EPOCH);
  has["expire"] = offered(FUSE_HAS_EXPIRE_ONLY) || offer->init.minor >= 38;
  has["resend"] = offered(FUSE_HAS_RESEND);
  has["direct_io_allow_mmap"] = offered(FUSE_DIRECT_IO_ALLOW_MMAP);
  has["new_mount_api"] = true;  // it made the mount
  has["openat2"] = HasOpenat2();
  has["file_handles"] = HasFileHandles();
  has["request_timeout"] = offered(FUSE_REQUEST_TIMEOUT);
  has["cap_sys_admin"] = HasCapability(kCapSysAdmin);
  return features;
}

}  // namespace fused::kernel
