// scan, maintain, file.

#include <poll.h>

#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "fused/ctl/command.h"
#include "fused/ctl/flags.h"

namespace fused::ctl {
namespace {

constexpr int kPollMilliseconds = 20;

std::string Name(const control::v1::FileResponse::Owner& owner) {
  return absl::StrCat(Printable(owner.package()), " (", owner.app_id(), ")");
}

// The volume's status; null where there is none.
const control::v1::VolumeStatus* Find(const control::v1::Status& status,
                                      const std::string& name) {
  for (const control::v1::VolumeStatus& volume : status.volumes()) {
    if (name.empty() || volume.name() == name) return &volume;
  }
  return nullptr;
}

}  // namespace

int Scan(const Arguments&) {
  const std::string volume = absl::GetFlag(FLAGS_volume);
  control::v1::Request request;
  request.mutable_scan()->set_volume(volume);
  int code = kDone;
  auto begun = Ask(request, code);
  if (!begun.has_value()) return code;
  request.mutable_status();
  for (;;) {
    auto reply = Ask(request, code);
    if (!reply.has_value()) return code;
    const control::v1::VolumeStatus* const found =
        Find(reply->message.status(), volume);
    if (found == nullptr) return Fail(kRefused, "the volume is gone");
    const control::v1::MediaStatus& media = found->media();
    if (media.scans() < begun->message.scan().scan()) {
      // A scan tells when it is over by its count alone.
      poll(nullptr, 0, kPollMilliseconds);
      continue;
    }
    if (absl::GetFlag(FLAGS_json)) {
      PrintJson(media);
    } else {
      std::printf("%s: %llu files, %llu adopted, %llu repaired, %llu dropped\n",
                  Printable(found->name()).c_str(),
                  static_cast<unsigned long long>(media.scanned()),
                  static_cast<unsigned long long>(media.adopted()),
                  static_cast<unsigned long long>(media.repaired()),
                  static_cast<unsigned long long>(media.dropped()));
    }
    return kDone;
  }
}

int Maintain(const Arguments&) {
  control::v1::Request request;
  request.mutable_maintain()->set_volume(absl::GetFlag(FLAGS_volume));
  int code = kDone;
  auto reply = Ask(request, code);
  if (!reply.has_value()) return code;
  const control::v1::MaintainResponse& response = reply->message.maintain();
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(response);
  } else {
    for (const auto& file : response.files()) {
      const std::string what =
          absl::StrCat(Printable(file.volume()), "/", file.user(), ":",
                       Printable(file.path()));
      if (file.postponed_to().empty()) {
        std::printf("deleted %s\n", what.c_str());
      } else {
        std::printf("postponed %s to %s\n", what.c_str(),
                    Printable(file.postponed_to()).c_str());
      }
    }
    std::printf("%llu deleted, %llu postponed, %llu failed\n",
                static_cast<unsigned long long>(response.deleted()),
                static_cast<unsigned long long>(response.postponed()),
                static_cast<unsigned long long>(response.failed()));
  }
  return response.failed() == 0 ? kDone : kRefused;
}

int File(const Arguments& arguments) {
  control::v1::Request request;
  request.mutable_file()->set_path(arguments.positional[0]);
  request.mutable_file()->set_volume(absl::GetFlag(FLAGS_volume));
  request.mutable_file()->set_user(absl::GetFlag(FLAGS_user));
  int code = kDone;
  auto reply = Ask(request, code);
  if (!reply.has_value()) return code;
  const control::v1::FileResponse& file = reply->message.file();
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(file);
    return kDone;
  }
  std::printf("marked    %s\n",
              file.has_marked() ? Name(file.marked()).c_str() : "nobody");
  std::printf("indexed   %s\n",
              file.has_indexed() ? Name(file.indexed()).c_str() : "nobody");
  if (!file.media_type().empty()) {
    std::printf("type      %s\n", Printable(file.media_type()).c_str());
  }
  if (!file.state().empty()) {
    std::printf("state     %s until %lld\n", file.state().c_str(),
                static_cast<long long>(file.expires()));
  }
  if (file.hidden()) std::printf("hidden    yes\n");
  std::printf("location  %s\n", file.location().c_str());
  return kDone;
}

}  // namespace fused::ctl
