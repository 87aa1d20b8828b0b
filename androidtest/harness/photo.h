// A photo with a place in it, and what is left of one that hides the place.
#ifndef FUSED_ANDROIDTEST_HARNESS_PHOTO_H_
#define FUSED_ANDROIDTEST_HARNESS_PHOTO_H_

#include <string>
#include <string_view>

#include "gmock/gmock.h"

namespace fused::androidtest {

// A JPEG file with nothing but Exif in it, which has a latitude.
std::string Photo();

// Whether these are Photo()'s bytes without the latitude, and whatever else was
// taken: only that no degree is left, and the file is as long, is asked for.
bool HidesTheLatitude(std::string_view bytes);

// An Outcome of reading the whole.
MATCHER(IsRedacted, "is the photo without its latitude") {
  return arg.error == 0 && HidesTheLatitude(arg.data);
}

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_PHOTO_H_
