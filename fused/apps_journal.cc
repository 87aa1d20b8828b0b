#include "fused/apps_journal.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/crc/crc32c.h"
#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "kernel/status.h"

namespace fused {
namespace {

using state::v1::AppsJournalRecord;

// Length and sum, four bytes each, the lowest first.
constexpr size_t kHead = 8;

void AppendNumber(uint32_t number, std::string& out) {
  for (int shift = 0; shift < 32; shift += 8) {
    out.push_back(static_cast<char>(number >> shift & 0xff));
  }
}

uint32_t NumberAt(std::string_view bytes, size_t at) {
  uint32_t number = 0;
  for (size_t i = 4; i > 0; --i) {
    number = number << 8 | static_cast<unsigned char>(bytes[at + i - 1]);
  }
  return number;
}

// Of the length too: a zero length has a sum that is not zero.
uint32_t SumOf(std::string_view bytes) {
  std::string length;
  AppendNumber(static_cast<uint32_t>(bytes.size()), length);
  return static_cast<uint32_t>(
      absl::ExtendCrc32c(absl::ComputeCrc32c(length), bytes));
}

// Whether `rest`, which does not begin with a whole record, is what an append
// that did not end has left. Else something was whole there once.
bool IsTorn(std::string_view rest) {
  if (rest.find_first_not_of('\0') == std::string_view::npos) return true;
  if (rest.size() < kHead) return true;
  if (NumberAt(rest, 0) <= rest.size() - kHead) return false;
  // Its length may be what is broken.
  for (size_t at = 1; at + kHead < rest.size(); ++at) {
    const size_t size = NumberAt(rest, at);
    if (size != 0 && size <= rest.size() - at - kHead &&
        SumOf(rest.substr(at + kHead, size)) == NumberAt(rest, at + 4)) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::vector<AppsJournalRecord> RecordsOf(std::string_view bytes, size_t& good) {
  std::vector<AppsJournalRecord> records;
  good = 0;
  while (bytes.size() - good >= kHead) {
    const size_t size = NumberAt(bytes, good);
    if (size > bytes.size() - good - kHead) break;
    const std::string_view body = bytes.substr(good + kHead, size);
    AppsJournalRecord record;
    if (SumOf(body) != NumberAt(bytes, good + 4) ||
        !record.ParseFromArray(body.data(), static_cast<int>(size))) {
      break;
    }
    records.push_back(std::move(record));
    good += kHead + size;
  }
  return records;
}

absl::StatusOr<std::vector<AppsJournalRecord>> AppsJournal::Load() {
  absl::StatusOr<std::optional<std::string>> bytes = state_->Read(name_);
  if (!bytes.ok()) return bytes.status();
  if (!bytes->has_value()) return std::vector<AppsJournalRecord>();
  std::vector<AppsJournalRecord> records = RecordsOf(**bytes, size_);
  records_ = records.size();
  if (!records.empty()) {
    time_ = records.back().time();
    origin_ = records.back().origin();
  }
  if (size_ == (*bytes)->size()) return records;
  const std::string_view rest = std::string_view(**bytes).substr(size_);
  if (IsTorn(rest)) {
    LOG(WARNING) << name_ << ": the last " << rest.size()
                 << " bytes are of a delta that was not acknowledged";
  } else {
    absl::Status status = state_->Write(kDamagedJournal, **bytes);
    if (!status.ok()) return status;
    damage_ = absl::StrCat(
        name_, " is damaged: changes of the app directory in its last ",
        rest.size(), " bytes are lost; the whole is kept as ", state_->path(),
        "/", kDamagedJournal);
  }
  absl::StatusOr<kernel::Fd> file = state_->OpenAppend(name_);
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  absl::Status status = state_->Truncate(file_, size_);
  if (!status.ok()) return status;
  return records;
}

absl::Status AppsJournal::Append(const AppsJournalRecord& record) {
  if (!file_.valid()) {
    absl::StatusOr<kernel::Fd> file = state_->OpenAppend(name_);
    if (!file.ok()) return file.status();
    file_ = *std::move(file);
  }
  const std::string body = record.SerializeAsString();
  std::string bytes;
  AppendNumber(static_cast<uint32_t>(body.size()), bytes);
  AppendNumber(SumOf(body), bytes);
  bytes += body;
  absl::Status status = state_->Append(file_, bytes);
  if (status.ok()) {
    size_ += bytes.size();
    ++records_;
    time_ = record.time();
    origin_ = record.origin();
    return status;
  }
  const absl::Status cut = state_->Truncate(file_, size_);
  if (!cut.ok()) {
    // What was added may be whole after all, or may come to be: nothing may
    // stand behind it.
    broken_ = true;
    LOG(ERROR) << name_ << ": after a restart a refused delta may be in force: "
               << kernel::Describe(cut);
  }
  return status;
}

}  // namespace fused
