#include "fused/control/server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <deque>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "fused/control/dispatch.h"
#include "fused/control/frame.h"
#include "fused/control/socket.h"
#include "kernel/status.h"

namespace fused::control {
namespace {

using kernel::ErrnoStatus;
using kernel::Fd;

// Others than admins may ask for `status`, which is small.
constexpr size_t kMaxOthersMessage = 64 << 10;

// Places in the epoll set; connections count on from here.
constexpr uint64_t kListener = 0;
constexpr uint64_t kWake = 1;
constexpr uint64_t kFirstConnection = 2;

// Of the thread that does the input and output, alone.
struct Connection {
  Connection(Fd socket, uid_t peer, bool is_admin)
      : fd(std::move(socket)),
        uid(peer),
        admin(is_admin),
        decoder(is_admin ? kMaxMessage : kMaxOthersMessage) {}

  bool sending() const { return sent < out.size(); }
  bool idle() const { return !working && !sending(); }

  Fd fd;
  uid_t uid;
  bool admin;
  FrameDecoder decoder;
  std::string out;
  size_t sent = 0;
  std::vector<Fd> fds;   // go with the first byte of `out`
  bool working = false;  // a request is with the workers
  bool last = false;     // closes when `out` is sent
  bool ended = false;    // the peer sends no more
  uint32_t interest = 0;
  absl::Time used = absl::Now();
  absl::Time deadline = absl::InfiniteFuture();
};

struct Job {
  uint64_t connection = 0;
  Asker asker;
  std::string bytes;
};

struct Finished {
  uint64_t connection = 0;
  std::string frame;
  std::vector<Fd> fds;
  bool last = false;
};

}  // namespace

struct Server::Impl {
  Impl(const Options& o, Backend* b) : options(o), backend(b) {}

  absl::Status Start();
  void Stop();

  // On the I/O thread.
  void Serve();
  void AcceptAll();
  void Accept(Fd peer);
  bool MakeRoom(bool for_admin);
  void OnEvent(uint64_t id, uint32_t events);
  // False: the connection is to be dropped.
  bool Read(Connection& connection);
  bool Write(Connection& connection);
  bool Advance(uint64_t id, Connection& connection);
  void Answer(Connection& connection, std::string frame, std::vector<Fd> fds,
              bool last);
  bool Refuse(Connection& connection, int error, std::string_view why);
  void Watch(uint64_t id, Connection& connection);
  void Settle(uint64_t id, Connection& connection);
  void TakeFinished();
  int DropOverdue();

  void Work();
  Finished Process(const Job& job);
  void Wake() const;

  const Options options;
  Backend* const backend;
  Fd listener;
  Fd epoll;
  Fd wake;
  Fd spare;  // given up for a moment where no descriptor is left
  dev_t device = 0;
  ino_t inode = 0;
  std::atomic<bool> stopping = false;

  // The I/O thread's.
  absl::btree_map<uint64_t, Connection> connections;
  uint64_t next_connection = kFirstConnection;

  absl::Mutex mutex;
  std::deque<Job> jobs ABSL_GUARDED_BY(mutex);
  std::deque<Finished> finished ABSL_GUARDED_BY(mutex);

  std::thread io;
  std::vector<std::thread> workers;
};

absl::Status Server::Impl::Start() {
  auto listening = ListenUnix(options.socket);
  if (!listening.ok()) return listening.status();
  listener = *std::move(listening);
  struct stat there = {};
  if (lstat(options.socket.c_str(), &there) == 0) {
    device = there.st_dev;
    inode = there.st_ino;
  }
  epoll.Reset(epoll_create1(EPOLL_CLOEXEC));
  wake.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  spare.Reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!epoll.valid() || !wake.valid() || !spare.valid()) {
    return ErrnoStatus(errno, "control server");
  }
  for (const auto& [fd, id] :
       {std::pair(listener.get(), kListener), std::pair(wake.get(), kWake)}) {
    struct epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = id;
    if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return ErrnoStatus(errno, "control server");
    }
  }
  io = std::thread([this] { Serve(); });
  for (int i = 0; i < options.threads; ++i) {
    workers.emplace_back([this] { Work(); });
  }
  return absl::OkStatus();
}

void Server::Impl::Stop() {
  {
    // Under the mutex, so that a worker either sees it or is woken by it.
    absl::MutexLock lock(&mutex);
    stopping = true;
  }
  if (wake.valid()) Wake();
  if (io.joinable()) io.join();
  for (std::thread& worker : workers) {
    if (worker.joinable()) worker.join();
  }
  connections.clear();
  if (!listener.valid()) return;
  listener.Reset();
  struct stat there = {};
  if (lstat(options.socket.c_str(), &there) == 0 && there.st_dev == device &&
      there.st_ino == inode) {
    unlink(options.socket.c_str());
  }
}

void Server::Impl::Wake() const {
  const uint64_t one = 1;
  // It fails only where the counter is full, and then it wakes as well.
  (void)!write(wake.get(), &one, sizeof one);
}

void Server::Impl::Serve() {
  std::array<struct epoll_event, 32> events;
  while (!stopping) {
    const int count =
        epoll_wait(epoll.get(), events.data(), static_cast<int>(events.size()),
                   DropOverdue());
    for (int i = 0; i < count; ++i) {
      const uint64_t id = events[i].data.u64;
      if (id == kListener) {
        AcceptAll();
      } else if (id == kWake) {
        uint64_t value = 0;
        (void)!read(wake.get(), &value, sizeof value);
        TakeFinished();
      } else {
        OnEvent(id, events[i].events);
      }
    }
  }
}

void Server::Impl::AcceptAll() {
  for (int i = 0; i < options.max_connections; ++i) {
    Fd peer(accept4(listener.get(), nullptr, nullptr,
                    SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (peer.valid()) {
      Accept(std::move(peer));
    } else if (errno == EMFILE || errno == ENFILE) {
      // Else the listener would be ready for ever.
      spare.Reset();
      Fd(accept(listener.get(), nullptr, nullptr)).Reset();
      spare.Reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
      return;
    } else if (errno != ECONNABORTED && errno != EINTR) {
      return;
    }
  }
}

void Server::Impl::Accept(Fd peer) {
  struct ucred who = {};
  socklen_t size = sizeof who;
  if (getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) {
    return;
  }
  const bool admin =
      who.uid == 0 ||
      std::find(options.admin_uids.begin(), options.admin_uids.end(),
                who.uid) != options.admin_uids.end();
  if (!MakeRoom(admin)) {
    backend->Refused(who.uid, "", EBUSY);
    const std::string frame =
        FrameOf(ErrorResponse(EBUSY, "too many connections are at work"));
    SendSome(peer.get(), frame, {}).IgnoreError();
    return;
  }
  const uint64_t id = next_connection++;
  auto added = connections.try_emplace(id, std::move(peer), who.uid, admin);
  struct epoll_event event = {};
  event.events = added.first->second.interest = EPOLLIN;
  event.data.u64 = id;
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, added.first->second.fd.get(),
                &event) != 0) {
    connections.erase(added.first);
  }
}

// Others than admins have half of the places, and take none from an admin.
bool Server::Impl::MakeRoom(bool for_admin) {
  int others = 0;
  auto oldest = connections.end();
  for (auto at = connections.begin(); at != connections.end(); ++at) {
    const Connection& one = at->second;
    if (!one.admin) ++others;
    if (!one.idle() || (one.admin && !for_admin)) continue;
    if (oldest == connections.end() ||
        std::pair(one.admin, one.used) <
            std::pair(oldest->second.admin, oldest->second.used)) {
      oldest = at;
    }
  }
  const bool full =
      static_cast<int>(connections.size()) >= options.max_connections ||
      (!for_admin && others >= std::max(1, options.max_connections / 2));
  if (!full) return true;
  if (oldest == connections.end()) return false;
  connections.erase(oldest);
  return true;
}

void Server::Impl::OnEvent(uint64_t id, uint32_t events) {
  auto found = connections.find(id);
  if (found == connections.end()) return;
  Connection& connection = found->second;
  // Closed on both sides: nobody will read the answer.
  bool keep = (events & (EPOLLHUP | EPOLLERR)) == 0;
  if (keep && (events & EPOLLOUT) != 0) keep = Write(connection);
  if (keep && (events & EPOLLIN) != 0) keep = Read(connection);
  if (!keep) {
    connections.erase(found);
    return;
  }
  Settle(id, connection);
}

bool Server::Impl::Read(Connection& connection) {
  std::array<char, 64 << 10> buffer;
  auto got =
      ReceiveSome(connection.fd.get(), buffer.data(), buffer.size(), nullptr);
  if (!got.ok()) return kernel::IsErrno(got.status(), EAGAIN);
  connection.used = absl::Now();
  if (*got == 0) connection.ended = true;
  connection.decoder.Feed(std::string_view(buffer.data(), *got));
  return true;
}

bool Server::Impl::Write(Connection& connection) {
  while (connection.sending()) {
    std::string_view rest = connection.out;
    rest.remove_prefix(connection.sent);
    auto sent = SendSome(connection.fd.get(), rest, connection.fds);
    if (!sent.ok()) return false;
    if (*sent == 0) return true;
    connection.fds.clear();
    connection.sent += *sent;
  }
  connection.out.clear();
  connection.out.shrink_to_fit();
  connection.sent = 0;
  connection.deadline = absl::InfiniteFuture();
  connection.used = absl::Now();
  return !connection.last;
}

void Server::Impl::Answer(Connection& connection, std::string frame,
                          std::vector<Fd> fds, bool last) {
  connection.working = false;
  connection.out = std::move(frame);
  connection.fds = std::move(fds);
  connection.last = last;
  connection.deadline = absl::Now() + options.message_timeout;
}

// Says why nothing more is taken from the peer.
bool Server::Impl::Refuse(Connection& connection, int error,
                          std::string_view why) {
  backend->Refused(connection.uid, "", error);
  Answer(connection, FrameOf(ErrorResponse(error, why)), {}, true);
  return Write(connection);
}

// Takes the next request out of what has been read.
bool Server::Impl::Advance(uint64_t id, Connection& connection) {
  auto next = connection.decoder.Next();
  if (!next.ok()) {
    return Refuse(connection, EMSGSIZE, next.status().message());
  }
  if (!next->has_value()) {
    if (connection.ended && connection.decoder.empty()) return false;
    if (connection.ended) {
      return Refuse(connection, EBADMSG, "the message ends before its length");
    }
    if (connection.decoder.empty()) {
      connection.deadline = absl::InfiniteFuture();
    } else if (connection.deadline == absl::InfiniteFuture()) {
      connection.deadline = absl::Now() + options.message_timeout;
    }
    return true;
  }
  connection.deadline = absl::InfiniteFuture();
  connection.working = true;
  absl::MutexLock lock(&mutex);
  jobs.push_back({id, {connection.uid, connection.admin}, **std::move(next)});
  return true;
}

void Server::Impl::Settle(uint64_t id, Connection& connection) {
  if (connection.idle() && !Advance(id, connection)) {
    connections.erase(id);
    return;
  }
  Watch(id, connection);
}

void Server::Impl::Watch(uint64_t id, Connection& connection) {
  uint32_t interest = 0;
  if (connection.sending()) {
    interest = EPOLLOUT;
  } else if (!connection.working && !connection.ended) {
    interest = EPOLLIN;
  }
  if (interest == connection.interest) return;
  connection.interest = interest;
  struct epoll_event event = {};
  event.events = interest;
  event.data.u64 = id;
  epoll_ctl(epoll.get(), EPOLL_CTL_MOD, connection.fd.get(), &event);
}

void Server::Impl::TakeFinished() {
  std::deque<Finished> taken;
  {
    absl::MutexLock lock(&mutex);
    taken.swap(finished);
  }
  for (Finished& one : taken) {
    auto found = connections.find(one.connection);
    if (found == connections.end()) continue;
    Connection& connection = found->second;
    Answer(connection, std::move(one.frame), std::move(one.fds), one.last);
    if (!Write(connection)) {
      connections.erase(found);
      continue;
    }
    Settle(one.connection, connection);
  }
}

// Returns for how long to wait, in milliseconds.
int Server::Impl::DropOverdue() {
  const absl::Time now = absl::Now();
  absl::Time next = absl::InfiniteFuture();
  for (auto at = connections.begin(); at != connections.end();) {
    Connection& one = at->second;
    if (one.deadline <= now) {
      // Who does not take an answer gets none.
      if (!one.idle() ||
          !Refuse(one, ETIMEDOUT, "the rest of the message did not come")) {
        at = connections.erase(at);
        continue;
      }
      Watch(at->first, one);
    }
    next = std::min(next, at->second.deadline);
    ++at;
  }
  if (next == absl::InfiniteFuture()) return -1;
  return static_cast<int>(absl::ToInt64Milliseconds(next - now)) + 1;
}

void Server::Impl::Work() {
  for (;;) {
    Job job;
    {
      absl::MutexLock lock(&mutex);
      auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
        return stopping || !jobs.empty();
      };
      mutex.Await(absl::Condition(&ready));
      if (stopping) return;
      job = std::move(jobs.front());
      jobs.pop_front();
    }
    Finished result = Process(job);
    {
      absl::MutexLock lock(&mutex);
      finished.push_back(std::move(result));
    }
    Wake();
  }
}

Finished Server::Impl::Process(const Job& job) {
  Finished result;
  result.connection = job.connection;
  v1::Request request;
  if (!request.ParseFromString(job.bytes)) {
    backend->Refused(job.asker.uid, "", EBADMSG);
    result.frame = FrameOf(
        ErrorResponse(EBADMSG, "not a message of fused.control.v1.Request"));
    result.last = true;
    return result;
  }
  SetPeer(job.asker.uid, request);
  control::Answer answer = Dispatch(*backend, request, job.asker, stopping);
  result.frame = FrameOf(std::move(answer.message));
  result.fds = std::move(answer.fds);
  return result;
}

Server::Server() = default;

Server::~Server() {
  if (impl_ != nullptr) Stop();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options,
                                                      Backend* backend) {
  auto server = std::unique_ptr<Server>(new Server());
  server->impl_ = std::make_unique<Impl>(options, backend);
  if (auto status = server->impl_->Start(); !status.ok()) return status;
  return server;
}

void Server::Stop() { impl_->Stop(); }

}  // namespace fused::control
