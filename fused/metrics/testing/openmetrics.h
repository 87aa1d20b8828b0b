// Reads OpenMetrics text as strictly as its specification has it.
#ifndef FUSED_FUSED_METRICS_TESTING_OPENMETRICS_H_
#define FUSED_FUSED_METRICS_TESTING_OPENMETRICS_H_

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace fused::metrics {

struct ParsedSample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;
};

struct ParsedFamily {
  std::string type;
  std::string help;
  std::vector<ParsedSample> samples;
};

// By name. INVALID_ARGUMENT, with the line: bad syntax; a family that comes
// twice, is interleaved, or has no TYPE and HELP; a sample that is not its
// family's, comes twice, or has labels in disorder of a histogram; a counter
// below zero; buckets that do not grow, do not end in +Inf, or do not agree
// with _count; a missing end.
absl::StatusOr<std::map<std::string, ParsedFamily>> ParseOpenMetrics(
    std::string_view text);

}  // namespace fused::metrics

#endif  // FUSED_FUSED_METRICS_TESTING_OPENMETRICS_H_
