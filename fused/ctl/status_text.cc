#include "fused/ctl/status_text.h"

#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "fused/ctl/command.h"

namespace fused::ctl {
namespace {

template <typename Map>
std::string Counts(const Map& counts) {
  // In order, and without what never came.
  std::map<std::string, uint64_t> sorted(counts.begin(), counts.end());
  std::erase_if(sorted, [](const auto& count) { return count.second == 0; });
  if (sorted.empty()) return "none";
  return absl::StrJoin(sorted, ", ", [](std::string* out, const auto& count) {
    absl::StrAppend(out, Printable(count.first), " ", count.second);
  });
}

uint64_t Sum(const control::v1::ViewStatus& view) {
  uint64_t sum = 0;
  for (const auto& [name, count] : view.requests()) sum += count;
  return sum;
}

std::string Opens(const control::v1::Opens& opens) {
  return absl::StrCat("passthrough ", opens.passthrough(), ", redacted ",
                      opens.redacted(), ", daemon ", opens.daemon(),
                      ", denied ", opens.denied());
}

std::string Features(const control::v1::KernelStatus& kernel) {
  std::vector<std::string> has;
  std::vector<std::string> lacks;
  const std::map<std::string, bool> sorted(kernel.features().begin(),
                                           kernel.features().end());
  for (const auto& [name, there] : sorted) {
    (there ? has : lacks).push_back(Printable(name));
  }
  std::string text = absl::StrJoin(has, ", ");
  if (!lacks.empty()) {
    absl::StrAppend(&text, "; not: ", absl::StrJoin(lacks, ", "));
  }
  return text;
}

std::string Views(const control::v1::VolumeStatus& volume) {
  std::vector<std::vector<std::string>> rows = {{"  VIEW", "PASSTHROUGH",
                                                 "REDACTED", "DAEMON", "DENIED",
                                                 "REQUESTS", "MOUNT"}};
  for (const control::v1::ViewStatus& view : volume.views()) {
    rows.push_back(
        {absl::StrCat("  ", view.user(), "/", Printable(view.package())),
         absl::StrCat(view.opens().passthrough()),
         absl::StrCat(view.opens().redacted()),
         absl::StrCat(view.opens().daemon()),
         absl::StrCat(view.opens().denied()), absl::StrCat(Sum(view)),
         view.mount().empty() ? "(run)" : Printable(view.mount())});
  }
  return Table(rows);
}

std::string Media(const control::v1::MediaStatus& media) {
  std::string text = Printable(media.state());
  if (!media.reason().empty()) {
    absl::StrAppend(&text, ": ", Printable(media.reason()));
  }
  absl::StrAppend(&text, ", ", media.owned(), " owned, ", media.scanned(),
                  " scanned, ", media.pending_writes(), " to be written, ",
                  media.sql_statements(), " SQL statements");
  if (!media.set_aside().empty()) {
    absl::StrAppend(&text, "; a corrupt database is ",
                    Printable(media.set_aside()));
  }
  return text;
}

std::string VolumeText(const control::v1::VolumeStatus& volume) {
  std::string text = absl::StrCat("\nvolume ", Printable(volume.name()), "  ",
                                  Printable(volume.lower()), " at ",
                                  Printable(volume.mount()), "\n");
  auto line = [&](std::string_view name, std::string_view value) {
    text += absl::StrCat("  ", name, std::string(13 - name.size(), ' '), value,
                         "\n");
  };
  if (!volume.profile().empty()) line("profile", Printable(volume.profile()));
  line("passthrough",
       volume.passthrough()
           ? "yes"
           : absl::StrCat("no: ", Printable(volume.passthrough_reason())));
  line("opens", Opens(volume.opens()));
  if (!volume.fallbacks().empty()) {
    line("fallbacks", Counts(volume.fallbacks()));
  }
  line("requests", Counts(volume.requests()));
  line("holds",
       absl::StrCat(volume.nodes(), " nodes, ", volume.handles(), " handles, ",
                    volume.backing_ids(), " backing ids, ",
                    volume.descriptors(), " descriptors"));
  const auto& told = volume.invalidations();
  line("told",
       absl::StrCat(told.entries(), " entries, ", told.inodes(), " inodes, ",
                    told.listings(), " listings, ", told.epochs(), " epochs, ",
                    told.coalesced(), " coalesced, ", told.overflows(),
                    " overflows, ", told.queued(), " queued"));
  line("below",
       volume.watch_lower()
           ? absl::StrCat("watched, ", volume.lower_changes(), " changes, ",
                          volume.lower_overflows(), " overflows")
           : absl::StrCat("not watched: ",
                          Printable(volume.watch_lower_reason())));
  if (volume.has_media()) line("media", Media(volume.media()));
  if (volume.expired() != 0) {
    line("too late", absl::StrCat(volume.expired()));
  }
  if (volume.unanswered() != 0) {
    line("unanswered", absl::StrCat(volume.unanswered()));
  }
  for (const std::string& warning : volume.warnings()) {
    line("warning", Printable(warning));
  }
  if (!volume.views().empty()) text += Views(volume);
  return text;
}

std::string ShadowText(const control::v1::ShadowStatus& shadow) {
  std::string text =
      absl::StrCat("shadow  ", shadow.agreed(), " decisions agree, ",
                   shadow.differed() + shadow.uncounted(), " differ\n");
  for (const control::v1::ShadowDifference& line : shadow.differences()) {
    absl::StrAppend(&text, "  ", line.count(), "  ", line.live(), " (",
                    Printable(line.live_rule()), ") would be ", line.shadow(),
                    " (", Printable(line.shadow_rule()), ")\n");
  }
  return text;
}

}  // namespace

std::string StatusText(const control::v1::Status& status) {
  std::string text = absl::StrCat(
      Printable(status.state()), "  fused ", Printable(status.version()),
      ", pid ", status.pid(), ", epoch ", status.epoch(), "\n");
  absl::StrAppend(&text, "policy  ", Printable(status.policy().name()),
                  " version ", status.policy().version(), "  ",
                  Printable(status.policy().sha256()), "\n");
  absl::StrAppend(&text, "apps    ", status.apps().count(), ", version ",
                  status.apps().version(), "\n");
  if (!status.kernel().release().empty()) {
    absl::StrAppend(&text, "kernel  ", Printable(status.kernel().release()),
                    ", FUSE ", Printable(status.kernel().protocol()), ": ",
                    Features(status.kernel()), "\n");
  }
  if (status.has_workers()) {
    const control::v1::Workers& workers = status.workers();
    absl::StrAppend(&text, "threads ", workers.threads(), ", ", workers.stuck(),
                    " stuck, ", workers.queued(), " requests queued, ",
                    workers.expired(), " too late, ",
                    workers.refused() + workers.handles_refused(), " refused, ",
                    workers.aborted(), " aborted\n");
  }
  for (const std::string& warning : status.warnings()) {
    absl::StrAppend(&text, "warning ", Printable(warning), "\n");
  }
  if (status.has_shadow()) text += ShadowText(status.shadow());
  for (const control::v1::VolumeStatus& volume : status.volumes()) {
    text += VolumeText(volume);
  }
  return text;
}

}  // namespace fused::ctl
