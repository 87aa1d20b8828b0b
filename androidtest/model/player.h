// Plays steps on a device, and says where it first does otherwise than the
// model.
#ifndef FUSED_ANDROIDTEST_MODEL_PLAYER_H_
#define FUSED_ANDROIDTEST_MODEL_PLAYER_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "androidtest/harness/app.h"
#include "androidtest/harness/device.h"
#include "androidtest/model/step.h"
#include "androidtest/model/world.h"

namespace fused::androidtest::model {

// A fresh device and what it should hold.
class Player {
 public:
  Player();
  ~Player();

  const World& world() const { return world_; }
  // What differs, if something does. Steps that have no one outcome are left
  // out.
  std::optional<std::string> Play(const Step& step);
  // The same for the whole of the lower tree.
  std::optional<std::string> CompareLower() const;
  bool Stop();

 private:
  Result Act(const Step& step);
  Result Open(const App& app, const Step& step, int flags);
  Result OnHeld(const Step& step);
  const App& As(int actor, View view);
  // Lets the other views know of what was done in one.
  bool Tell(const Step& step);

  World world_;
  Device device_;
  std::map<std::pair<int, View>, App> apps_;
  std::map<std::pair<int, View>, File> held_;
  // Whose kernel knows what nobody else was told; empty: all know all.
  std::optional<std::pair<int, View>> changed_by_;
  // A connection to the daemon, since a fusedctl for each step takes long.
  int control_ = -1;
};

// Plays these on a fresh device; the index of the first that differs, and how.
std::optional<std::pair<size_t, std::string>> PlayAll(
    const std::vector<Step>& steps);

// The fewest of these steps that still differ.
std::vector<Step> Shrink(std::vector<Step> steps);

}  // namespace fused::androidtest::model

#endif  // FUSED_ANDROIDTEST_MODEL_PLAYER_H_
