// Which policies and app directories are and were in force, on disk.
#ifndef FUSED_FUSED_HISTORY_H_
#define FUSED_FUSED_HISTORY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fused/state_dir.h"
#include "proto/state.pb.h"

namespace fused {

// An index, which is replaced at once, says what is in force; contents lie in
// files beside, which are there before the index names them. Thread-compatible.
class History {
 public:
  enum class Line { kPolicy, kApps };
  // What is kept of each line.
  static constexpr int kMostEntries = 32;

  // `state` must outlive it. An index that can't be used, or is not there where
  // contents are, is made anew from the contents. Errors are the disk's.
  static absl::StatusOr<std::unique_ptr<History>> Load(StateDir* state);

  // What had to be made anew; empty where all was well.
  const std::string& warning() const { return warning_; }

  const state::v1::HistoryLine& line(Line line) const {
    return line == Line::kPolicy ? index_.policy() : index_.apps();
  }
  // The newest of this version; null.
  const state::v1::HistoryEntry* Find(Line line, uint64_t version) const;

  // The content of an entry, which is its sum's. NOT_FOUND, DATA_LOSS.
  absl::StatusOr<std::string> Read(Line line,
                                   const state::v1::HistoryEntry& entry) const;

  // A candidate: puts all on disk that Commit() needs to make `entry` the one
  // in force. Sets its sequence and time. Without `content` it is built in, or
  // there already.
  absl::Status Prepare(Line line, state::v1::HistoryEntry entry,
                       std::optional<std::string_view> content);
  // Now it is. An error leaves what was.
  absl::Status Commit();
  // Whether the disk failed so that a restart may find what was refused.
  bool uncertain() const { return uncertain_; }

  // Removes the content of a candidate that came to nothing.
  void Drop(Line line, const state::v1::HistoryEntry& entry);
  // Removes what no entry names.
  void Prune();

  // Where the deltas of the app directory in force are kept.
  std::string JournalName() const;

 private:
  explicit History(StateDir* state) : state_(state) {}

  void Rebuild(const std::vector<std::string>& names);

  StateDir* const state_;
  state::v1::History index_;
  std::optional<state::v1::History> prepared_;
  std::string warning_;
  bool uncertain_ = false;
};

// Whether an entry is of the content with this sum. One that was found without
// an index has the sum's first digits alone.
bool IsOf(const state::v1::HistoryEntry& entry, std::string_view sha256);

// "policy" or "apps".
std::string_view NameOf(History::Line line);
// history/policy-VERSION-SHA.binpb
std::string ContentName(History::Line line,
                        const state::v1::HistoryEntry& entry);

inline constexpr char kHistoryFile[] = "history.binpb";

}  // namespace fused

#endif  // FUSED_FUSED_HISTORY_H_
