// What the commands of fusedctl have in common.
#ifndef FUSED_FUSED_CTL_COMMAND_H_
#define FUSED_FUSED_CTL_COMMAND_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "fused/arguments.h"
#include "fused/control/client.h"
#include "google/protobuf/message.h"
#include "policy/issue.h"
#include "proto/control.pb.h"

namespace fused::ctl {

// Exit codes.
inline constexpr int kDone = 0;
inline constexpr int kRefused = 1;
inline constexpr int kUsage = 2;
inline constexpr int kNoDaemon = 3;

struct Command {
  std::string_view name;
  // What follows the name, for the usage.
  std::string_view arguments;
  // Flags that it takes, beside --control and --json.
  std::vector<std::string_view> flags;
  size_t min_arguments;
  size_t max_arguments;
  // `arguments.positional` without the command's name. Returns the exit code.
  int (*run)(const Arguments& arguments);
};

int Wait(const Arguments& arguments);
int Status(const Arguments& arguments);
int Sync(const Arguments& arguments);
int Handles(const Arguments& arguments);
int Scan(const Arguments& arguments);
int Maintain(const Arguments& arguments);
int File(const Arguments& arguments);
int Push(const Arguments& arguments);
int Apps(const Arguments& arguments);
int Lint(const Arguments& arguments);
int App(const Arguments& arguments);
int History(const Arguments& arguments);
int Rollback(const Arguments& arguments);
int Reload(const Arguments& arguments);
int Explain(const Arguments& arguments);
int Diff(const Arguments& arguments);
int View(const Arguments& arguments);
int Audit(const Arguments& arguments);
int Metrics(const Arguments& arguments);
int Top(const Arguments& arguments);
int Run(const Arguments& arguments);

// Prints "fusedctl: TEXT" to stderr and returns `code`.
int Fail(int code, std::string_view text);

// Asks the daemon of --control. Where there is no answer, or a refusal, prints
// why and sets `code`.
std::optional<control::Client::Reply> Ask(const control::v1::Request& request,
                                          int& code);

// --json's form: proto field names, zero fields too.
void PrintJson(const google::protobuf::Message& message);

// ACK or NACK, with the issues; returns the exit code.
int PrintPush(const control::v1::PushResponse& response, bool dry_run);

// One a line, to stderr.
void PrintIssues(const policy::Issues& issues);

// What changes, a paragraph each, to stdout.
void PrintChanges(const control::v1::DiffResult& result);

// A file, or stdin for "-"; at most 16 MiB.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// `text` for a terminal: control characters and broken UTF-8 are escaped.
std::string Printable(std::string_view text);

// Columns as wide as they must be; the first row is the head.
std::string Table(const std::vector<std::vector<std::string>>& rows);

}  // namespace fused::ctl

#endif  // FUSED_FUSED_CTL_COMMAND_H_
