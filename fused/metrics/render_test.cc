#include "fused/metrics/render.h"

#include <linux/fuse.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/strings/str_cat.h"
#include "fused/metrics/testing/openmetrics.h"
#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

namespace fused::metrics {
namespace {

using absl_testing::IsOk;
using absl_testing::StatusIs;
using testing::HasSubstr;
using testing::Not;

// Everything has a value, and names are as bad as they may be.
class RenderTest : public testing::Test {
 protected:
  RenderTest() {
    in_.status.set_state("SERVING");
    in_.status.mutable_policy()->set_name("a \"policy\"\\");
    in_.status.mutable_policy()->set_version(7);
    for (const char* name : {"external_primary", "card\n2"}) {
      control::v1::VolumeStatus& volume = *in_.status.add_volumes();
      volume.set_name(name);
      volume.set_passthrough(true);
      volume.mutable_opens()->set_passthrough(5);
      (*volume.mutable_fallbacks())["no backing ids are left"] = 2;
      Requests requests;
      requests.Count(FUSE_LOOKUP, 0, 1500);
      requests.Count(FUSE_LOOKUP, ENOENT, 3000000);
      requests.Count(FUSE_SETLKW, std::nullopt, UINT64_MAX >> 1);
      in_.requests.push_back({name, requests.Read()});
    }
    control::v1::ShadowDifference& line =
        *in_.status.mutable_shadow()->add_differences();
    line.set_live("ALLOW PASSTHROUGH");
    line.set_live_rule("all");
    line.set_shadow("DENY EACCES");
    line.set_shadow_rule("no_reading");
    line.set_count(8);
    registry_.CountRequest(10061, FUSE_LOOKUP, 1500);
    registry_.CountVerdict(10061, "private", Verdict::kDenied);
    registry_.CountVerdict(10061, "", Verdict::kPassthrough);
    in_.registry = &registry_;
    in_.audit = {.records = 3, .limited = 2, .full = 1};
    in_.policy_pushes = {.accepted = 4, .unchanged = 5, .refused = 6};
    in_.package_of = [](uid_t uid) { return absl::StrCat("app", uid); };
  }

  double Value(const std::map<std::string, ParsedFamily>& families,
               const std::string& family,
               const std::map<std::string, std::string>& labels) {
    for (const ParsedSample& sample : families.at(family).samples) {
      if (sample.labels == labels) return sample.value;
    }
    ADD_FAILURE() << "no such sample of " << family;
    return -1;
  }

  Inputs in_;
  Registry registry_;
};

TEST_F(RenderTest, ARuleMayBeCalledOther) {
  // More rules than are told apart, and one with the name of the rest.
  registry_.CountVerdict(10061, "other", Verdict::kDenied);
  for (int i = 0; i < 2000; ++i) {
    registry_.CountVerdict(10061, absl::StrCat("rule", i), Verdict::kDenied);
  }
  const auto families =
      ParseOpenMetrics(Render(in_, Exposition::Format::kOpenMetrics));
  ASSERT_THAT(families, IsOk());
  EXPECT_GT(Value(*families, "fused_decisions",
                  {{"verdict", "DENY"}, {"io", ""}, {"rule", "other"}}),
            500);
}

TEST_F(RenderTest, IsOpenMetrics) {
  const std::string text = Render(in_, Exposition::Format::kOpenMetrics);
  const auto families = ParseOpenMetrics(text);
  ASSERT_THAT(families, IsOk()) << text;
  EXPECT_EQ(
      Value(
          *families, "fused_requests",
          {{"volume", "card\n2"}, {"opcode", "LOOKUP"}, {"result", "ENOENT"}}),
      1);
  EXPECT_EQ(Value(*families, "fused_pushes",
                  {{"kind", "policy"}, {"result", "refused"}}),
            6);
  EXPECT_EQ(Value(*families, "fused_decisions",
                  {{"verdict", "DENY"}, {"io", ""}, {"rule", "private"}}),
            1);
  EXPECT_EQ(Value(*families, "fused_app_requests",
                  {{"uid", "10061"}, {"package", "app10061"}}),
            1);
  EXPECT_EQ(Value(*families, "fused_audit_dropped", {{"reason", "limited"}}),
            2);
  EXPECT_EQ(Value(*families, "fused_shadow_differences",
                  {{"live", "ALLOW PASSTHROUGH"},
                   {"live_rule", "all"},
                   {"shadow", "DENY EACCES"},
                   {"shadow_rule", "no_reading"}}),
            8);
}

// Dashboards and alerts name them: they are contract.
TEST_F(RenderTest, Names) {
  const auto families =
      ParseOpenMetrics(Render(in_, Exposition::Format::kOpenMetrics));
  ASSERT_THAT(families, IsOk());
  std::vector<std::string> names;
  for (const auto& [name, family] : *families) {
    names.push_back(absl::StrCat(family.type, " ", name));
    EXPECT_FALSE(family.samples.empty()) << name;
  }
  EXPECT_THAT(names, testing::ElementsAreArray(
                         {"counter fused_app_busy_seconds",
                          "counter fused_app_decisions",
                          "counter fused_app_requests",
                          "gauge fused_apps",
                          "gauge fused_apps_version",
                          "counter fused_audit_dropped",
                          "gauge fused_audit_queue_length",
                          "counter fused_audit_records",
                          "gauge fused_backing_ids",
                          "gauge fused_build_info",
                          "counter fused_connections_aborted",
                          "counter fused_control_refused",
                          "counter fused_cpu_seconds",
                          "counter fused_decisions",
                          "gauge fused_descriptors",
                          "gauge fused_epoch",
                          "gauge fused_handles",
                          "counter fused_invalidation_lag_microseconds",
                          "gauge fused_invalidation_longest_lag_microseconds",
                          "counter fused_invalidation_overflows",
                          "gauge fused_invalidation_queue_length",
                          "counter fused_invalidations",
                          "counter fused_invalidations_coalesced",
                          "gauge fused_media_owned_files",
                          "gauge fused_media_pending_writes",
                          "gauge fused_media_ready",
                          "gauge fused_nodes",
                          "counter fused_opens",
                          "counter fused_opens_limited",
                          "gauge fused_passthrough",
                          "counter fused_passthrough_fallbacks",
                          "gauge fused_policy_info",
                          "gauge fused_policy_version",
                          "counter fused_pushes",
                          "histogram fused_request_duration_seconds",
                          "counter fused_requests",
                          "counter fused_requests_expired",
                          "gauge fused_requests_parked",
                          "counter fused_requests_refused",
                          "gauge fused_resident_memory_peak_bytes",
                          "gauge fused_serving",
                          "counter fused_shadow_decisions",
                          "counter fused_shadow_differences",
                          "gauge fused_threads",
                          "gauge fused_threads_stuck",
                          "counter fused_unanswered",
                          "gauge fused_views",
                          "counter fused_views_of_changes"}));
}

// Each metric and label that the dashboard asks for is there.
TEST_F(RenderTest, TheDashboardKnowsTheNames) {
  std::ifstream in("fused/package/grafana/fused.json");
  const std::string text(std::istreambuf_iterator<char>(in), {});
  google::protobuf::Struct dashboard;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(text, &dashboard).ok());
  const auto families =
      ParseOpenMetrics(Render(in_, Exposition::Format::kOpenMetrics));
  ASSERT_THAT(families, IsOk());
  std::map<std::string, std::set<std::string>> labels;
  for (const auto& [name, family] : *families) {
    for (const ParsedSample& sample : family.samples) {
      for (const auto& [label, value] : sample.labels) {
        labels[sample.name].insert(label);
      }
      labels.try_emplace(sample.name);
    }
  }
  const std::regex metric("(fused_[a-z_]+)(\\{([^}]*)\\})?");
  const std::regex label("([a-z]+)=");
  std::set<std::string> seen;
  // By its text: a thread sanitizer's build cannot look into a Struct of a
  // library that was built without it.
  const std::regex target("\"expr\": \"((?:[^\"\\\\]|\\\\.)*)\"");
  const std::sregex_iterator end;
  for (std::sregex_iterator each(text.begin(), text.end(), target); each != end;
       ++each) {
    const std::string expr = (*each)[1];
    for (std::sregex_iterator found(expr.begin(), expr.end(), metric);
         found != end; ++found) {
      const std::string name = (*found)[1];
      seen.insert(name);
      ASSERT_TRUE(labels.contains(name)) << expr;
      const std::string chosen = (*found)[3];
      for (std::sregex_iterator one(chosen.begin(), chosen.end(), label);
           one != end; ++one) {
        EXPECT_TRUE(labels[name].contains((*one)[1])) << expr;
      }
    }
  }
  EXPECT_GT(seen.size(), 20u);
}

TEST_F(RenderTest, TheTextfileIsPrometheus) {
  const std::string text = Render(in_, Exposition::Format::kPrometheus);
  EXPECT_THAT(text, HasSubstr("# TYPE fused_requests_total counter\n"));
  EXPECT_THAT(text, HasSubstr("\nfused_requests_total{volume="));
  EXPECT_THAT(text, Not(HasSubstr("# EOF")));
  EXPECT_THAT(text, Not(HasSubstr("# UNIT")));
}

TEST(OpenMetricsTest, IsStrict) {
  const std::string head = "# TYPE a counter\n# HELP a A.\n";
  EXPECT_THAT(ParseOpenMetrics(head + "a_total{x=\"y\"} 1\n# EOF\n"), IsOk());
  const std::string histogram = "# TYPE h histogram\n# HELP h H.\n";
  for (const std::string& bad : std::vector<std::string>{
           head + "a_total 1\n",
           head + "a 1\n# EOF\n",
           head + "b_total 1\n# EOF\n",
           head + "a_total -1\n# EOF\n",
           head + "a_total 1\na_total 2\n# EOF\n",
           head + "a_total one\n# EOF\n",
           head + "a_total{x=\"y} 1\n# EOF\n",
           head + "a_total{x=\"\\y\"} 1\n# EOF\n",
           head + "a_total{x=\"1\",x=\"2\"} 1\n# EOF\n",
           head + "a_total{1x=\"1\"} 1\n# EOF\n",
           head + "\na_total 1\n# EOF\n",
           "# TYPE a counter\na_total 1\n# EOF\n",
           "# TYPE a_total counter\n# HELP a_total A.\n# EOF\n",
           "# TYPE a sort\n# HELP a A.\n# EOF\n",
           absl::StrCat(head, "a_total 1\n# TYPE b gauge\n# HELP b B.\n", head,
                        "# EOF\n"),
           histogram + "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n# EOF\n",
           histogram + "h_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n# EOF\n",
           histogram + "h_bucket{le=\"2\"} 1\nh_bucket{le=\"1\"} 1\n# EOF\n",
           histogram + "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\n# EOF\n",
       }) {
    EXPECT_THAT(ParseOpenMetrics(bad),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << bad;
  }
}

}  // namespace
}  // namespace fused::metrics
