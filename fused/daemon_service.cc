// What the daemon does as a service: reload, and end when it is unmounted.
#include <optional>
#include <string>
#include <utility>

#include "absl/log/log.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "fused/audit/log.h"
#include "fused/control/convert.h"
#include "fused/daemon.h"
#include "fused/rules_file.h"
#include "fused/settings.h"
#include "kernel/mount.h"
#include "policy/issue.h"

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

control::v1::PushResponse Daemon::ReloadFile(
    const std::string& path, control::v1::PushRequest::Kind kind, uid_t uid) {
  const absl::StatusOr<std::string> content = ReadRulesFile(path);
  if (content.ok()) {
    control::v1::PushRequest request;
    request.set_kind(kind);
    request.set_peer_uid(uid);
    request.set_file_name(path);
    request.set_content(*content);
    return Push(request);
  }
  const bool apps = kind == control::v1::PushRequest::APPS;
  control::v1::PushResponse response;
  const control::v1::Status status = GetStatus();
  response.set_version(apps ? status.apps().version()
                            : status.policy().version());
  response.set_epoch(status.epoch());
  control::v1::Issue& issue = *response.add_issues();
  issue.set_file(path);
  issue.set_reason(
      std::string(absl::StripPrefix(content.status().message(), path + ": ")));
  TellPush(apps, control::v1::PushRequest::Kind_Name(kind), uid, response);
  return response;
}

control::v1::ReloadResponse Daemon::Reload(
    const control::v1::ReloadRequest& request) {
  control::v1::ReloadResponse response;
  policy::Issues issues;
  const std::optional<RulesFiles> files = FindRulesFiles(settings_, issues);
  for (const policy::Issue& issue : issues) {
    *response.add_issues() = control::ToMessage(issue);
  }
  response.set_accepted(files.has_value());
  if (!files.has_value()) {
    audit::v1::Record record = audit::NewRecord(
        audit::v1::Record::PUSH,
        absl::StrCat("reload refused: ", issues.front().ToString()));
    record.set_uid(request.peer_uid());
    audit_->Say(std::move(record));
    return response;
  }
  const auto reload = [&](const char* what, const std::string& path,
                          control::v1::PushRequest::Kind kind) {
    if (path.empty()) return;
    control::v1::ReloadResponse::File& file = *response.add_files();
    file.set_what(what);
    file.set_file(path);
    *file.mutable_push() = ReloadFile(path, kind, request.peer_uid());
    response.set_accepted(response.accepted() && file.push().accepted());
  };
  reload("policy", files->policy, control::v1::PushRequest::POLICY);
  reload("apps", files->apps, control::v1::PushRequest::APPS);
  return response;
}

bool Daemon::Reload(std::string& line) {
  const control::v1::ReloadResponse response =
      Reload(control::v1::ReloadRequest());
  const auto log = [](const auto& issues) {
    for (const control::v1::Issue& issue : issues) {
      LOG(ERROR) << control::FromMessage(issue).ToString();
    }
  };
  log(response.issues());
  line = response.issues().empty() ? "" : "the configuration is refused";
  for (const control::v1::ReloadResponse::File& file : response.files()) {
    const control::v1::PushResponse& push = file.push();
    log(push.issues());
    absl::StrAppend(&line, line.empty() ? "" : ", ", file.what(),
                    push.accepted() ? " version " : " refused, in force ",
                    push.version(),
                    push.accepted() && !push.changed() ? " unchanged" : "");
  }
  if (line.empty()) line = "no files are configured";
  return response.accepted();
}

}  // namespace fused
