#include "androidtest/harness/photo.h"

#include <cstdint>

namespace fused::androidtest {
namespace {

void Append16(std::string& out, uint16_t value) {
  out += static_cast<char>(value >> 8);
  out += static_cast<char>(value & 0xff);
}

void Append32(std::string& out, uint32_t value) {
  Append16(out, static_cast<uint16_t>(value >> 16));
  Append16(out, static_cast<uint16_t>(value & 0xffff));
}

// A directory entry of TIFF 6.0.
void AppendEntry(std::string& out, uint16_t tag, uint16_t type, uint32_t count,
                 uint32_t value) {
  Append16(out, tag);
  Append16(out, type);
  Append32(out, count);
  Append32(out, value);
}

constexpr uint32_t kDegrees = 48;

}  // namespace

// The latitude that the GPS directory points to is three fractions, the first
// of them 48/1.
std::string Photo() {
  std::string tiff = "MM";
  Append16(tiff, 42);
  Append32(tiff, 8);
  Append16(tiff, 1);
  AppendEntry(tiff, 0x8825, 4, 1, 26);  // GPSInfo, a LONG
  Append32(tiff, 0);
  Append16(tiff, 1);
  AppendEntry(tiff, 2, 5, 3, 44);  // GPSLatitude, three RATIONALs
  Append32(tiff, 0);
  for (const uint32_t number : {kDegrees, 1u, 12u, 1u, 30u, 1u}) {
    Append32(tiff, number);
  }
  std::string jpeg = "\xff\xd8\xff\xe1";
  Append16(jpeg, static_cast<uint16_t>(2 + 6 + tiff.size()));
  jpeg.append("Exif\0\0", 6);
  jpeg += tiff;
  return jpeg + "\xff\xd9";
}

bool HidesTheLatitude(std::string_view bytes) {
  std::string latitude;
  Append32(latitude, kDegrees);
  Append32(latitude, 1);
  return bytes.size() == Photo().size() &&
         bytes.find(latitude) == std::string_view::npos &&
         bytes.substr(0, 4) == "\xff\xd8\xff\xe1";
}

}  // namespace fused::androidtest
