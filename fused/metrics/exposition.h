// Metrics as text.
#ifndef FUSED_FUSED_METRICS_EXPOSITION_H_
#define FUSED_FUSED_METRICS_EXPOSITION_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fused::metrics {

using Labels = std::vector<std::pair<std::string_view, std::string>>;

// Writes families one after the other. Not thread-safe.
class Exposition {
 public:
  enum class Format {
    // OpenMetrics 1.0: a counter's family has no "_total"; "# EOF" ends it.
    kOpenMetrics,
    // Prometheus 0.0.4, which node-exporter's textfile collector reads: a
    // counter's family is named as its sample.
    kPrometheus,
  };
  enum class Type { kCounter, kGauge, kHistogram };

  explicit Exposition(Format format) : format_(format) {}

  // Begins a family; samples follow. `name` is without "_total".
  void Family(std::string_view name, Type type, std::string_view help);
  void Sample(const Labels& labels, double value);
  void Sample(const Labels& labels, uint64_t value);
  // Of a histogram: `counts` by bucket with the bounds of all but the last.
  void Histogram(const Labels& labels, const std::vector<double>& bounds,
                 const std::vector<uint64_t>& counts, double sum);

  // A family with one sample without labels.
  void One(std::string_view name, Type type, std::string_view help,
           uint64_t value);

  // The text, ended.
  std::string Finish() &&;

 private:
  void Line(std::string_view suffix, const Labels& labels,
            std::string_view value);

  const Format format_;
  std::string name_;
  Type type_ = Type::kGauge;
  std::string text_;
};

}  // namespace fused::metrics

#endif  // FUSED_FUSED_METRICS_EXPOSITION_H_
