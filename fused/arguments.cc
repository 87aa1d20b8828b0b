#include "fused/arguments.h"

#include <map>
#include <string_view>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace fused {
namespace {

absl::Status Wrong(std::string_view name, std::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat("--", name, ": ", reason));
}

// "--noname" of a bool.
absl::CommandLineFlag* Negated(std::string_view name) {
  if (!absl::ConsumePrefix(&name, "no")) return nullptr;
  absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
  return flag != nullptr && flag->IsOfType<bool>() ? flag : nullptr;
}

}  // namespace

absl::StatusOr<Arguments> ParseArguments(const std::vector<std::string>& args) {
  Arguments result;
  for (size_t i = 0; i < args.size(); ++i) {
    std::string_view arg = args[i];
    if (arg == "--") {
      result.has_rest = true;
      result.rest.assign(args.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                         args.end());
      break;
    }
    if (arg.size() < 2 || arg[0] != '-') {
      result.positional.emplace_back(arg);
      continue;
    }
    if (arg == "--help" || arg == "-h") {
      result.help = true;
      continue;
    }
    if (arg == "--version") {
      result.version = true;
      continue;
    }
    arg.remove_prefix(arg[1] == '-' ? 2 : 1);
    const size_t equals = arg.find('=');
    const std::string_view name = arg.substr(0, equals);
    absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
    std::string value;
    if (flag == nullptr && equals == arg.npos &&
        (flag = Negated(name)) != nullptr) {
      value = "false";
    } else if (flag == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown flag ", args[i].substr(0, 80)));
    } else if (equals != arg.npos) {
      value = arg.substr(equals + 1);
    } else if (flag->IsOfType<bool>()) {
      value = "true";
    } else if (i + 1 < args.size() && args[i + 1] != "--") {
      value = args[++i];
    } else {
      return Wrong(name, "needs a value");
    }
    std::string error;
    if (!flag->ParseFrom(value, &error)) return Wrong(name, error);
    result.flags.emplace_back(flag->Name());
  }
  return result;
}

std::string DescribeFlags(const std::string& file) {
  std::map<std::string, std::string> lines;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (flag->IsRetired() || !absl::StrContains(flag->Filename(), file)) {
      continue;
    }
    lines[std::string(name)] =
        absl::StrFormat("  --%-20s %s\n", name, flag->Help());
  }
  std::string text;
  for (const auto& [name, line] : lines) text += line;
  return text;
}

}  // namespace fused
