// fusedctl: asks the daemon, and judges policies without one.

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fused/arguments.h"
#include "fused/ctl/command.h"
#include "fused/ctl/completion.h"
#include "fused/version.h"

namespace fused::ctl {
namespace {

constexpr size_t kAny = 1 << 20;

const std::vector<Command>& Commands() {
  static const auto& commands = *new std::vector<Command>{
      {"wait", "[--timeout=10s]", {"timeout"}, 0, 0, Wait},
      {"status", "", {}, 0, 0, Status},
      {"push",
       "FILE [--dry_run] [--diff] [--revoke=report|signal]",
       {"dry_run", "diff", "revoke"},
       1,
       1,
       Push},
      {"apps",
       "FILE [--dry_run] [--diff] [--revoke=report|signal]",
       {"dry_run", "diff", "revoke"},
       1,
       1,
       Apps},
      {"app",
       "install --package=P --uid=U [--permission=X,...] [--role=R,...] "
       "[--target_sdk=N] | uninstall --package=P | grant|revoke --package=P "
       "[--permission=X,...] [--path=F [--write] [--volume=V] [--user=U]] "
       "[--dry_run]",
       {"package", "uid", "permission", "role", "target_sdk", "path", "write",
        "volume", "user", "dry_run"},
       1,
       1,
       App},
      {"history", "[--app_directory]", {"app_directory"}, 0, 0, History},
      {"rollback",
       "[VERSION] [--app_directory]",
       {"app_directory"},
       0,
       1,
       Rollback},
      {"reload", "[--config=FILE]", {"config"}, 0, 0, Reload},
      {"lint", "FILE...", {}, 1, kAny, Lint},
      {"explain",
       "--uid=U --op=READ PATH [--volume=V | --policy=FILE --apps=FILE "
       "[--owner=PACKAGE]]",
       {"uid", "op", "volume", "policy", "apps", "owner"},
       1,
       1,
       Explain},
      {"diff",
       "OLD NEW [--apps=FILE | --old_apps=FILE --new_apps=FILE]",
       {"apps", "old_apps", "new_apps"},
       2,
       2,
       Diff},
      {"view",
       "--package=P [--user=U] [--volume=V] [--close]",
       {"package", "user", "volume", "close"},
       0,
       0,
       View},
      {"run",
       "--package=P [--user=U] -- CMD...",
       {"package", "user"},
       0,
       kAny,
       Run},
      {"sync", "", {}, 0, 0, Sync},
      {"handles", "[--uid=U] [--stale]", {"uid", "stale"}, 0, 0, Handles},
      {"audit",
       "[--follow] [--uid=U] [--package=P] [--kind=K] [--path_prefix=P] "
       "[--since=T]",
       {"follow", "uid", "package", "kind", "path_prefix", "since"},
       0,
       0,
       Audit},
      {"metrics", "", {}, 0, 0, Metrics},
      {"top",
       "[--interval=1s] [--once | --count=N]",
       {"interval", "once", "count"},
       0,
       0,
       Top},
      {"scan", "[--volume=V]", {"volume"}, 0, 0, Scan},
      {"maintain", "[--volume=V]", {"volume"}, 0, 0, Maintain},
      {"file", "PATH [--volume=V] [--user=U]", {"volume", "user"}, 1, 1, File},
  };
  return commands;
}

std::string Usage() {
  std::string text =
      "usage: fusedctl [--control=SOCKET] [--json] COMMAND\n"
      "exit: 0 done or allowed, 1 refused, 2 usage, 3 no daemon\n\n";
  for (const Command& command : Commands()) {
    absl::StrAppend(&text, "  ", command.name,
                    command.arguments.empty() ? "" : " ", command.arguments,
                    "\n");
  }
  absl::StrAppend(&text, "\n", DescribeFlags("fused/ctl/flags.cc"));
  return text;
}

// Whether the command takes the flags and as many arguments.
bool Fits(const Command& command, const Arguments& arguments) {
  for (const std::string& flag : arguments.flags) {
    if (flag != "control" && flag != "json" &&
        std::find(command.flags.begin(), command.flags.end(), flag) ==
            command.flags.end()) {
      Fail(kUsage, absl::StrCat(command.name, " takes no --", flag));
      return false;
    }
  }
  const size_t count = arguments.positional.size();
  if (count < command.min_arguments || count > command.max_arguments ||
      (arguments.has_rest && command.run != Run)) {
    Fail(kUsage, absl::StrCat("usage: fusedctl ", command.name, " ",
                              command.arguments));
    return false;
  }
  return true;
}

int Main(int argc, char** argv) {
  auto arguments =
      ParseArguments(std::vector<std::string>(argv + 1, argv + argc));
  if (!arguments.ok()) return Fail(kUsage, arguments.status().message());
  if (arguments->help) {
    std::fputs(Usage().c_str(), stdout);
    return kDone;
  }
  if (arguments->version) {
    std::printf("fusedctl %s\n", kVersion);
    return kDone;
  }
  if (arguments->positional.empty()) {
    std::fputs(Usage().c_str(), stderr);
    return kUsage;
  }
  const std::string name = arguments->positional[0];
  arguments->positional.erase(arguments->positional.begin());
  // For packagers; no user is told of it.
  if (name == "completion" && arguments->positional.size() == 1) {
    const std::string script = Completion(arguments->positional[0], Commands());
    std::fputs(script.c_str(), stdout);
    return script.empty() ? kUsage : kDone;
  }
  for (const Command& command : Commands()) {
    if (command.name != name) continue;
    return Fits(command, *arguments) ? command.run(*arguments) : kUsage;
  }
  return Fail(kUsage,
              absl::StrCat(name, ": unknown command; --help lists them"));
}

}  // namespace
}  // namespace fused::ctl

int main(int argc, char** argv) { return fused::ctl::Main(argc, argv); }
