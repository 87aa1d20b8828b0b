#include "kernel/ring.h"

#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "kernel/libfuse.h"
#include "kernel/status.h"

namespace fused::kernel {
namespace {

constexpr size_t kPage = 4096;
// A seat's submissions: its entry, those that it commits for others (more are
// sent in turns), and the wait for `wake_`.
constexpr unsigned kSubmissions = 16;
// The user data of that wait; entries' are their addresses.
constexpr uint64_t kWake = 0;

// The seat of the calling thread, and the entry that it is at.
thread_local RingSeat* this_seat = nullptr;

}  // namespace

class Ring::Entry {
 public:
  Entry(int queue, char* memory, size_t payload)
      : queue(queue),
        memory(memory),
        parts{{&header, sizeof(header)}, {memory, payload}} {}

  size_t payload() const { return parts[1].iov_len; }

  const int queue;
  char* const memory;
  struct fuse_uring_req_header header = {};
  struct iovec parts[2];
  uint64_t commit_id = 0;
  // 0: there is no request in it that is unanswered.
  std::atomic<uint64_t> unique{0};
};

absl::StatusOr<std::unique_ptr<Ring>> Ring::Create(int device, int queues,
                                                   size_t payload) {
  std::unique_ptr<Ring> ring(new Ring(device, queues, payload));
  for (int queue = 0; queue < queues; ++queue) {
    Fd& wake = ring->at_[queue].wake;
    wake.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake.valid()) return ErrnoStatus(errno, "eventfd");
  }
  ring->times_out_ = RequestsTimeOut();
  return ring;
}

Ring::Ring(int device, int queues, size_t payload)
    : device_(device),
      queues_(queues),
      payload_(payload),
      at_(std::make_unique<Queue[]>(queues)),
      entries_(kMostEntries * queues) {}

Ring::~Ring() {
  for (size_t i = 0; i < entry_count_.load(); ++i) {
    Entry* const entry = entries_[i].load();
    munmap(entry->memory, payload_);
    delete entry;
  }
}

Ring::Entry* Ring::NewEntry(int queue) {
  absl::MutexLock lock(&mu_);
  if (at_[queue].made.load() == kMostEntries) return nullptr;
  // Pages come when they are touched.
  void* memory = mmap(nullptr, payload_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* entry = new Entry(queue, static_cast<char*>(memory), payload_);
  at_[queue].made.fetch_add(1);
  const size_t count = entry_count_.load();
  entries_[count].store(entry, std::memory_order_release);
  entry_count_.store(count + 1, std::memory_order_release);
  return entry;
}

Ring::Entry* Ring::Find(uint64_t unique) const {
  const size_t count = entry_count_.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i) {
    Entry* const entry = entries_[i].load(std::memory_order_acquire);
    if (entry->unique.load(std::memory_order_acquire) == unique) return entry;
  }
  return nullptr;
}

void Ring::NoteFile(uint64_t node) {
  for (const std::atomic<uint64_t>& file : files_) {
    if (file.load(std::memory_order_relaxed) == node) return;
  }
  files_[next_file_.fetch_add(1) % files_.size()].store(node);
}

bool Ring::Finish(Entry& entry, uint64_t unique) {
  if (!entry.unique.compare_exchange_strong(unique, 0)) return false;
  unanswered_.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

void Ring::Post(Entry* entry) {
  Queue& queue = at_[entry->queue];
  {
    absl::MutexLock lock(&queue.mu);
    queue.posted.push_back(entry);
    queue.posted_count.store(queue.posted.size(), std::memory_order_release);
  }
  eventfd_write(queue.wake.get(), 1);
}

std::vector<Ring::Entry*> Ring::TakePosted(int number) {
  Queue& queue = at_[number];
  if (queue.posted_count.load(std::memory_order_acquire) == 0) return {};
  absl::MutexLock lock(&queue.mu);
  queue.posted_count.store(0, std::memory_order_release);
  return std::exchange(queue.posted, {});
}

Ring::Entry* Ring::TakeSpare(int number) {
  Queue& queue = at_[number];
  absl::MutexLock lock(&queue.mu);
  if (queue.spare.empty()) return nullptr;
  Entry* const entry = queue.spare.back();
  queue.spare.pop_back();
  return entry;
}

void Ring::Stop() {
  stopped_.store(true, std::memory_order_release);
  for (int queue = 0; queue < queues_; ++queue) {
    eventfd_write(at_[queue].wake.get(), 1);
  }
}

void Ring::Fail() {
  failed_.store(true);
  Stop();
}

Ring::Stats Ring::stats() const {
  const size_t seats = seats_.load();
  const size_t entries = entry_count_.load();
  return {seats, entries, (entries + seats) * (kPage + payload_)};
}

struct RingSeat::Impl {
  Impl(Ring* ring, int queue, bool stands_in)
      : ring(ring),
        queue(queue),
        kicks(stands_in),
        memory(static_cast<char*>(
            std::aligned_alloc(kPage, kPage + ring->payload_))) {}
  ~Impl() {
    if (open) io_uring_queue_exit(&uring);
  }
  absl::Status Open();
  // Room for one more submission.
  io_uring_sqe* Submission();
  void Send(Ring::Entry* entry, uint32_t command);
  void WaitForWake();
  // An entry for the seat's next request.
  void Register();
  // Makes a request that nobody waits for. False: it can't be made.
  bool Kick();
  // Answers it, which takes effect when it is committed.
  void Forgo(Ring::Entry* entry);
  // Does not commit it for now.
  void Retire(Ring::Entry* entry);
  // False: the ring has stopped.
  bool TakePosted();
  bool Reap(io_uring_cqe* cqe, std::string_view& packet);
  // Takes over the request that is in the entry. Empty: it makes no sense.
  std::string_view Arrive(Ring::Entry* entry);

  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };

  Ring* const ring;
  const int queue;
  bool kicks;
  // The packet, with what follows its fixed part on the second page. Not the
  // entry's memory: that is the kernel's again once the request is answered,
  // when the handler may still be at it.
  const std::unique_ptr<char, Free> memory;
  struct io_uring uring = {};
  bool open = false;
  // Entries that the kernel may put a request into.
  int held = 0;
  // Of what it committed for others, what is still to be set aside.
  int surplus = 0;
  // At whose request the thread is.
  Ring::Entry* current = nullptr;
  // That is answered with a node.
  bool makes_entry = false;
};

absl::Status RingSeat::Impl::Open() {
  struct io_uring_params params = {};
  params.flags = IORING_SETUP_SQE128 | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  const int error = io_uring_queue_init_params(kSubmissions, &uring, &params);
  if (error != 0) return ErrnoStatus(-error, "io_uring_setup");
  open = true;
  // Spares each wait a look at the table of descriptors; nothing depends on it.
  (void)io_uring_register_ring_fd(&uring);
  return absl::OkStatus();
}

io_uring_sqe* RingSeat::Impl::Submission() {
  io_uring_sqe* sqe = io_uring_get_sqe(&uring);
  while (sqe == nullptr) {
    io_uring_submit(&uring);
    sqe = io_uring_get_sqe(&uring);
  }
  // Twice as long as liburing thinks.
  std::memset(sqe, 0, 2 * sizeof(*sqe));
  return sqe;
}

void RingSeat::Impl::Send(Ring::Entry* entry, uint32_t command) {
  io_uring_sqe* const sqe = Submission();
  sqe->opcode = IORING_OP_URING_CMD;
  sqe->fd = ring->device_;
  sqe->cmd_op = command;
  sqe->user_data = reinterpret_cast<uint64_t>(entry);
  if (command == FUSE_IO_URING_CMD_REGISTER) {
    sqe->addr = reinterpret_cast<uint64_t>(entry->parts);
    sqe->len = 2;
  }
  fuse_uring_cmd_req request = {};
  request.commit_id = entry->commit_id;
  request.qid = static_cast<uint16_t>(entry->queue);
  std::memcpy(sqe->cmd, &request, sizeof(request));
  ++held;
}

void RingSeat::Impl::WaitForWake() {
  io_uring_sqe* const sqe = Submission();
  io_uring_prep_poll_add(sqe, ring->at_[queue].wake.get(), POLLIN);
  sqe->user_data = kWake;
}

void RingSeat::Impl::Register() {
  if (Ring::Entry* const spare = ring->TakeSpare(queue); spare != nullptr) {
    // That fetches what waits.
    Send(spare, FUSE_IO_URING_CMD_COMMIT_AND_FETCH);
    kicks = true;
    return;
  }
  Ring::Entry* const entry = ring->NewEntry(queue);
  if (entry == nullptr) return;
  Send(entry, FUSE_IO_URING_CMD_REGISTER);
  if (std::exchange(kicks, true)) Kick();
}

// The kernel puts a request that found no entry free into one that is committed
// later, but not into one that is registered later. So a request is made that
// goes into the new entry: its commit fetches what waits. NOTIFY_RETRIEVE of
// nothing makes one, at the queue of the processor that asks; the node has to
// be a regular file that the kernel knows. Without one, what waits does so
// until another request of the queue is answered.
bool RingSeat::Impl::Kick() {
  io_uring_submit(&uring);
  fuse_notify_retrieve_out out = {};
  // No request of the kernel's own has such a number.
  out.notify_unique = (uint64_t{1} << 62) + 2 * ring->kicks_.fetch_add(1);
  fuse_out_header header = {};
  header.len = sizeof(header) + sizeof(out);
  header.error = FUSE_NOTIFY_RETRIEVE;
  const struct iovec parts[] = {{&header, sizeof(header)}, {&out, sizeof(out)}};
  for (std::atomic<uint64_t>& file : ring->files_) {
    out.nodeid = file.load(std::memory_order_relaxed);
    if (out.nodeid == 0) continue;
    if (writev(ring->device_, parts, 2) >= 0) return true;
    // Forgotten.
    uint64_t expected = out.nodeid;
    file.compare_exchange_strong(expected, 0);
  }
  return false;
}

void RingSeat::Impl::Forgo(Ring::Entry* entry) {
  fuse_out_header out = {};
  out.len = sizeof(out);
  out.unique = entry->unique.load();
  std::memcpy(entry->header.in_out, &out, sizeof(out));
  entry->header.ring_ent_in_out.payload_sz = 0;
  ring->Finish(*entry, out.unique);
}

// There is no way to give an entry back: an answer is committed with the wait
// for the next request, and what the kernel puts into this entry from then on
// is seen by this thread alone, and not while it is at something slow.
void RingSeat::Impl::Retire(Ring::Entry* entry) {
  Ring::Queue& place = ring->at_[queue];
  absl::MutexLock lock(&place.mu);
  place.spare.push_back(entry);
}

bool RingSeat::Impl::TakePosted() {
  for (Ring::Entry* entry : ring->TakePosted(queue)) {
    Send(entry, FUSE_IO_URING_CMD_COMMIT_AND_FETCH);
    if (!ring->times_out_) ++surplus;
  }
  return !ring->stopped();
}

bool RingSeat::Impl::Reap(io_uring_cqe* cqe, std::string_view& packet) {
  const uint64_t data = cqe->user_data;
  const int result = cqe->res;
  auto* const entry = static_cast<Ring::Entry*>(io_uring_cqe_get_data(cqe));
  io_uring_cqe_seen(&uring, cqe);
  if (data == kWake) {
    eventfd_t value;
    if (!ring->stopped()) eventfd_read(ring->at_[queue].wake.get(), &value);
    WaitForWake();
    return true;
  }
  --held;
  if (result < 0) {
    if (result != -ENOTCONN && result != -ECONNABORTED &&
        result != -ECANCELED) {
      LOG(ERROR) << "FUSE over io_uring: " << Describe(ErrnoStatus(-result));
      ring->Fail();
    }
    return false;
  }
  packet = Arrive(entry);
  if (packet.empty()) {
    ring->Fail();
    return false;
  }
  fuse_in_header in;
  std::memcpy(&in, packet.data(), sizeof(in));
  if (in.opcode == FUSE_NOTIFY_REPLY) {
    packet = {};
    Forgo(entry);
    if (held > 0 && !ring->times_out_) {
      Retire(entry);
    } else {
      Send(entry, FUSE_IO_URING_CMD_COMMIT_AND_FETCH);
    }
    return true;
  }
  current = entry;
  makes_entry = in.opcode == FUSE_LOOKUP || in.opcode == FUSE_CREATE;
  const bool of_file = in.opcode == FUSE_OPEN || in.opcode == FUSE_READ ||
                       in.opcode == FUSE_WRITE || in.opcode == FUSE_SETLKW;
  if (of_file) ring->NoteFile(in.nodeid);
  return true;
}

std::string_view RingSeat::Impl::Arrive(Ring::Entry* entry) {
  const fuse_uring_req_header& header = entry->header;
  fuse_in_header in;
  std::memcpy(&in, header.in_out, sizeof(in));
  const size_t behind = header.ring_ent_in_out.payload_sz;
  if (behind > entry->payload() || in.len < sizeof(in) + behind ||
      in.len - sizeof(in) - behind > sizeof(header.op_in)) {
    LOG(ERROR) << "FUSE over io_uring: a request of a wrong size";
    return {};
  }
  const size_t fixed = in.len - sizeof(in) - behind;
  char* const start = memory.get() + kPage - fixed - sizeof(in);
  std::memcpy(start, &in, sizeof(in));
  std::memcpy(start + sizeof(in), header.op_in, fixed);
  std::memcpy(memory.get() + kPage, entry->memory, behind);
  entry->commit_id = header.ring_ent_in_out.commit_id;
  ring->unanswered_.fetch_add(1, std::memory_order_relaxed);
  entry->unique.store(in.unique, std::memory_order_release);
  return {start, in.len};
}

RingSeat::RingSeat(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  this_seat = this;
  impl_->ring->seats_.fetch_add(1);
}

RingSeat::~RingSeat() {
  this_seat = nullptr;
  impl_->ring->seats_.fetch_sub(1);
}

absl::StatusOr<std::unique_ptr<RingSeat>> RingSeat::Create(Ring* ring,
                                                           int queue,
                                                           bool stands_in) {
  auto impl = std::make_unique<Impl>(ring, queue, stands_in);
  if (absl::Status status = impl->Open(); !status.ok()) return status;
  impl->WaitForWake();
  return std::unique_ptr<RingSeat>(new RingSeat(std::move(impl)));
}

std::optional<std::string_view> RingSeat::Next() {
  Impl& seat = *impl_;
  seat.current = nullptr;
  for (;;) {
    if (!seat.TakePosted()) return std::nullopt;
    if (seat.held == 0) {
      // The one that it had is kept by its request.
      seat.Register();
    } else if (seat.held > 1 && seat.surplus > 0 && seat.Kick()) {
      --seat.surplus;
    }
    const int submitted = io_uring_submit_and_wait(&seat.uring, 1);
    if (submitted < 0 && submitted != -EINTR && submitted != -EAGAIN) {
      LOG(ERROR) << "io_uring_enter: " << Describe(ErrnoStatus(-submitted));
      seat.ring->Fail();
      return std::nullopt;
    }
    io_uring_cqe* cqe = nullptr;
    if (io_uring_peek_cqe(&seat.uring, &cqe) != 0) continue;
    std::string_view packet;
    if (!seat.Reap(cqe, packet)) {
      // For all seats of the connection.
      seat.ring->Stop();
      return std::nullopt;
    }
    if (!packet.empty()) return packet;
  }
}

std::optional<int> Ring::Answer(uint64_t unique, const struct iovec* parts,
                                int count) {
  RingSeat::Impl* const seat =
      this_seat != nullptr && this_seat->impl_->ring == this
          ? this_seat->impl_.get()
          : nullptr;
  Entry* entry = seat != nullptr ? seat->current : nullptr;
  if (entry == nullptr ||
      entry->unique.load(std::memory_order_relaxed) != unique) {
    entry = Find(unique);
  }
  if (entry == nullptr || !Finish(*entry, unique)) return std::nullopt;
  if (stopped()) return ENODEV;
  fuse_out_header out;
  std::memcpy(&out, parts[0].iov_base, sizeof(out));
  size_t used = 0;
  for (int i = 1; i < count; ++i) {
    if (parts[i].iov_len > entry->payload() - used) {
      LOG(ERROR) << "an answer is larger than a ring's entry";
      out.error = -EIO;
      used = 0;
      break;
    }
    std::memcpy(entry->memory + used, parts[i].iov_base, parts[i].iov_len);
    used += parts[i].iov_len;
  }
  out.len = static_cast<uint32_t>(sizeof(out) + used);
  std::memcpy(entry->header.in_out, &out, sizeof(out));
  entry->header.ring_ent_in_out.payload_sz = static_cast<uint32_t>(used);
  // A thread's own goes with its wait for the next.
  if (seat != nullptr && seat->current == entry) {
    fuse_entry_out made;
    if (seat->makes_entry && out.error == 0 && used >= sizeof(made)) {
      std::memcpy(&made, entry->memory, sizeof(made));
      if (S_ISREG(made.attr.mode)) NoteFile(made.nodeid);
    }
    seat->Send(entry, FUSE_IO_URING_CMD_COMMIT_AND_FETCH);
  } else {
    Post(entry);
  }
  return 0;
}

}  // namespace fused::kernel
