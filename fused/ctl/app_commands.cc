// app install, uninstall, grant, revoke.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "fused/ctl/command.h"
#include "fused/ctl/flags.h"

namespace fused::ctl {
namespace {

using policy::v1::AppChange;

// False: it says why.
bool FillInstall(AppChange& change, std::string& problem) {
  policy::v1::App& app = *change.mutable_install();
  app.set_package(absl::GetFlag(FLAGS_package));
  const OptionalUid uid = absl::GetFlag(FLAGS_uid);
  if (!uid.has_value()) {
    problem = "--uid=U is wanted";
    return false;
  }
  app.set_uid(*uid);
  for (std::string& permission : absl::GetFlag(FLAGS_permission)) {
    app.add_permissions(std::move(permission));
  }
  for (const std::string& name : absl::GetFlag(FLAGS_role)) {
    policy::v1::Role role = policy::v1::ROLE_UNSPECIFIED;
    if (!policy::v1::Role_Parse(name, &role)) {
      problem = absl::StrCat("--role: ", name, " is none");
      return false;
    }
    app.add_roles(role);
  }
  app.set_target_sdk(absl::GetFlag(FLAGS_target_sdk));
  return true;
}

policy::v1::Grant FileGrant() {
  policy::v1::Grant grant;
  grant.set_package(absl::GetFlag(FLAGS_package));
  grant.set_user(absl::GetFlag(FLAGS_user));
  grant.set_volume(absl::GetFlag(FLAGS_volume));
  grant.set_path(absl::GetFlag(FLAGS_path));
  grant.set_access(absl::GetFlag(FLAGS_write) ? policy::v1::Grant::GRANT_WRITE
                                              : policy::v1::Grant::GRANT_READ);
  return grant;
}

// Each permission, and the file, that the flags name.
void AddGrants(bool grant, control::v1::AppsDeltaRequest& delta) {
  for (std::string& name : absl::GetFlag(FLAGS_permission)) {
    AppChange& change = *delta.add_changes();
    AppChange::Permission& permission =
        grant ? *change.mutable_grant() : *change.mutable_revoke();
    permission.set_package(absl::GetFlag(FLAGS_package));
    permission.set_permission(std::move(name));
  }
  if (absl::GetFlag(FLAGS_path).empty()) return;
  AppChange& change = *delta.add_changes();
  (grant ? *change.mutable_grant_file() : *change.mutable_revoke_file()) =
      FileGrant();
}

}  // namespace

int App(const Arguments& arguments) {
  const std::string& verb = arguments.positional[0];
  const std::string package = absl::GetFlag(FLAGS_package);
  if (package.empty()) return Fail(kUsage, "app: --package=P is wanted");
  control::v1::Request request;
  control::v1::AppsDeltaRequest& delta = *request.mutable_apps_delta();
  delta.set_dry_run(absl::GetFlag(FLAGS_dry_run));
  if (verb == "install") {
    std::string problem;
    if (!FillInstall(*delta.add_changes(), problem)) {
      return Fail(kUsage, absl::StrCat("app install: ", problem));
    }
  } else if (verb == "uninstall") {
    delta.add_changes()->set_uninstall(package);
  } else if (verb == "grant" || verb == "revoke") {
    AddGrants(verb == "grant", delta);
    if (delta.changes().empty()) {
      return Fail(kUsage, absl::StrCat("app ", verb,
                                       ": --permission=X or --path=F is "
                                       "wanted"));
    }
  } else {
    return Fail(kUsage, absl::StrCat("app: ", verb, ": unknown"));
  }
  int code = kDone;
  auto reply = Ask(request, code);
  if (!reply.has_value()) return code;
  return PrintPush(reply->message.push(), delta.dry_run());
}

}  // namespace fused::ctl
