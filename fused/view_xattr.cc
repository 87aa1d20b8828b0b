// Extended attributes, in the posix profile; the media profile has none (the
// session answers before it comes to this).
#include <sys/xattr.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "fused/errors.h"
#include "fused/owner.h"
#include "fused/view.h"
#include "kernel/lower.h"

namespace fused {
namespace {

// The daemon's own, which no mount shows.
bool Reserved(std::string_view name) {
  return name.substr(0, kReservedXattrs.size()) == kReservedXattrs;
}

}  // namespace

void View::SetXattr(const kernel::Caller& caller, kernel::NodeId node_id,
                    const char* name, std::string_view value, int flags,
                    kernel::StatusReply reply) {
  const Ref<Node> node = nodes_.Find(node_id);
  if (node == nullptr) return reply.Error(Stale());
  if (!posix()) return reply.Error(NotSupported());
  if (Reserved(name)) return reply.Error(NotPermitted());
  if (std::string_view(name) == "security.capability" &&
      HasPassthroughWriter(*node)) {
    // Its writes would leave the capabilities standing.
    return reply.Error(Busy());
  }
  absl::StatusOr<Pin> pin = node->lower->Descriptor();
  if (!pin.ok()) return reply.Error(pin.status());
  const kernel::ProcPath path((*pin)->get());
  if (setxattr(path.text, name, value.data(), value.size(), flags) != 0) {
    return reply.Error(kernel::ErrnoStatus(errno));
  }
  InvalidateElsewhere(*node->lower, node_id, false);
  reply.Ok();
}

void View::GetXattr(const kernel::Caller& caller, kernel::NodeId node_id,
                    const char* name, size_t size, kernel::XattrReply reply) {
  const Ref<Node> node = nodes_.Find(node_id);
  if (node == nullptr) return reply.Error(Stale());
  if (!posix()) return reply.Error(NotSupported());
  if (Reserved(name)) return reply.Error(kernel::ErrnoStatus(ENODATA));
  absl::StatusOr<Pin> pin = node->lower->Descriptor();
  if (!pin.ok()) return reply.Error(pin.status());
  const kernel::ProcPath path((*pin)->get());
  std::string value(size, '\0');
  const ssize_t got = getxattr(path.text, name, value.data(), value.size());
  if (got < 0) return reply.Error(kernel::ErrnoStatus(errno));
  if (size == 0) return reply.SendSize(static_cast<size_t>(got));
  reply.Send({value.data(), static_cast<size_t>(got)});
}

void View::ListXattr(const kernel::Caller& caller, kernel::NodeId node_id,
                     size_t size, kernel::XattrReply reply) {
  const Ref<Node> node = nodes_.Find(node_id);
  if (node == nullptr) return reply.Error(Stale());
  if (!posix()) return reply.Error(NotSupported());
  absl::StatusOr<Pin> pin = node->lower->Descriptor();
  if (!pin.ok()) return reply.Error(pin.status());
  const kernel::ProcPath path((*pin)->get());
  std::string names(XATTR_LIST_MAX, '\0');
  const ssize_t got = listxattr(path.text, names.data(), names.size());
  if (got < 0) return reply.Error(kernel::ErrnoStatus(errno));
  // Each name ends with a zero byte.
  std::string shown;
  for (ssize_t at = 0; at < got;) {
    const std::string_view name(names.data() + at);
    if (!Reserved(name)) shown.append(name).push_back('\0');
    at += static_cast<ssize_t>(name.size()) + 1;
  }
  if (size == 0) return reply.SendSize(shown.size());
  if (shown.size() > size) return reply.Error(kernel::ErrnoStatus(ERANGE));
  reply.Send(shown);
}

void View::RemoveXattr(const kernel::Caller& caller, kernel::NodeId node_id,
                       const char* name, kernel::StatusReply reply) {
  const Ref<Node> node = nodes_.Find(node_id);
  if (node == nullptr) return reply.Error(Stale());
  if (!posix()) return reply.Error(NotSupported());
  if (Reserved(name)) return reply.Error(NotPermitted());
  absl::StatusOr<Pin> pin = node->lower->Descriptor();
  if (!pin.ok()) return reply.Error(pin.status());
  const kernel::ProcPath path((*pin)->get());
  if (removexattr(path.text, name) != 0) {
    return reply.Error(kernel::ErrnoStatus(errno));
  }
  InvalidateElsewhere(*node->lower, node_id, false);
  reply.Ok();
}

}  // namespace fused
