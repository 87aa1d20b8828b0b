#include "fused/metrics/exposition.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace fused::metrics {
namespace {

std::string Escape(std::string_view text) {
  return absl::StrReplaceAll(text,
                             {{"\\", "\\\\"}, {"\n", "\\n"}, {"\"", "\\\""}});
}

std::string Number(double value) { return absl::StrFormat("%.12g", value); }

}  // namespace

void Exposition::Family(std::string_view name, Type type,
                        std::string_view help) {
  name_ = name;
  type_ = type;
  const bool total = type == Type::kCounter && format_ == Format::kPrometheus;
  const std::string shown = absl::StrCat(name, total ? "_total" : "");
  const std::string_view word = type == Type::kCounter ? "counter"
                                : type == Type::kGauge ? "gauge"
                                                       : "histogram";
  absl::StrAppend(&text_, "# TYPE ", shown, " ", word, "\n");
  // The unit is the name's last part.
  if (format_ == Format::kOpenMetrics) {
    for (const std::string_view unit : {"seconds", "bytes"}) {
      if (name.ends_with(absl::StrCat("_", unit))) {
        absl::StrAppend(&text_, "# UNIT ", shown, " ", unit, "\n");
      }
    }
  }
  absl::StrAppend(&text_, "# HELP ", shown, " ", Escape(help), "\n");
}

void Exposition::Line(std::string_view suffix, const Labels& labels,
                      std::string_view value) {
  absl::StrAppend(&text_, name_, suffix);
  std::string_view before = "{";
  for (const auto& [name, label] : labels) {
    absl::StrAppend(&text_, before, name, "=\"", Escape(label), "\"");
    before = ",";
  }
  absl::StrAppend(&text_, labels.empty() ? " " : "} ", value, "\n");
}

void Exposition::Sample(const Labels& labels, double value) {
  Line(type_ == Type::kCounter ? "_total" : "", labels, Number(value));
}

void Exposition::Sample(const Labels& labels, uint64_t value) {
  Line(type_ == Type::kCounter ? "_total" : "", labels, absl::StrCat(value));
}

void Exposition::Histogram(const Labels& labels,
                           const std::vector<double>& bounds,
                           const std::vector<uint64_t>& counts, double sum) {
  Labels with = labels;
  with.emplace_back("le", "");
  uint64_t below = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    below += counts[i];
    with.back().second = i < bounds.size() ? Number(bounds[i]) : "+Inf";
    Line("_bucket", with, absl::StrCat(below));
  }
  Line("_sum", labels, Number(sum));
  Line("_count", labels, absl::StrCat(below));
}

void Exposition::One(std::string_view name, Type type, std::string_view help,
                     uint64_t value) {
  Family(name, type, help);
  Sample({}, value);
}

std::string Exposition::Finish() && {
  if (format_ == Format::kOpenMetrics) text_ += "# EOF\n";
  return std::move(text_);
}

}  // namespace fused::metrics
