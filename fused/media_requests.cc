#include "fused/media_requests.h"

#include <cerrno>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "fused/owner.h"
#include "kernel/status.h"

namespace fused {
namespace {

// As many files as a response names.
constexpr int kMostNamed = 10'000;

void Set(const Owner& owner, control::v1::FileResponse::Owner& out) {
  out.set_package(owner.package);
  out.set_app_id(owner.app_id);
}

const char* NameOf(media::Waiting waiting) {
  switch (waiting) {
    case media::Waiting::kNo:
      return "";
    case media::Waiting::kPending:
      return "PENDING";
    case media::Waiting::kTrashed:
      return "TRASHED";
  }
  return "";
}

const char* NameOf(media::Location location) {
  switch (location) {
    case media::Location::kUnknown:
      return "UNKNOWN";
    case media::Location::kNone:
      return "NONE";
    case media::Location::kHas:
      return "HAS";
  }
  return "UNKNOWN";
}

}  // namespace

absl::StatusOr<control::v1::FileResponse> DescribeFile(
    LowerTree& tree, const std::string& path) {
  Ref<LowerNode> node = tree.root();
  for (const std::string_view name :
       absl::StrSplit(path, '/', absl::SkipEmpty())) {
    absl::StatusOr<LowerTree::Found> found =
        tree.Lookup(node, std::string(name).c_str());
    if (!found.ok()) {
      return kernel::ErrnoStatus(kernel::ErrnoOf(found.status()), path);
    }
    node = std::move(found->node);
  }
  control::v1::FileResponse response;
  absl::StatusOr<Pin> pin = node->Descriptor();
  if (!pin.ok()) return pin.status();
  if (const std::optional<Owner> owner = ReadOwner((*pin)->get())) {
    Set(*owner, *response.mutable_marked());
  }
  response.set_location(NameOf(media::Location::kUnknown));
  if (tree.media() == nullptr) return response;
  absl::StatusOr<media::FileKey> key = KeyOf(*node);
  if (!key.ok()) return key.status();
  const std::optional<media::Record> record = tree.media()->Find(*key);
  if (!record.has_value()) return response;
  if (record->owner != nullptr) {
    Set(*record->owner, *response.mutable_indexed());
  }
  if (record->media_type != nullptr) {
    response.set_media_type(*record->media_type);
  }
  response.set_state(NameOf(record->waiting));
  response.set_hidden(record->hidden);
  response.set_expires(record->expires);
  absl::StatusOr<struct stat> stat = node->Stat();
  if (!stat.ok()) return stat.status();
  response.set_location(NameOf(tree.media()->LocationOf(*key, *stat)));
  return response;
}

void FillMedia(const LowerTree& tree, control::v1::MediaStatus& status) {
  const media::Index::TreeStats stats = tree.index()->StatsOf(tree.media());
  const media::Writer::Stats disk = tree.index()->stats();
  if (disk.degraded) {
    status.set_state("DEGRADED");
  } else if (stats.scanning || status.state() == "SCANNING") {
    status.set_state("SCANNING");
  } else {
    status.set_state("READY");
  }
  status.set_scanned(status.scanned() + stats.scan.scanned);
  status.set_adopted(status.adopted() + stats.scan.adopted);
  status.set_repaired(status.repaired() + stats.scan.repaired);
  status.set_dropped(status.dropped() + stats.scan.dropped);
  status.set_scans(status.scans() + stats.scans_done);
  status.set_owned(status.owned() + tree.media()->owned());
  status.set_pending_writes(disk.pending);
  status.set_sql_statements(disk.statements);
  status.set_reason(disk.reason);
  status.set_set_aside(disk.set_aside);
}

void AddExpired(const std::string& volume, const LowerTree& tree,
                const ExpiryResult& result,
                control::v1::MaintainResponse& response) {
  for (const ExpiryResult::File& file : result.files) {
    if (file.postponed_to.empty()) {
      response.set_deleted(response.deleted() + 1);
    } else {
      response.set_postponed(response.postponed() + 1);
    }
    if (response.files_size() >= kMostNamed) continue;
    control::v1::MaintainResponse::File& out = *response.add_files();
    out.set_volume(volume);
    out.set_user(tree.user());
    out.set_path(file.path);
    out.set_postponed_to(file.postponed_to);
  }
  response.set_failed(response.failed() + result.failed);
}

}  // namespace fused
