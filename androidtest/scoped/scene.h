// What the cases of scoped storage share: one device for a whole suite, on
// which each case works in directories of its own, and the apps of every kind
// that the built-in policy knows.
#ifndef FUSED_ANDROIDTEST_SCOPED_SCENE_H_
#define FUSED_ANDROIDTEST_SCOPED_SCENE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "androidtest/harness/device.h"
#include "androidtest/harness/fixture.h"
#include "gtest/gtest.h"

namespace fused::androidtest {

// Beside the standard packages. May read pictures, and is not told where they
// were taken.
inline constexpr char kBlind[] = "com.example.blind";
// READ_MEDIA_VIDEO alone.
inline constexpr char kCinema[] = "com.example.cinema";
inline constexpr char kMtp[] = "com.example.mtp";
inline constexpr char kDownloads[] = "com.example.downloads";
// READ_EXTERNAL_STORAGE, built for 32: it counts.
inline constexpr char kLastReader[] = "com.example.reader32";
// READ_EXTERNAL_STORAGE, built for 33: it does not.
inline constexpr char kLateReader[] = "com.example.reader33";
// Both old permissions, built for 30: it may not write by them.
inline constexpr char kLateWriter[] = "com.example.writer30";

// Every package of the cases.
std::vector<Package> AllPackages();
// The same with one package changed, for `fusedctl apps`.
std::vector<Package> With(std::vector<Package> packages,
                          const Package& changed);
// Without one.
std::vector<Package> Without(std::vector<Package> packages,
                             std::string_view name);

std::string DataOf(std::string_view package, std::string_view name = "");
std::string ObbOf(std::string_view package, std::string_view name = "");
std::string MediaOf(std::string_view package, std::string_view name = "");

class ScopedTest : public BothViewsTest {
 public:
  static void SetUpTestSuite();
  static void TearDownTestSuite();

 protected:
  void SetUp() override;

  static Device& device();
  // The app of a package in this case's view; one process for the suite.
  const App& As(std::string_view package) { return In(view(), package); }
  static const App& In(View view, std::string_view package);
  View other_view() const {
    return view() == View::kApp ? View::kShared : View::kApp;
  }

  // A name that no other case has.
  static std::string Own();
  // `directory`/Own(), which is there.
  static std::string Place(std::string_view directory);
  // Puts a file below, past the daemon: it is nobody's.
  static void Plant(std::string_view path, std::string_view content = "x");
  static void PlantDirectory(std::string_view path);
  // A file made by the app in this view, known to all views.
  void Given(std::string_view owner, std::string_view path,
             std::string_view content = "content");
  void GivenDirectory(std::string_view owner, std::string_view path);
  // Replaces the app directory.
  static void Push(const std::vector<Package>& packages);

 private:
  struct State;
  static State* state_;
};

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_SCOPED_SCENE_H_
