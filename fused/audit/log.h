// The audit log: from what request threads note to lines on disk.
#ifndef FUSED_FUSED_AUDIT_LOG_H_
#define FUSED_FUSED_AUDIT_LOG_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "fused/audit/event.h"
#include "fused/audit/gate.h"
#include "fused/audit/path_key.h"
#include "fused/audit/queue.h"
#include "fused/audit/recent.h"
#include "fused/audit/rotating_file.h"
#include "proto/audit.pb.h"
#include "proto/config.pb.h"
#include "proto/control.pb.h"

namespace fused::audit {

// Has a thread of its own that writes. Thread-safe. Where the disk is full or
// broken, records are counted as lost and all else goes on.
class Log {
 public:
  struct Options {
    // Holds audit/audit.jsonl and audit.key.
    std::string state_dir;
    // Complete: no field is 0.
    config::v1::Audit config;
    // What comes within it and is the same is one record.
    absl::Duration window = absl::Seconds(1);
    // Records in memory.
    size_t recent = 8192;
    // Whether stderr is the journal: then records go there too.
    bool journal = false;
  };

  // Counts since the start.
  struct Stats {
    uint64_t records = 0;
    // Events that became no record of their own, nor a count: by uids that
    // caused too many, and without a free place.
    uint64_t limited = 0;
    uint64_t full = 0;
    // Records that could not be written.
    uint64_t unwritten = 0;
    uint64_t queued = 0;
  };

  static absl::StatusOr<std::unique_ptr<Log>> Open(const Options& options);
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  // Writes what there is.
  ~Log();

  // For request threads: neither waits nor makes a system call. `describe`
  // fills in all but the time and what the key has; it is called where the
  // event is the first of its key, and the uid may cause one more.
  void Note(const Key& key, absl::FunctionRef<void(Event&)> describe);

  // What happens seldom: a push, a state. Of those none is dropped for another
  // kind's sake; not for request threads.
  void Say(v1::Record record);

  // Until what was noted before is written, or `timeout`.
  void Flush(absl::Duration timeout);

  control::v1::AuditResponse Answer(const control::v1::AuditRequest& request);
  Stats stats() const;

 private:
  Log(const Options& options, std::unique_ptr<RotatingFile> file,
      std::optional<PathKey> key);

  void LoadRecent();
  void Run();
  // Writes what was noted and said.
  void Drain();
  void TellDropped();
  void Write(v1::Record record);
  void HidePath(v1::Record& record) const;

  const Options options_;
  Gate gate_;
  Queue<Event> queue_;
  Recent recent_;
  std::atomic<uint64_t> limited_{0};
  std::atomic<uint64_t> full_{0};
  std::atomic<uint64_t> records_{0};
  std::atomic<uint64_t> unwritten_{0};

  // The writer's.
  const std::unique_ptr<RotatingFile> file_;
  const std::optional<PathKey> key_;
  uint64_t told_limited_ = 0;
  uint64_t told_full_ = 0;
  uint64_t told_unwritten_ = 0;
  bool failing_ = false;

  mutable absl::Mutex mutex_;
  std::vector<v1::Record> said_ ABSL_GUARDED_BY(mutex_);
  uint64_t wanted_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// A record of what happened now.
v1::Record NewRecord(v1::Record::Kind kind, std::string message);

// Whether this process's stderr is the system's journal (JOURNAL_STREAM).
bool LogsToJournal();

}  // namespace fused::audit

#endif  // FUSED_FUSED_AUDIT_LOG_H_
