#include "fused/metrics/testing/openmetrics.h"

#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace fused::metrics {
namespace {

bool IsName(std::string_view text) {
  if (text.empty() || absl::ascii_isdigit(text[0])) return false;
  for (const char c : text) {
    if (!absl::ascii_isalnum(c) && c != '_' && c != ':') return false;
  }
  return true;
}

bool ReadNumber(std::string_view text, double& value) {
  if (text == "+Inf") {
    value = std::numeric_limits<double>::infinity();
    return true;
  }
  return !text.empty() && !absl::ascii_isspace(text[0]) &&
         absl::SimpleAtod(text, &value) && std::isfinite(value);
}

// Takes {name="value",...} off the front.
bool ReadLabels(std::string_view& text,
                std::map<std::string, std::string>& labels) {
  if (!absl::ConsumePrefix(&text, "{")) return true;
  while (true) {
    const size_t equals = text.find('=');
    if (equals == text.npos) return false;
    const std::string name(text.substr(0, equals));
    text.remove_prefix(equals + 1);
    if (!IsName(name) || !absl::ConsumePrefix(&text, "\"")) return false;
    std::string value;
    while (!text.empty() && text[0] != '"') {
      if (text[0] == '\\') {
        if (text.size() < 2) return false;
        const char escaped = text[1];
        if (escaped != 'n' && escaped != '"' && escaped != '\\') return false;
        value += escaped == 'n' ? '\n' : escaped;
        text.remove_prefix(2);
        continue;
      }
      value += text[0];
      text.remove_prefix(1);
    }
    if (!absl::ConsumePrefix(&text, "\"")) return false;
    if (!labels.emplace(name, value).second) return false;
    if (absl::ConsumePrefix(&text, "}")) return true;
    if (!absl::ConsumePrefix(&text, ",")) return false;
  }
}

class Parser {
 public:
  absl::StatusOr<std::map<std::string, ParsedFamily>> Parse(
      std::string_view text) {
    if (!absl::ConsumeSuffix(&text, "# EOF\n")) return Wrong("no end");
    if (!text.empty() && !absl::ConsumeSuffix(&text, "\n")) {
      return Wrong("no newline before the end");
    }
    for (std::string_view line : absl::StrSplit(text, '\n')) {
      line_ = line;
      const absl::Status status =
          line.starts_with("#") ? Comment(line) : Sample(line);
      if (!status.ok()) return status;
    }
    for (const auto& [name, family] : families_) {
      line_ = name;
      if (family.type.empty() || family.help.empty()) {
        return Wrong("a family without TYPE or HELP");
      }
      if (family.type != "histogram") continue;
      const absl::Status status = CheckHistogram(name, family);
      if (!status.ok()) return status;
    }
    return std::move(families_);
  }

 private:
  absl::Status Wrong(std::string_view why) const {
    return absl::InvalidArgumentError(absl::StrCat(why, ": ", line_));
  }

  absl::Status Comment(std::string_view line) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::MaxSplits(' ', 3));
    if (words.size() != 4 || words[0] != "#" || !IsName(words[2])) {
      return Wrong("no comment that is known");
    }
    if (words[2] != current_) {
      if (families_.contains(words[2])) return Wrong("a family comes again");
      current_ = words[2];
    }
    ParsedFamily& family = families_[current_];
    if (!family.samples.empty()) return Wrong("after its samples");
    if (words[1] == "TYPE") {
      if (words[3] != "counter" && words[3] != "gauge" &&
          words[3] != "histogram") {
        return Wrong("no type that is known");
      }
      if (words[3] == "counter" && current_.ends_with("_total")) {
        return Wrong("a counter's family is without _total");
      }
      family.type = words[3];
    } else if (words[1] == "HELP") {
      family.help = words[3];
    } else if (words[1] != "UNIT" ||
               !current_.ends_with(absl::StrCat("_", words[3]))) {
      return Wrong("no comment that is known");
    }
    return absl::OkStatus();
  }

  absl::Status Sample(std::string_view line) {
    const size_t end = line.find_first_of(" {");
    if (end == line.npos || current_.empty()) return Wrong("no sample");
    ParsedSample sample;
    sample.name = std::string(line.substr(0, end));
    line.remove_prefix(end);
    ParsedFamily& family = families_[current_];
    std::string_view suffix = sample.name;
    if (!IsName(sample.name) || !absl::ConsumePrefix(&suffix, current_)) {
      return Wrong("not of its family");
    }
    const bool fits =
        family.type == "counter" ? suffix == "_total"
        : family.type == "gauge"
            ? suffix.empty()
            : suffix == "_bucket" || suffix == "_sum" || suffix == "_count";
    if (!fits) return Wrong("not of its family's type");
    if (!ReadLabels(line, sample.labels) || !absl::ConsumePrefix(&line, " ") ||
        !ReadNumber(line, sample.value)) {
      return Wrong("labels or value");
    }
    if (family.type != "gauge" && sample.value < 0) return Wrong("below zero");
    if (!seen_.emplace(sample.name, sample.labels).second) {
      return Wrong("comes twice");
    }
    family.samples.push_back(std::move(sample));
    return absl::OkStatus();
  }

  absl::Status CheckHistogram(const std::string& name,
                              const ParsedFamily& family) const {
    double bound = -1;
    double below = 0;
    for (const ParsedSample& sample : family.samples) {
      if (sample.name == name + "_bucket") {
        double le = 0;
        const auto found = sample.labels.find("le");
        if (found == sample.labels.end() || !ReadNumber(found->second, le)) {
          return Wrong("a bucket without its bound");
        }
        if (le <= bound || sample.value < below) {
          return Wrong("buckets do not grow");
        }
        bound = le;
        below = sample.value;
      } else if (sample.name == name + "_count") {
        if (!std::isinf(bound) || sample.value != below) {
          return Wrong("_count is not the last bucket's");
        }
        bound = -1;
        below = 0;
      }
    }
    return bound < 0 ? absl::OkStatus() : Wrong("a histogram without _count");
  }

  std::string_view line_;
  std::string current_;
  std::map<std::string, ParsedFamily> families_;
  std::set<std::pair<std::string, std::map<std::string, std::string>>> seen_;
};

}  // namespace

absl::StatusOr<std::map<std::string, ParsedFamily>> ParseOpenMetrics(
    std::string_view text) {
  return Parser().Parse(text);
}

}  // namespace fused::metrics
