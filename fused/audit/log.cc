#include "fused/audit/log.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "fused/audit/format.h"
#include "kernel/status.h"

namespace fused::audit {
namespace {

// Events between two rounds of the writer; each has its place in the gate.
constexpr size_t kQueue = 4096;
// Records that are said and not yet written.
constexpr size_t kMostSaid = 4096;
// Of the files, read at start.
constexpr uint64_t kTail = 4 << 20;

void SendToJournal(const v1::Record& record) {
  std::vector<std::string> fields = ToJournal(record);
  std::vector<struct iovec> parts;
  parts.reserve(fields.size());
  for (std::string& field : fields) {
    parts.push_back({field.data(), field.size()});
  }
  // Nobody is left to be told of a failure.
  (void)sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
}

}  // namespace

bool LogsToJournal() {
  const char* const stream = std::getenv("JOURNAL_STREAM");
  struct stat stat = {};
  if (stream == nullptr || fstat(STDERR_FILENO, &stat) != 0) return false;
  return absl::StrCat(stat.st_dev, ":", stat.st_ino) == stream;
}

v1::Record NewRecord(v1::Record::Kind kind, std::string message) {
  v1::Record record;
  const int64_t now = absl::GetCurrentTimeNanos();
  record.mutable_time()->set_seconds(now / 1000000000);
  record.mutable_time()->set_nanos(static_cast<int32_t>(now % 1000000000));
  record.set_kind(kind);
  record.set_message(std::move(message));
  record.set_count(1);
  return record;
}

absl::StatusOr<std::unique_ptr<Log>> Log::Open(const Options& options) {
  absl::StatusOr<std::unique_ptr<RotatingFile>> file = RotatingFile::Open(
      options.state_dir + "/audit", "audit.jsonl",
      {options.config.max_bytes(), options.config.max_files()});
  if (!file.ok()) return file.status();
  std::optional<PathKey> key;
  if (options.config.paths() == config::v1::Audit::HASHED) {
    absl::StatusOr<PathKey> loaded =
        PathKey::LoadOrMake(options.state_dir + "/audit.key");
    if (!loaded.ok()) return loaded.status();
    key = *std::move(loaded);
  }
  auto log =
      std::unique_ptr<Log>(new Log(options, *std::move(file), std::move(key)));
  log->LoadRecent();
  log->thread_ = std::thread([log = log.get()] { log->Run(); });
  return log;
}

Log::Log(const Options& options, std::unique_ptr<RotatingFile> file,
         std::optional<PathKey> key)
    : options_(options),
      gate_({options.config.burst(), options.config.per_second()}),
      queue_(kQueue),
      recent_(options.recent),
      file_(std::move(file)),
      key_(std::move(key)) {}

Log::~Log() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void Log::LoadRecent() {
  absl::StatusOr<std::string> tail = file_->Tail(kTail);
  if (!tail.ok()) return;
  std::vector<std::string_view> lines =
      absl::StrSplit(*tail, '\n', absl::SkipEmpty());
  const size_t skip =
      lines.size() > options_.recent ? lines.size() - options_.recent : 0;
  for (size_t i = skip; i < lines.size(); ++i) {
    if (std::optional<v1::Record> record = FromLine(lines[i])) {
      recent_.Add(*std::move(record));
    }
  }
}

void Log::Note(const Key& key, absl::FunctionRef<void(Event&)> describe) {
  const Gate::Admission admission = gate_.Admit(key);
  switch (admission.answer) {
    case Gate::Answer::kCounted:
      return;
    case Gate::Answer::kLimited:
      limited_.fetch_add(1, std::memory_order_relaxed);
      return;
    case Gate::Answer::kFull:
      full_.fetch_add(1, std::memory_order_relaxed);
      return;
    case Gate::Answer::kNew:
      break;
  }
  Event event;
  event.time = absl::GetCurrentTimeNanos();
  event.kind = key.kind;
  event.uid = key.uid;
  event.error = key.error;
  event.slot = admission.slot;
  describe(event);
  if (!queue_.Push(event)) {
    full_.fetch_add(1 + gate_.Release(admission.slot),
                    std::memory_order_relaxed);
  }
}

void Log::Say(v1::Record record) {
  absl::MutexLock lock(&mutex_);
  if (said_.size() < kMostSaid) {
    said_.push_back(std::move(record));
  } else {
    full_.fetch_add(1, std::memory_order_relaxed);
  }
}

void Log::Flush(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const uint64_t mine = ++wanted_;
  const auto done = [this, mine]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return done_ >= mine;
  };
  mutex_.AwaitWithTimeout(absl::Condition(&done), timeout);
}

control::v1::AuditResponse Log::Answer(
    const control::v1::AuditRequest& request) {
  return recent_.Answer(request);
}

Log::Stats Log::stats() const {
  return {.records = records_.load(),
          .limited = limited_.load(),
          .full = full_.load(),
          .unwritten = unwritten_.load(),
          .queued = queue_.size()};
}

void Log::Run() {
  absl::Time last = absl::Now();
  for (bool stopping = false; !stopping;) {
    uint64_t wanted = 0;
    {
      absl::MutexLock lock(&mutex_);
      const auto called = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return stopping_ || wanted_ != done_;
      };
      mutex_.AwaitWithTimeout(absl::Condition(&called), options_.window);
      stopping = stopping_;
      wanted = wanted_;
    }
    const absl::Time now = absl::Now();
    gate_.Refill(std::max(0.0, absl::ToDoubleSeconds(now - last)));
    last = now;
    Drain();
    absl::MutexLock lock(&mutex_);
    done_ = wanted;
  }
}

void Log::Drain() {
  std::vector<v1::Record> said;
  {
    absl::MutexLock lock(&mutex_);
    said.swap(said_);
  }
  // No longer than there were: more may come as fast as they are taken.
  Event event;
  for (size_t left = queue_.size(); left > 0 && queue_.Pop(event); --left) {
    Write(ToRecord(event, 1 + gate_.Release(event.slot)));
  }
  for (v1::Record& record : said) Write(std::move(record));
  TellDropped();
}

void Log::TellDropped() {
  const Stats now = stats();
  const auto tell = [this](uint64_t count, uint64_t& told, const char* why) {
    if (count == told) return;
    v1::Record record = NewRecord(v1::Record::DROPPED, why);
    record.set_count(count - told);
    told = count;
    Write(std::move(record));
  };
  tell(now.limited, told_limited_, "a uid caused more than it may");
  tell(now.full, told_full_, "too many at once");
  // When there is room again; before, it would be one more.
  if (!failing_) tell(now.unwritten, told_unwritten_, "could not be written");
}

void Log::HidePath(v1::Record& record) const {
  if (record.path().empty()) return;
  switch (options_.config.paths()) {
    case config::v1::Audit::NONE:
      record.clear_path();
      break;
    case config::v1::Audit::HASHED:
      record.set_path(key_->Hide(record.path()));
      break;
    default:
      break;
  }
}

void Log::Write(v1::Record record) {
  HidePath(record);
  record.set_sequence(records_.fetch_add(1, std::memory_order_relaxed) + 1);
  const absl::Status status = file_->Append(ToLine(record));
  if (!status.ok()) {
    unwritten_.fetch_add(1, std::memory_order_relaxed);
    if (!failing_) {
      LOG(ERROR) << "audit records are lost: " << kernel::Describe(status);
    }
  } else if (failing_) {
    LOG(INFO) << "audit records are written again";
  }
  failing_ = !status.ok();
  if (options_.journal) SendToJournal(record);
  recent_.Add(std::move(record));
}

}  // namespace fused::audit
