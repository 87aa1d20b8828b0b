// A `.nomedia` keeps galleries out of its directory and what is below it.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

class NomediaTest : public BothViewsTest {
 protected:
  void SetUp() override {
    BothViewsTest::SetUp();
    if (IsSkipped()) return;
    PlantDirectories(device_);
    ASSERT_TRUE(device_.Start());
    const App camera = device_.Launch(kCamera, view());
    ASSERT_THAT(camera.MakeDirectory("DCIM/Trip"), Succeeds());
    ASSERT_THAT(camera.MakeDirectory("DCIM/Trip/Day"), Succeeds());
    for (const char* path : {"DCIM/a.png", "DCIM/Trip/a.png",
                             "DCIM/Trip/Day/a.png", "DCIM/Tripod.png"}) {
      ASSERT_THAT(camera.Create(path, "picture"), Succeeds());
    }
  }

  // Whether the gallery may read what is in the trip and nothing else changes.
  void ExpectTrip(bool open) {
    const App gallery = device_.Launch(kGallery, view());
    for (const char* path : {"DCIM/Trip/a.png", "DCIM/Trip/Day/a.png"}) {
      // What is hidden is there all the same.
      EXPECT_THAT(gallery.Stat(path), Succeeds()) << path;
      if (open) {
        EXPECT_THAT(gallery.Read(path), Reads("picture")) << path;
      } else {
        EXPECT_THAT(gallery.Read(path), FailsWith(EACCES)) << path;
      }
    }
    EXPECT_THAT(gallery.Read("DCIM/a.png"), Reads("picture"));
    EXPECT_THAT(gallery.Read("DCIM/Tripod.png"), Reads("picture"));
    for (const char* who : {kCamera, kManager, kSystemGallery}) {
      EXPECT_THAT(device_.Launch(who, view()).Read("DCIM/Trip/Day/a.png"),
                  Reads("picture"))
          << who;
    }
  }

  Device device_{{.packages = StandardPackages()}};
};

TEST_P(NomediaTest, ComesAndGoes) {
  const App camera = device_.Launch(kCamera, view());
  ExpectTrip(true);
  ASSERT_THAT(camera.Create("DCIM/Trip/.nomedia"), Succeeds());
  ExpectTrip(false);
  ASSERT_THAT(camera.Unlink("DCIM/Trip/.nomedia"), Succeeds());
  ExpectTrip(true);
}

TEST_P(NomediaTest, ByRename) {
  const App camera = device_.Launch(kCamera, view());
  ASSERT_THAT(camera.MakeDirectory("DCIM/Other"), Succeeds());
  ASSERT_THAT(camera.Create("DCIM/Other/.nomedia"), Succeeds());
  ExpectTrip(true);
  ASSERT_THAT(camera.Rename("DCIM/Other/.nomedia", "DCIM/Trip/.nomedia"),
              Succeeds());
  ExpectTrip(false);
  ASSERT_THAT(camera.Rename("DCIM/Trip", "DCIM/Gone"), Succeeds());
  EXPECT_THAT(device_.Launch(kGallery, view()).Read("DCIM/Gone/Day/a.png"),
              FailsWith(EACCES));
  ASSERT_THAT(camera.Rename("DCIM/Gone", "DCIM/Trip"), Succeeds());
  ASSERT_THAT(camera.Rename("DCIM/Trip/.nomedia", "DCIM/Other/.nomedia"),
              Succeeds());
  ExpectTrip(true);
}

// Into a hidden directory, and out of it.
TEST_P(NomediaTest, WhatMovesIn) {
  const App camera = device_.Launch(kCamera, view());
  const App gallery = device_.Launch(kGallery, view());
  ASSERT_THAT(camera.Create("DCIM/Trip/.nomedia"), Succeeds());
  ASSERT_THAT(camera.Rename("DCIM/Tripod.png", "DCIM/Trip/b.png"), Succeeds());
  EXPECT_THAT(gallery.Read("DCIM/Trip/b.png"), FailsWith(EACCES));
  ASSERT_THAT(camera.Rename("DCIM/Trip/Day", "DCIM/Day"), Succeeds());
  EXPECT_THAT(gallery.Read("DCIM/Day/a.png"), Reads("picture"));
}

TEST_P(NomediaTest, NotOfACollection) {
  const App camera = device_.Launch(kCamera, view());
  const App gallery = device_.Launch(kGallery, view());
  ASSERT_THAT(camera.MakeDirectory("DCIM/Camera"), Succeeds());
  ASSERT_THAT(camera.Create("DCIM/Camera/a.png", "picture"), Succeeds());
  ASSERT_THAT(camera.Create("DCIM/Trip/.nomedia"), Succeeds());
  for (const char* path :
       {".nomedia", "DCIM/.nomedia", "DCIM/Camera/.nomedia", "DCIM/.NoMedia"}) {
    EXPECT_THAT(camera.Create(path), FailsWith(EPERM)) << path;
    EXPECT_THAT(camera.Rename("DCIM/Trip/.nomedia", path), FailsWith(EPERM))
        << path;
  }
  // Nor one that was there before.
  ASSERT_TRUE(device_.Stop());
  for (const char* path :
       {".nomedia", "DCIM/.nomedia", "DCIM/Camera/.nomedia"}) {
    ASSERT_TRUE(WriteFile(device_.LowerPath(path), ""));
  }
  ASSERT_TRUE(device_.Start());
  const App again = device_.Launch(kGallery, view());
  EXPECT_THAT(again.Read("DCIM/a.png"), Reads("picture"));
  EXPECT_THAT(again.Read("DCIM/Camera/a.png"), Reads("picture"));
  EXPECT_THAT(again.Read("DCIM/Trip/Day/a.png"), FailsWith(EACCES));
}

INSTANTIATE_BOTH_VIEWS(NomediaTest);

}  // namespace
}  // namespace fused::androidtest
