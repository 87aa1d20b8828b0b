#include "fused/metrics/render.h"

#include <sys/resource.h>

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernel/packet.h"

namespace fused::metrics {
namespace {

using enum Exposition::Type;
using control::v1::VolumeStatus;

constexpr std::pair<std::string_view, std::string_view> kVerdictLabels[] = {
    {"DENY", ""},
    {"ALLOW", "PASSTHROUGH"},
    {"ALLOW", "REDACTED"},
    {"ALLOW", "DAEMON"}};
static_assert(std::size(kVerdictLabels) == kVerdicts);

void PutDaemon(const Inputs& in, Exposition& out) {
  const control::v1::Status& status = in.status;
  out.Family("fused_build_info", kGauge, "The daemon and its kernel.");
  out.Sample({{"version", status.version()},
              {"kernel", status.kernel().release()},
              {"protocol", status.kernel().protocol()}},
             uint64_t{1});
  out.One("fused_serving", kGauge, "Whether the daemon serves.",
          status.state() == "SERVING" ? 1 : 0);
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const struct timeval& time) {
    return static_cast<double>(time.tv_sec) +
           static_cast<double>(time.tv_usec) / 1e6;
  };
  out.Family("fused_cpu_seconds", kCounter, "Time on processors.");
  out.Sample({{"mode", "user"}}, seconds(usage.ru_utime));
  out.Sample({{"mode", "system"}}, seconds(usage.ru_stime));
  out.One("fused_resident_memory_peak_bytes", kGauge,
          "The most memory that the daemon has had.",
          static_cast<uint64_t>(usage.ru_maxrss) * 1024);
}

void PutPolicy(const Inputs& in, Exposition& out) {
  const control::v1::Status& status = in.status;
  out.Family("fused_policy_info", kGauge, "The policy in force.");
  out.Sample(
      {{"name", status.policy().name()}, {"sha256", status.policy().sha256()}},
      uint64_t{1});
  out.One("fused_policy_version", kGauge, "The policy's version.",
          status.policy().version());
  out.One("fused_apps_version", kGauge, "The app directory's version.",
          status.apps().version());
  out.One("fused_apps", kGauge, "Entries of the app directory.",
          status.apps().count());
  out.One("fused_epoch", kGauge,
          "Generation of policy and app directory together.", status.epoch());
  out.Family("fused_pushes", kCounter,
             "Policies and app directories that were pushed, by result: "
             "accepted, unchanged (accepted, and in force already), refused.");
  for (const auto& [kind, counts] : {std::pair("policy", &in.policy_pushes),
                                     std::pair("apps", &in.apps_pushes)}) {
    out.Sample({{"kind", kind}, {"result", "accepted"}}, counts->accepted);
    out.Sample({{"kind", kind}, {"result", "unchanged"}}, counts->unchanged);
    out.Sample({{"kind", kind}, {"result", "refused"}}, counts->refused);
  }
  out.One("fused_control_refused", kCounter, "Control requests refused.",
          in.control_refused);
}

void PutRequests(const Inputs& in, Exposition& out) {
  out.Family("fused_requests", kCounter,
             "Requests by opcode and result; \"later\": answered after the "
             "request's method, as a lock that waits.");
  for (const Inputs::VolumeRequests& volume : in.requests) {
    for (const OpcodeCounts& counts : volume.opcodes) {
      for (size_t i = 0; i < kResults; ++i) {
        if (counts.results[i] == 0) continue;
        out.Sample({{"volume", volume.name},
                    {"opcode", std::string(kernel::OpcodeName(counts.opcode))},
                    {"result", std::string(ResultName(i))}},
                   counts.results[i]);
      }
    }
  }
  out.Family("fused_request_duration_seconds", kHistogram,
             "From a request's arrival to the end of its method.");
  std::vector<double> bounds;
  for (size_t i = 0; i + 1 < kBuckets; ++i) bounds.push_back(BucketBound(i));
  for (const Inputs::VolumeRequests& volume : in.requests) {
    for (const OpcodeCounts& counts : volume.opcodes) {
      out.Histogram(
          {{"volume", volume.name},
           {"opcode", std::string(kernel::OpcodeName(counts.opcode))}},
          bounds, {counts.buckets.begin(), counts.buckets.end()},
          static_cast<double>(counts.nanoseconds) / 1e9);
    }
  }
}

void PutOpens(const Inputs& in, Exposition& out) {
  out.Family("fused_opens", kCounter, "Opens by how they are served.");
  for (const VolumeStatus& volume : in.status.volumes()) {
    const control::v1::Opens& opens = volume.opens();
    for (const auto& [io, count] :
         {std::pair("PASSTHROUGH", opens.passthrough()),
          std::pair("REDACTED", opens.redacted()),
          std::pair("DAEMON", opens.daemon())}) {
      out.Sample({{"volume", volume.name()}, {"io", io}}, count);
    }
  }
  out.Family("fused_passthrough_fallbacks", kCounter,
             "Opens that passthrough was wanted for, and why they did not get "
             "it.");
  for (const VolumeStatus& volume : in.status.volumes()) {
    for (const auto& [reason, count] : volume.fallbacks()) {
      out.Sample({{"volume", volume.name()}, {"reason", reason}}, count);
    }
  }
}

void PutVerdicts(const Inputs& in, Exposition& out) {
  out.Family("fused_decisions", kCounter,
             "Requests that were denied, and opens that were not with how they "
             "are served, by rule; no rule: what is so whatever the policy.");
  // A rule may be called "other" too, and a sample must not come twice.
  std::map<std::pair<std::string, size_t>, uint64_t> counts;
  for (const Registry::Rules::Entry& rule : in.registry->rules().All()) {
    for (size_t i = 0; i < kVerdicts; ++i) {
      const uint64_t count = (*rule.value)[i];
      if (count != 0) counts[{rule.key == 0 ? "other" : rule.name, i}] += count;
    }
  }
  for (const auto& [what, count] : counts) {
    const auto& [verdict, io] = kVerdictLabels[what.second];
    out.Sample({{"verdict", std::string(verdict)},
                {"io", std::string(io)},
                {"rule", what.first}},
               count);
  }
}

void PutShadow(const Inputs& in, Exposition& out) {
  const control::v1::ShadowStatus& shadow = in.status.shadow();
  out.Family(
      "fused_shadow_decisions", kCounter,
      "Decisions while the policy in force has shadow rules, and whether "
      "those agree. From 0 with each policy.");
  out.Sample({{"result", "agreed"}}, shadow.agreed());
  out.Sample({{"result", "differed"}}, shadow.differed() + shadow.uncounted());
  out.Family("fused_shadow_differences", kCounter,
             "Decisions that shadow rules would have made otherwise; the most "
             "frequent kinds.");
  for (const control::v1::ShadowDifference& one : shadow.differences()) {
    out.Sample({{"live", one.live()},
                {"live_rule", one.live_rule()},
                {"shadow", one.shadow()},
                {"shadow_rule", one.shadow_rule()}},
               one.count());
  }
}

void PutApps(const Inputs& in, Exposition& out) {
  const std::vector<Registry::Apps::Entry> apps = in.registry->apps().All();
  const auto labels = [&in](const Registry::Apps::Entry& app) -> Labels {
    if (app.key == 0) return {{"uid", "other"}, {"package", ""}};
    const uid_t uid = Registry::UidOf(app);
    return {{"uid", absl::StrCat(uid)}, {"package", in.package_of(uid)}};
  };
  out.Family("fused_app_requests", kCounter, "Requests by app.");
  for (const Registry::Apps::Entry& app : apps) {
    uint64_t count = 0;
    for (const AppCounts::Operation& one : app.value->operations) {
      count += one.count;
    }
    if (count != 0) out.Sample(labels(app), count);
  }
  out.Family("fused_app_busy_seconds", kCounter,
             "Time that threads of the daemon spent on an app's requests.");
  for (const Registry::Apps::Entry& app : apps) {
    uint64_t nanoseconds = 0;
    for (const AppCounts::Operation& one : app.value->operations) {
      nanoseconds += one.nanoseconds;
    }
    if (nanoseconds != 0) {
      out.Sample(labels(app), static_cast<double>(nanoseconds) / 1e9);
    }
  }
  out.Family("fused_app_decisions", kCounter,
             "As fused_decisions, by app and not by rule.");
  for (const Registry::Apps::Entry& app : apps) {
    for (size_t i = 0; i < kVerdicts; ++i) {
      const uint64_t count = app.value->verdicts[i];
      if (count == 0) continue;
      Labels with = labels(app);
      with.emplace_back("verdict", kVerdictLabels[i].first);
      with.emplace_back("io", kVerdictLabels[i].second);
      out.Sample(with, count);
    }
  }
}

void PutVolumes(const Inputs& in, Exposition& out) {
  struct Row {
    std::string_view name;
    Exposition::Type type;
    std::string_view help;
    uint64_t (*value)(const VolumeStatus&);
  };
  static constexpr Row kRows[] = {
      {"fused_passthrough", kGauge, "Whether opens may be on passthrough.",
       [](const VolumeStatus& v) { return uint64_t{v.passthrough()}; }},
      {"fused_backing_ids", kGauge, "Files registered with the kernel.",
       [](const VolumeStatus& v) -> uint64_t { return v.backing_ids(); }},
      {"fused_handles", kGauge, "Open files and directories.",
       [](const VolumeStatus& v) -> uint64_t { return v.handles(); }},
      {"fused_nodes", kGauge, "Nodes that kernels know.",
       [](const VolumeStatus& v) -> uint64_t { return v.nodes(); }},
      {"fused_descriptors", kGauge, "Descriptors that nodes hold.",
       [](const VolumeStatus& v) -> uint64_t { return v.descriptors(); }},
      {"fused_views", kGauge, "App views.",
       [](const VolumeStatus& v) {
         return static_cast<uint64_t>(v.views_size());
       }},
      {"fused_unanswered", kCounter,
       "Requests whose method gave no answer (answered EIO).",
       [](const VolumeStatus& v) -> uint64_t { return v.unanswered(); }},
      {"fused_media_owned_files", kGauge, "Files with an owner.",
       [](const VolumeStatus& v) -> uint64_t { return v.media().owned(); }},
      {"fused_media_pending_writes", kGauge,
       "Changes that the media database has yet to take.",
       [](const VolumeStatus& v) -> uint64_t {
         return v.media().pending_writes();
       }},
      {"fused_media_ready", kGauge,
       "Whether the media index is complete (0: it scans, or its database "
       "does not work).",
       [](const VolumeStatus& v) {
         return uint64_t{v.media().state() == "READY"};
       }},
  };
  for (const Row& row : kRows) {
    out.Family(row.name, row.type, row.help);
    for (const VolumeStatus& volume : in.status.volumes()) {
      out.Sample({{"volume", volume.name()}}, row.value(volume));
    }
  }
}

void PutInvalidations(const Inputs& in, Exposition& out) {
  // The worker is one for all volumes.
  control::v1::Invalidations all;
  if (in.status.volumes_size() > 0) {
    all = in.status.volumes(0).invalidations();
  }
  out.Family("fused_invalidations", kCounter,
             "What kernels were told to forget.");
  out.Sample({{"kind", "entry"}}, all.entries());
  out.Sample({{"kind", "inode"}}, all.inodes());
  out.Sample({{"kind", "listing"}}, all.listings());
  out.Sample({{"kind", "epoch"}}, all.epochs());
  out.One("fused_invalidations_coalesced", kCounter,
          "Invalidations that were posted twice and sent once.",
          all.coalesced());
  out.One("fused_invalidation_overflows", kCounter,
          "Times that the queue was full, each told as an epoch.",
          all.overflows());
  out.Family("fused_views_of_changes", kCounter,
             "Views at changes of rules: told to look every name up again, or "
             "spared, for the change does not concern them.");
  out.Sample({{"result", "told"}}, all.views_told());
  out.Sample({{"result", "spared"}}, all.views_spared());
  out.One("fused_invalidation_lag_microseconds", kCounter,
          "From changes until kernels were told, together.",
          all.lag_microseconds());
  out.One("fused_invalidation_longest_lag_microseconds", kGauge,
          "The longest of these.", all.longest_lag_microseconds());
  out.One("fused_invalidation_queue_length", kGauge, "Invalidations that wait.",
          all.queued());
}

void PutThreads(const Inputs& in, Exposition& out) {
  const auto number = [](int value) { return static_cast<uint64_t>(value); };
  out.One("fused_threads", kGauge, "Threads that serve requests.",
          number(in.loop.threads));
  out.One("fused_threads_stuck", kGauge,
          "Threads that the lower file system keeps.", number(in.loop.stuck));
  out.One("fused_requests_parked", kGauge,
          "Requests that wait for others of their uid.",
          number(in.loop.parked));
  out.One("fused_requests_expired", kCounter,
          "Requests that were answered for they took too long.",
          in.loop.expired);
  out.One("fused_requests_refused", kCounter,
          "Requests of uids that have too many that wait.", in.loop.refused);
  out.One("fused_connections_aborted", kCounter,
          "Connections that were aborted, for nothing moved.", in.loop.aborted);
  out.Family(
      "fused_opens_limited", kCounter,
      "Opens that an app's limits refused (handles: EMFILE) or kept from "
      "passthrough (backing_ids).");
  out.Sample({{"limit", "handles"}}, in.status.workers().handles_refused());
  out.Sample({{"limit", "backing_ids"}},
             in.status.workers().backing_ids_refused());
}

void PutAudit(const Inputs& in, Exposition& out) {
  out.One("fused_audit_records", kCounter, "Audit records made.",
          in.audit.records);
  out.Family("fused_audit_dropped", kCounter,
             "Events without a record: of uids that cause too many, without "
             "room, or that the disk did not take.");
  out.Sample({{"reason", "limited"}}, in.audit.limited);
  out.Sample({{"reason", "full"}}, in.audit.full);
  out.Sample({{"reason", "unwritten"}}, in.audit.unwritten);
  out.One("fused_audit_queue_length", kGauge, "Events that wait to be written.",
          in.audit.queued);
}

}  // namespace

std::string Render(const Inputs& inputs, Exposition::Format format) {
  Exposition out(format);
  PutDaemon(inputs, out);
  PutPolicy(inputs, out);
  PutRequests(inputs, out);
  PutOpens(inputs, out);
  PutVerdicts(inputs, out);
  PutShadow(inputs, out);
  PutApps(inputs, out);
  PutVolumes(inputs, out);
  PutInvalidations(inputs, out);
  PutThreads(inputs, out);
  PutAudit(inputs, out);
  return std::move(out).Finish();
}

}  // namespace fused::metrics
