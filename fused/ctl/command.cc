#include "fused/ctl/command.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/flags/flag.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "fused/control/frame.h"
#include "fused/ctl/flags.h"
#include "google/protobuf/util/json_util.h"
#include "kernel/status.h"

namespace fused::ctl {
namespace {

// A push compiles; a sync waits.
constexpr absl::Duration kPatience = absl::Seconds(60);

}  // namespace

int Fail(int code, std::string_view text) {
  std::fprintf(stderr, "fusedctl: %s\n", Printable(text).c_str());
  return code;
}

std::optional<control::Client::Reply> Ask(const control::v1::Request& request,
                                          int& code) {
  const std::string socket = absl::GetFlag(FLAGS_control);
  auto client = control::Client::Connect(socket);
  if (!client.ok()) {
    code = Fail(kNoDaemon,
                absl::StrCat("no daemon: ", kernel::Describe(client.status())));
    return std::nullopt;
  }
  auto reply = client->Call(request, absl::Now() + kPatience);
  if (!reply.ok()) {
    const bool ours = absl::IsResourceExhausted(reply.status());
    code = Fail(ours ? kUsage : kNoDaemon,
                absl::StrCat(socket, ": ", reply.status().message()));
    return std::nullopt;
  }
  if (reply->message.error_number() != 0 || !reply->message.error().empty()) {
    code = Fail(kRefused, reply->message.error());
    return std::nullopt;
  }
  code = kDone;
  return *std::move(reply);
}

void PrintJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status =
      google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) Fail(kRefused, status.ToString());
  std::fputs(text.c_str(), stdout);
}

void PrintIssues(const policy::Issues& issues) {
  for (const policy::Issue& issue : issues) {
    std::fprintf(stderr, "%s\n", Printable(issue.ToString()).c_str());
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  FILE* file = path == "-" ? stdin : std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return kernel::ErrnoStatus(errno, path);
  std::string content(control::kMaxMessage + 1, '\0');
  content.resize(std::fread(content.data(), 1, content.size(), file));
  const int error = std::ferror(file) != 0 ? errno : 0;
  if (file != stdin) (void)std::fclose(file);
  if (error != 0) return kernel::ErrnoStatus(error, path);
  if (content.size() > control::kMaxMessage) {
    return kernel::ErrnoStatus(EFBIG, path);
  }
  return content;
}

std::string Printable(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    // Quotes stay as they are, which CEscape would not leave.
    if (text[i] == '"' || text[i] == '\'' || text[i] == '\\') {
      plain += text[i];
      continue;
    }
    size_t end = text.find_first_of("\"'\\", i);
    end = std::min(end, text.size());
    plain += absl::Utf8SafeCHexEscape(text.substr(i, end - i));
    i = end - 1;
  }
  return plain;
}

std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

}  // namespace fused::ctl
