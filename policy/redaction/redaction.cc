#include "policy/redaction/redaction.h"

#include <optional>

#include "policy/redaction/cameras.h"
#include "policy/redaction/iptc.h"
#include "policy/redaction/jpeg.h"
#include "policy/redaction/matroska.h"
#include "policy/redaction/movie.h"
#include "policy/redaction/png.h"
#include "policy/redaction/riff.h"
#include "policy/redaction/search.h"
#include "policy/redaction/tiff.h"
#include "policy/redaction/walk.h"
#include "policy/redaction/xmp.h"

namespace fused::policy::redaction {
namespace {

// The file itself, by its first bytes. False where it cannot be walked.
bool RedactFile(const Bytes& file) {
  if (file.StartsWith(0, kJpegStart)) return RedactJpeg(file, false);
  if (IsTiff(file, 0)) return RedactTiff(file, TiffRoot::kMain);
  if (file.StartsWith(0, kPngStart)) return RedactPng(file);
  if (IsRiff(file)) return RedactRiff(file);
  if (file.StartsWith(0, kMatroskaStart)) return RedactMatroska(file);
  if (IsMovie(file)) return RedactMovie(file);
  RedactUnknown(file);
  return true;
}

// What follows the end of a container.
void RedactTail(const Bytes& tail) {
  if (RedactInsta360(tail)) return;
  if (tail.StartsWith(0, kJpegStart) && RedactJpeg(tail, false)) return;
  if (IsMovie(tail) && RedactMovie(tail)) return;
  RedactUnknown(tail);
}

// False where it is not understood.
bool RedactPart(Part part, const Bytes& bytes) {
  switch (part) {
    case Part::kTiff:
      return RedactTiff(bytes, TiffRoot::kMain);
    case Part::kTiffGps:
      return RedactTiff(bytes, TiffRoot::kGps);
    case Part::kTiffNikon:
      return RedactTiff(bytes, TiffRoot::kNikon);
    case Part::kXmp:
      return RedactXmp(bytes);
    case Part::kIptc:
      return RedactIptc(bytes);
    case Part::kPhotoshop:
      return RedactPhotoshop(bytes);
    case Part::kJpegHead:
      // Not one: not for any reader either.
      RedactJpeg(bytes, true);
      return true;
    case Part::kGpmf:
      return RedactGpmf(bytes);
    case Part::kFlir:
      return RedactFlir(bytes);
    case Part::kNikonTags:
      return RedactNikonTags(bytes);
    case Part::kMovieInside:
      // What of it has a signature is found by that.
      RedactMovie(bytes);
      return true;
    case Part::kTail:
      RedactTail(bytes);
      return true;
    case Part::kUnknown:
      RedactUnknown(bytes);
      return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<Finding> FindLocation(ByteSource& source, const Limits& limits) {
  Walk walk(source, limits);
  const Bytes file(walk, 0, walk.size());
  if (file.size() > 0 && !RedactFile(file)) walk.Refuse();
  while (const std::optional<Job> job = walk.Next()) {
    if (!RedactPart(job->part, job->bytes)) job->bytes.ZeroAll();
  }
  if (!walk.status().ok()) return walk.status();
  return walk.Finish();
}

}  // namespace fused::policy::redaction
