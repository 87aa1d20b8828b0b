// What the daemon does as a service: reload, and end when it is unmounted.
#include <string>

#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "fused/daemon.h"
#include "fused/rules_file.h"
#include "kernel/mount.h"
#include "kernel/status.h"

namespace fused {

bool Daemon::RemoveAborted() {
  absl::StatusOr<std::vector<kernel::MountInfo>> mounts = kernel::ListMounts();
  if (!mounts.ok()) return false;
  bool aborted = false;
  for (const VolumeSettings& volume : settings_.volumes) {
    for (const kernel::MountInfo& mount : *mounts) {
      if (mount.path != volume.config.mountpoint() ||
          mount.type != absl::StrCat("fuse.", volume.mount.subtype)) {
        continue;
      }
      LOG(ERROR) << mount.path << ": its connection was aborted";
      aborted = true;
      kernel::RemoveStaleMounts(mount.path, volume.mount.subtype).IgnoreError();
    }
  }
  return aborted;
}

bool Daemon::Reload(std::string& line) {
  const struct {
    const std::string& path;
    control::v1::PushRequest::Kind kind;
    const char* what;
  } files[] = {{settings_.policy, control::v1::PushRequest::POLICY, "policy"},
               {settings_.apps, control::v1::PushRequest::APPS, "apps"}};
  bool accepted = true;
  line.clear();
  for (const auto& file : files) {
    if (file.path.empty()) continue;
    control::v1::PushRequest request;
    request.set_kind(file.kind);
    request.set_file_name(file.path);
    control::v1::PushResponse response;
    absl::StatusOr<std::string> content = ReadRulesFile(file.path);
    if (content.ok()) {
      request.set_content(*std::move(content));
      response = Push(request);
    } else {
      LOG(ERROR) << content.status().message();
      const control::v1::Status now = GetStatus();
      response.set_version(file.kind == control::v1::PushRequest::POLICY
                               ? now.policy().version()
                               : now.apps().version());
    }
    for (const control::v1::Issue& issue : response.issues()) {
      LOG(ERROR) << issue.file() << ":" << issue.line() << ":" << issue.column()
                 << ": " << issue.field() << ": " << issue.reason();
    }
    accepted &= response.accepted();
    absl::StrAppend(
        &line, line.empty() ? "" : ", ", file.what,
        response.accepted() ? " version " : " refused, in force ",
        response.version(),
        response.accepted() && !response.changed() ? " unchanged" : "");
  }
  if (line.empty()) line = "no files are configured";
  return accepted;
}

}  // namespace fused
