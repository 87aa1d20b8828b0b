#include "fused/history.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/crc/crc32c.h"
#include "absl/log/log.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kernel/status.h"

namespace fused {
namespace {

using state::v1::HistoryEntry;
using state::v1::HistoryLine;

constexpr size_t kShaDigits = 16;

HistoryLine* MutableLine(state::v1::History& index, History::Line line) {
  return line == History::Line::kPolicy ? index.mutable_policy()
                                        : index.mutable_apps();
}

// Of a content's name; nothing for other files.
std::optional<HistoryEntry> EntryOf(std::string_view name, History::Line line) {
  if (!absl::ConsumePrefix(&name, kHistoryDirectory) ||
      !absl::ConsumePrefix(&name, NameOf(line)) ||
      !absl::ConsumePrefix(&name, "-") ||
      !absl::ConsumeSuffix(&name, ".binpb")) {
    return std::nullopt;
  }
  const std::pair<std::string_view, std::string_view> parts =
      absl::StrSplit(name, absl::MaxSplits('-', 1));
  uint64_t version = 0;
  if (!absl::SimpleAtoi(parts.first, &version)) return std::nullopt;
  HistoryEntry entry;
  entry.set_version(version);
  entry.set_sha256(std::string(parts.second));
  return entry;
}

constexpr char kJournal[] = ".journal";

std::string JournalOf(const HistoryEntry& entry, uint64_t sequence) {
  return absl::StrCat(kHistoryDirectory, "apps-", sequence, "-",
                      entry.version(), "-",
                      entry.sha256().substr(0, kShaDigits), kJournal);
}

// Of a journal's name; 0: it has none.
uint64_t SequenceOf(std::string_view name) {
  absl::ConsumePrefix(&name, absl::StrCat(kHistoryDirectory, "apps-"));
  uint64_t sequence = 0;
  return absl::SimpleAtoi(name.substr(0, name.find('-')), &sequence) ? sequence
                                                                     : 0;
}

bool IsOfHistory(std::string_view name) {
  return absl::EndsWith(name, kJournal) ||
         EntryOf(name, History::Line::kPolicy).has_value() ||
         EntryOf(name, History::Line::kApps).has_value();
}

constexpr uint32_t kFormat = 1;

// The index as it lies on disk, where damage that can be parsed is told too.
std::string BytesOfIndex(const state::v1::History& index) {
  state::v1::HistoryFile file;
  file.set_history(index.SerializeAsString());
  file.set_crc32c(static_cast<uint32_t>(absl::ComputeCrc32c(file.history())));
  file.set_format(kFormat);
  return file.SerializeAsString();
}

bool ParseIndex(const std::string& bytes, state::v1::History& index) {
  state::v1::HistoryFile file;
  return file.ParseFromString(bytes) && file.format() == kFormat &&
         file.crc32c() ==
             static_cast<uint32_t>(absl::ComputeCrc32c(file.history())) &&
         index.ParseFromString(file.history());
}

void SetNow(HistoryEntry& entry) {
  const int64_t now = absl::ToUnixNanos(absl::Now());
  entry.mutable_time()->set_seconds(now / 1000000000);
  entry.mutable_time()->set_nanos(static_cast<int32_t>(now % 1000000000));
}

}  // namespace

bool IsOf(const HistoryEntry& entry, std::string_view sha256) {
  return !entry.sha256().empty() && absl::StartsWith(sha256, entry.sha256());
}

std::string_view NameOf(History::Line line) {
  return line == History::Line::kPolicy ? "policy" : "apps";
}

std::string ContentName(History::Line line, const HistoryEntry& entry) {
  return absl::StrCat(kHistoryDirectory, NameOf(line), "-", entry.version(),
                      "-", entry.sha256().substr(0, kShaDigits), ".binpb");
}

absl::StatusOr<std::unique_ptr<History>> History::Load(StateDir* state) {
  absl::StatusOr<std::optional<std::string>> kept = state->Read(kHistoryFile);
  if (!kept.ok()) return kept.status();
  auto history = std::unique_ptr<History>(new History(state));
  if (kept->has_value() && ParseIndex(**kept, history->index_)) return history;
  absl::StatusOr<std::vector<std::string>> names = state->History();
  if (!names.ok()) return names.status();
  if (kept->has_value() ||
      std::any_of(names->begin(), names->end(), IsOfHistory)) {
    history->Rebuild(*names);
    return history;
  }
  // The first start. From now on one that is missing is a loss.
  absl::Status status =
      state->Write(kHistoryFile, BytesOfIndex(history->index_));
  if (!status.ok()) return status;
  return history;
}

void History::Rebuild(const std::vector<std::string>& names) {
  index_.Clear();
  warning_ = absl::StrCat(kHistoryFile,
                          " is broken or gone: what is in force is the highest "
                          "version");
  for (const Line line : {Line::kPolicy, Line::kApps}) {
    std::vector<HistoryEntry> entries;
    for (const std::string& name : names) {
      if (auto entry = EntryOf(name, line)) entries.push_back(*entry);
    }
    std::sort(entries.begin(), entries.end(),
              [](const HistoryEntry& a, const HistoryEntry& b) {
                return a.version() < b.version();
              });
    HistoryLine& out = *MutableLine(index_, line);
    for (HistoryEntry& entry : entries) {
      entry.set_sequence(index_.last_sequence() + 1);
      index_.set_last_sequence(entry.sequence());
      out.set_highest_version(entry.version());
      *out.add_entries() = std::move(entry);
    }
  }
  // Deltas are of one directory.
  auto& apps = *index_.mutable_apps()->mutable_entries();
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, kJournal) || name == JournalName()) continue;
    const uint64_t sequence = apps.empty() ? 0 : SequenceOf(name);
    if (sequence != 0 && name == JournalOf(*apps.rbegin(), sequence)) {
      apps.rbegin()->set_sequence(sequence);
      index_.set_last_sequence(std::max(index_.last_sequence(), sequence));
    } else {
      absl::StrAppend(&warning_, ", without the changes in ", name);
    }
  }
}

const HistoryEntry* History::Find(Line line, uint64_t version) const {
  const auto& entries = this->line(line).entries();
  const auto found = std::find_if(entries.rbegin(), entries.rend(),
                                  [version](const HistoryEntry& entry) {
                                    return entry.version() == version;
                                  });
  return found == entries.rend() ? nullptr : &*found;
}

absl::StatusOr<std::string> History::Read(Line line,
                                          const HistoryEntry& entry) const {
  absl::StatusOr<std::optional<std::string>> content =
      state_->Read(ContentName(line, entry));
  if (!content.ok()) return content.status();
  if (!content->has_value()) {
    return absl::NotFoundError(
        absl::StrCat(ContentName(line, entry), " is not there"));
  }
  return **std::move(content);
}

absl::Status History::Prepare(Line line, HistoryEntry entry,
                              std::optional<std::string_view> content) {
  if (content.has_value()) {
    absl::Status status = state_->Write(ContentName(line, entry), *content);
    if (!status.ok()) return status;
  }
  state::v1::History next = index_;
  next.set_last_sequence(next.last_sequence() + 1);
  entry.set_sequence(next.last_sequence());
  SetNow(entry);
  HistoryLine& out = *MutableLine(next, line);
  out.set_highest_version(std::max(out.highest_version(), entry.version()));
  *out.add_entries() = std::move(entry);
  const int surplus = out.entries_size() - kMostEntries;
  if (surplus > 0) out.mutable_entries()->DeleteSubrange(0, surplus);
  absl::Status status = state_->Prepare(kHistoryFile, BytesOfIndex(next));
  if (status.ok()) prepared_ = std::move(next);
  return status;
}

absl::Status History::Commit() {
  absl::Status status = state_->Promote(kHistoryFile);
  if (status.ok()) {
    index_ = *std::move(prepared_);
    uncertain_ = false;
  } else {
    // It may have come half of its way.
    const absl::Status back = state_->Write(kHistoryFile, BytesOfIndex(index_));
    uncertain_ = !back.ok();
    if (uncertain_) {
      LOG(ERROR) << kHistoryFile << ": after a restart a refused version may "
                 << "be in force: " << kernel::Describe(back);
    }
  }
  prepared_.reset();
  return status;
}

std::string History::JournalName() const {
  const auto& entries = index_.apps().entries();
  if (entries.empty()) {
    return absl::StrCat(kHistoryDirectory, "apps-0", kJournal);
  }
  return JournalOf(*entries.rbegin(), entries.rbegin()->sequence());
}

void History::Drop(Line line, const HistoryEntry& entry) {
  if (uncertain_) return;
  const std::string name = ContentName(line, entry);
  for (const HistoryEntry& one : this->line(line).entries()) {
    if (ContentName(line, one) == name) return;
  }
  state_->Remove(name).IgnoreError();
}

void History::Prune() {
  // The disk may name others.
  if (uncertain_) return;
  std::set<std::string> named = {JournalName()};
  for (const Line line : {Line::kPolicy, Line::kApps}) {
    for (const HistoryEntry& entry : this->line(line).entries()) {
      named.insert(ContentName(line, entry));
    }
  }
  absl::StatusOr<std::vector<std::string>> names = state_->History();
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    // What is left goes the next time.
    if (!named.contains(name)) state_->Remove(name).IgnoreError();
  }
}

}  // namespace fused
