// Scoped storage as its table says it, in the plainest C++: who may do what to
// a file or directory at a path. The tests' own reading of the rules, which
// shares nothing with the engine that is tested.
#ifndef FUSED_ANDROIDTEST_MODEL_RULES_H_
#define FUSED_ANDROIDTEST_MODEL_RULES_H_

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace fused::androidtest::model {

enum class Type { kOther, kImage, kVideo, kAudio, kPlaylist, kSubtitle };

// An app, or a uid, as the columns of the table ask for it.
struct Subject {
  std::string name;
  // Of what it makes; kNobody where that is nobody's.
  int owner = 0;
  std::vector<std::string> packages;
  std::set<Type> reads;
  // In no app's entry.
  bool unlisted = false;
  bool manager = false;
  bool gallery = false;
  bool installer = false;
  // MTP, DOWNLOADS, SHELL, ROOT.
  bool all = false;

  bool special() const { return manager || gallery || installer || all; }
};

inline constexpr int kNobody = -1;

// The rows.
enum class Place {
  kRoot,
  kAndroid,
  // Android/data and so on, themselves.
  kAndroidData,
  kAndroidObb,
  kAndroidMedia,
  // Below, from the package's name on.
  kData,
  kObb,
  kMedia,
  // A default directory itself.
  kCollection,
  // Below one, by what it takes.
  kImages,
  kFilms,
  kMusic,
  kSounds,
  kPapers,
  // Another name in the root, and below it.
  kOtherTop,
  kOther,
};

// A path, and what the rules ask of what is there or shall be.
struct Object {
  std::vector<std::string> path;
  bool directory = false;
  int owner = kNobody;
};

// The operations, by letters:
//   S see  L list  R read  W write  C create a file  M make a directory
//   D unlink  X remove a directory  N rename a file  n rename a directory
//
// 0, or the error. A rename is judged as N (or n) here and C (or M) there.
int Judge(const Subject& subject, char operation, const Object& object);
// The errors of making something (C or M): a bad name is another reason.
std::set<int> JudgeNew(const Subject& subject, char operation,
                       const Object& object);

Place PlaceOf(const std::vector<std::string>& path);
Type TypeOf(std::string_view name);
bool IsPendingOrTrashed(std::string_view name);
bool IsHidden(const std::vector<std::string>& path);
// Whether a new file or directory may be called so.
bool IsGoodName(std::string_view name);
bool OwnsPath(const Subject& subject, const std::vector<std::string>& path);

std::vector<std::string> Split(std::string_view path);

}  // namespace fused::androidtest::model

#endif  // FUSED_ANDROIDTEST_MODEL_RULES_H_
