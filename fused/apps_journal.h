// Deltas of the app directory, on disk.
#ifndef FUSED_FUSED_APPS_JOURNAL_H_
#define FUSED_FUSED_APPS_JOURNAL_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fused/state_dir.h"
#include "google/protobuf/timestamp.pb.h"
#include "kernel/fd.h"
#include "proto/state.pb.h"

namespace fused {

// A file that is only added to. Each record stands behind its length and its
// sum, so that one that a crash tore is told from a whole one.
// Thread-compatible.
class AppsJournal {
 public:
  // More than this is better put together.
  static constexpr size_t kMostRecords = 1024;
  static constexpr size_t kMostBytes = 4 << 20;

  AppsJournal() = default;
  AppsJournal(StateDir* state, std::string name)
      : state_(state), name_(std::move(name)) {}

  // The records that are there, up to one that is torn or broken; what follows
  // is cut off. To be called before Append(), once, where there may be any.
  absl::StatusOr<std::vector<state::v1::AppsJournalRecord>> Load();
  // Where Load() cut off what may have been acknowledged: what is to be said of
  // it. All that was there is kept as kDamagedJournal.
  const std::string& damage() const { return damage_; }

  // Whether there is room for one more.
  bool CanTake(size_t bytes) const {
    return !broken_ && records_ < kMostRecords && size_ + bytes <= kMostBytes;
  }
  // For good when it returns; an error leaves what was.
  absl::Status Append(const state::v1::AppsJournalRecord& record);

  size_t records() const { return records_; }
  // When the last record was made, and how.
  const google::protobuf::Timestamp& time() const { return time_; }
  const state::v1::Origin& origin() const { return origin_; }
  // Nothing may follow what is there.
  void SetBroken() { broken_ = true; }

 private:
  StateDir* state_ = nullptr;
  std::string name_;
  kernel::Fd file_;
  size_t size_ = 0;
  size_t records_ = 0;
  bool broken_ = false;
  std::string damage_;
  google::protobuf::Timestamp time_;
  state::v1::Origin origin_;
};

inline constexpr char kDamagedJournal[] = "apps.journal.damaged";

// The whole records of a journal's bytes; `good` is where they end.
std::vector<state::v1::AppsJournalRecord> RecordsOf(std::string_view bytes,
                                                    size_t& good);

}  // namespace fused

#endif  // FUSED_FUSED_APPS_JOURNAL_H_
