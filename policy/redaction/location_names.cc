#include "policy/redaction/location_names.h"

#include <algorithm>
#include <array>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace fused::policy::redaction {
namespace {

// Anywhere in a name. The third of the coordinates is spelt so by drones.
constexpr std::array<std::string_view, 8> kWithin = {
    "gps",      "latitude", "longitude",        "longtitude",
    "altitude", "location", "direction.facing", "direction.motion",
};

// The whole name. First coordinates, then IPTC's names of places, then a
// drone's precision of its position, then cells of a mobile network.
constexpr std::array<std::string_view, 22> kWhole = {
    "lat",       "lon",           "long",        "lng",          "geo",
    "city",      "state",         "country",     "countrycode",  "countryname",
    "province",  "provincestate", "worldregion", "rtkflag",      "rtkstdlat",
    "rtkstdlon", "rtkstdhgt",     "cellid",      "ratingregion", "cgi",
    "mcc",       "mnc",
};

// All of whose names are of this kind: WGS 84 positions, mobile cells.
constexpr std::array<std::string_view, 2> kPrefixes = {"geo", "cell"};
// None of whose names are: the syntax itself.
constexpr std::array<std::string_view, 4> kSyntax = {"rdf", "xml", "xmlns",
                                                     "x"};

template <size_t kSize>
bool Has(const std::array<std::string_view, kSize>& list,
         std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

}  // namespace

bool IsLocationName(std::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  std::string_view local = lower;
  if (const size_t colon = local.find(':'); colon != local.npos) {
    const std::string_view prefix = local.substr(0, colon);
    if (Has(kSyntax, prefix)) return false;
    if (Has(kPrefixes, prefix)) return true;
    local.remove_prefix(colon + 1);
  }
  // Exif's place of the subject within the picture.
  if (local == "subjectlocation") return false;
  return Has(kWhole, local) ||
         std::any_of(kWithin.begin(), kWithin.end(), [&](std::string_view one) {
           return absl::StrContains(local, one);
         });
}

}  // namespace fused::policy::redaction
