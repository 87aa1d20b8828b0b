#include "fused/testing/mounted_view.h"

#include <fcntl.h>

#include <cerrno>
#include <thread>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/str_split.h"

namespace fused {

using kernel::FakeKernel;
using kernel::Terminated;

MountedView::MountedView(const VolumeContext& context,
                         const ViewIdentity& identity, uint64_t flags,
                         uint32_t minor)
    : view_(std::make_unique<View>(context, identity)) {
  auto backing = std::make_unique<kernel::FakeBackingDevice>();
  backing_ = backing.get();
  kernel::Session::Options options;
  options.posix = context.posix;
  options.passthrough = context.passthrough;
  auto session = kernel::Session::Create(
      options, view_.get(), kernel_.TakeDevice(), std::move(backing));
  CHECK_OK(session);
  session_ = *std::move(session);
  view_->SetSession(session_);
  const uint64_t unique = kernel_.SendInit(minor, flags);
  Serve();
  const std::optional<Answer> answer = Poll(unique);
  CHECK(answer.has_value() && answer->error == 0);
}

MountedView::~MountedView() { Close(); }

void MountedView::Close() {
  if (session_ == nullptr) return;
  kernel_.Close();
  while (session_->Serve(buffer_) == kernel::Session::Progress::kServed) {
  }
  // As Volume does it: while the session is there.
  view_->Close();
  session_ = nullptr;
}

void MountedView::Serve() {
  while (session_->Serve(buffer_) == kernel::Session::Progress::kServed) {
  }
  Collect();
}

void MountedView::Collect() {
  while (std::optional<FakeKernel::Message> message = kernel_.Poll()) {
    if (message->unique == 0) {
      notifications_.push_back(*std::move(message));
    } else {
      answers_[message->unique] = {-message->error, std::move(message->body)};
    }
  }
}

uint64_t MountedView::Send(uint32_t opcode, kernel::NodeId node,
                           std::string_view body, From from) {
  const uint64_t unique = Transmit(opcode, node, body, from);
  Serve();
  return unique;
}

std::vector<Answer> MountedView::CallAll(const std::vector<Request>& requests,
                                         int threads) {
  std::vector<uint64_t> uniques;
  for (const Request& request : requests) {
    uniques.push_back(
        Transmit(request.opcode, request.node, request.body, request.from));
  }
  std::vector<std::thread> servers;
  for (int i = 0; i < threads; ++i) {
    servers.emplace_back([this] {
      kernel::Session::Buffer buffer;
      while (session_->Serve(buffer) == kernel::Session::Progress::kServed) {
      }
    });
  }
  for (std::thread& server : servers) server.join();
  std::vector<Answer> answers;
  for (const uint64_t unique : uniques) {
    std::optional<Answer> answer = Poll(unique);
    CHECK(answer.has_value());
    answers.push_back(*std::move(answer));
  }
  return answers;
}

uint64_t MountedView::Transmit(uint32_t opcode, kernel::NodeId node,
                               std::string_view body, From from) {
  std::string packet = kernel_.Packet(opcode, node, body);
  fuse_in_header header;
  std::memcpy(&header, packet.data(), sizeof(header));
  header.uid = from.uid;
  header.gid = from.gid;
  std::memcpy(packet.data(), &header, sizeof(header));
  kernel_.SendRaw(packet);
  return header.unique;
}

std::optional<Answer> MountedView::Poll(uint64_t unique) {
  Serve();
  auto found = answers_.extract(unique);
  if (found.empty()) return std::nullopt;
  return std::move(found.mapped());
}

Answer MountedView::Call(uint32_t opcode, kernel::NodeId node,
                         std::string_view body, From from) {
  std::optional<Answer> answer = Poll(Send(opcode, node, body, from));
  CHECK(answer.has_value()) << "no answer to opcode " << opcode;
  return *std::move(answer);
}

Answer MountedView::Lookup(kernel::NodeId parent, std::string_view name,
                           From from) {
  Answer answer = Call(FUSE_LOOKUP, parent, Terminated(name), from);
  // As the kernel takes it: there is none, and that may be kept.
  if (answer.error == 0 && answer.node() == 0) answer.error = ENOENT;
  return answer;
}

kernel::NodeId MountedView::Walk(std::string_view path, From from) {
  kernel::NodeId node = kernel::kRootNode;
  for (const std::string_view name :
       absl::StrSplit(path, '/', absl::SkipEmpty())) {
    const Answer answer = Lookup(node, name, from);
    if (answer.error != 0) return 0;
    node = answer.node();
  }
  return node;
}

Answer MountedView::GetAttributes(kernel::NodeId node, From from) {
  return Call(FUSE_GETATTR, node, fuse_getattr_in{}, "", from);
}

Answer MountedView::Open(kernel::NodeId node, int flags, From from) {
  fuse_open_in in = {};
  in.flags = static_cast<uint32_t>(flags);
  return Call(FUSE_OPEN, node, in, "", from);
}

Answer MountedView::Create(kernel::NodeId parent, std::string_view name,
                           int flags, From from) {
  fuse_create_in in = {};
  in.flags = static_cast<uint32_t>(flags | O_CREAT);
  in.mode = S_IFREG | 0644;
  return Call(FUSE_CREATE, parent, in, Terminated(name), from);
}

Answer MountedView::Mkdir(kernel::NodeId parent, std::string_view name,
                          From from) {
  fuse_mkdir_in in = {};
  in.mode = 0755;
  return Call(FUSE_MKDIR, parent, in, Terminated(name), from);
}

Answer MountedView::Unlink(kernel::NodeId parent, std::string_view name,
                           From from) {
  return Call(FUSE_UNLINK, parent, Terminated(name), from);
}

Answer MountedView::Rmdir(kernel::NodeId parent, std::string_view name,
                          From from) {
  return Call(FUSE_RMDIR, parent, Terminated(name), from);
}

Answer MountedView::Rename(kernel::NodeId parent, std::string_view name,
                           kernel::NodeId new_parent, std::string_view new_name,
                           uint32_t flags, From from) {
  fuse_rename2_in in = {};
  in.newdir = new_parent;
  in.flags = flags;
  return Call(FUSE_RENAME2, parent, in, Terminated(name) + Terminated(new_name),
              from);
}

Answer MountedView::Read(kernel::NodeId node, uint64_t handle, uint64_t offset,
                         uint32_t size) {
  fuse_read_in in = {};
  in.fh = handle;
  in.offset = offset;
  in.size = size;
  return Call(FUSE_READ, node, in, "");
}

Answer MountedView::Write(kernel::NodeId node, uint64_t handle, uint64_t offset,
                          std::string_view data, uint32_t flags) {
  fuse_write_in in = {};
  in.fh = handle;
  in.offset = offset;
  in.size = static_cast<uint32_t>(data.size());
  in.write_flags = flags;
  return Call(FUSE_WRITE, node, in, data);
}

Answer MountedView::Release(kernel::NodeId node, uint64_t handle) {
  fuse_release_in in = {};
  in.fh = handle;
  return Call(FUSE_RELEASE, node, in, "");
}

uint64_t MountedView::SendLock(kernel::NodeId node, uint64_t handle,
                               uint64_t owner, int type, bool wait,
                               uint64_t start) {
  fuse_lk_in in = {};
  in.fh = handle;
  in.owner = owner;
  in.lk.start = start;
  in.lk.end = INT64_MAX;
  in.lk.type = static_cast<uint32_t>(type);
  in.lk.pid = 4242;
  return Send(wait ? FUSE_SETLKW : FUSE_SETLK, node, Bytes(in));
}

void MountedView::Forget(kernel::NodeId node, uint64_t lookups) {
  Send(FUSE_FORGET, node, Bytes(fuse_forget_in{lookups}));
}

std::vector<ListedName> MountedView::List(kernel::NodeId node, bool plus,
                                          uint32_t size, From from) {
  std::vector<ListedName> names;
  const Answer opened = Call(FUSE_OPENDIR, node, fuse_open_in{}, "", from);
  CHECK_EQ(opened.error, 0);
  fuse_read_in in = {};
  in.fh = opened.opened().fh;
  in.size = size;
  while (true) {
    const Answer answer =
        Call(plus ? FUSE_READDIRPLUS : FUSE_READDIR, node, in, "", from);
    CHECK_EQ(answer.error, 0);
    if (answer.body.empty()) break;
    for (size_t at = 0; at < answer.body.size();) {
      ListedName name;
      if (plus) {
        name.entry = answer.As<fuse_entry_out>(at);
        at += sizeof(fuse_entry_out);
      }
      const fuse_dirent dirent = answer.As<fuse_dirent>(at);
      name.name = answer.body.substr(at + FUSE_NAME_OFFSET, dirent.namelen);
      name.next = in.offset = dirent.off;
      at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + dirent.namelen);
      if (name.name != "." && name.name != "..") names.push_back(name);
    }
  }
  fuse_release_in release = {};
  release.fh = in.fh;
  CHECK_EQ(Call(FUSE_RELEASEDIR, node, release, "").error, 0);
  return names;
}

std::vector<FakeKernel::Message> MountedView::Notifications() {
  Serve();
  return std::exchange(notifications_, {});
}

bool MountedView::Names(const std::vector<FakeKernel::Message>& messages,
                        kernel::NodeId parent, std::string_view name) {
  for (const FakeKernel::Message& message : messages) {
    if (message.error != FUSE_NOTIFY_INVAL_ENTRY) continue;
    const auto out = message.As<fuse_notify_inval_entry_out>();
    if (out.parent == parent &&
        message.body.substr(sizeof(out)) == Terminated(name)) {
      return true;
    }
  }
  return false;
}

bool MountedView::Invalidates(const std::vector<FakeKernel::Message>& messages,
                              kernel::NodeId node) {
  for (const FakeKernel::Message& message : messages) {
    if (message.error == FUSE_NOTIFY_INVAL_INODE &&
        message.As<fuse_notify_inval_inode_out>().ino == node) {
      return true;
    }
  }
  return false;
}

}  // namespace fused
