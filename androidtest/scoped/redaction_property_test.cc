// No byte of a location is ever read by who may not see it: by any mix of ways
// to read, while the file is written, and as it is written anew between opens.
//
// Nothing in these files but the location has the byte 0xa7, and nothing in the
// location has another, so that one byte is enough to see.
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/program.h"
#include "androidtest/scoped/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using Random = std::mt19937_64;

constexpr char kSecret = '\xa7';

size_t Below(Random& random, size_t most) { return random() % most; }

std::string Big(uint64_t number, int width) {
  std::string bytes;
  while (width-- > 0) bytes += static_cast<char>(number >> (8 * width));
  return bytes;
}

// What is no secret.
std::string Filler(Random& random, size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>('a' + Below(random, 20));
  return bytes;
}

struct Picture {
  std::string content;
  size_t secret = 0;
  size_t secret_size = 0;
};

// Exif with a GPS directory of one value, which is the secret.
Picture Jpeg(Random& random, size_t secret) {
  Picture picture;
  picture.content = "\xff\xd8";
  for (size_t left = Below(random, 4); left > 0; --left) {
    const std::string comment = Filler(random, Below(random, 30000));
    picture.content +=
        absl::StrCat("\xff\xfe", Big(comment.size() + 2, 2), comment);
  }
  const std::string tiff = absl::StrCat(
      "MM", Big(42, 2), Big(8, 4), Big(1, 2), Big(0x8825, 2), Big(4, 2),
      Big(1, 4), Big(26, 4), Big(0, 4), Big(1, 2), Big(27, 2), Big(7, 2),
      Big(secret, 4), Big(44, 4), Big(0, 4));
  picture.content +=
      absl::StrCat("\xff\xe1", Big(2 + 6 + tiff.size() + secret, 2),
                   std::string_view("Exif\0\0", 6), tiff);
  picture.secret = picture.content.size();
  picture.secret_size = secret;
  picture.content +=
      absl::StrCat(std::string(secret, kSecret), "\xff\xda", Big(2, 2),
                   Filler(random, Below(random, 200000)), "\xff\xd9");
  return picture;
}

// A film, under whatever name, with its place before or behind its frames.
Picture Film(Random& random, size_t secret) {
  Picture picture;
  const std::string frames = Filler(random, Below(random, 200000));
  const std::string mdat =
      absl::StrCat(Big(8 + frames.size(), 4), "mdat", frames);
  const bool behind = Below(random, 2) == 0;
  picture.content =
      absl::StrCat(Big(16, 4), "ftypmp42", Big(0, 4), behind ? mdat : "",
                   Big(24 + secret, 4), "moov", Big(16 + secret, 4), "udta",
                   Big(8 + secret, 4), "loci");
  picture.secret = picture.content.size();
  picture.secret_size = secret;
  picture.content += std::string(secret, kSecret);
  if (!behind) picture.content += mdat;
  return picture;
}

Picture Draw(Random& random) {
  while (true) {
    const size_t secret = 5 + Below(random, Below(random, 2) == 0 ? 30 : 30000);
    Picture picture =
        Below(random, 2) == 0 ? Jpeg(random, secret) : Film(random, secret);
    // A length may have the byte too.
    if (std::count(picture.content.begin(), picture.content.end(), kSecret) ==
        static_cast<int64_t>(secret)) {
      return picture;
    }
  }
}

bool PutAll(int fd, std::string_view bytes, size_t at) {
  return pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at)) ==
         static_cast<ssize_t>(bytes.size());
}

// Writes one picture over another in place. The secret is there only while the
// file says that it is one: what an editor writes before the table that tells
// of it, nobody can know.
bool Rewrite(int fd, Picture& now, const Picture& next, Random& random) {
  const std::string nothing(now.secret_size, '\0');
  const std::string secret(next.secret_size, kSecret);
  std::string public_part = next.content;
  std::fill_n(public_part.begin() + static_cast<int64_t>(next.secret),
              next.secret_size, '\0');
  if (!PutAll(fd, nothing, now.secret)) return false;
  if (ftruncate(fd, static_cast<off_t>(next.content.size())) != 0) return false;
  if (!PutAll(fd, public_part, 0)) return false;
  if (Below(random, 2) == 0) {
    void* const map = mmap(nullptr, next.content.size(), PROT_READ | PROT_WRITE,
                           MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) return false;
    memcpy(static_cast<char*>(map) + next.secret, secret.data(), secret.size());
    munmap(map, next.content.size());
  } else if (!PutAll(fd, secret, next.secret)) {
    return false;
  }
  now = next;
  return true;
}

bool Replace(const std::string& path, const Picture& next) {
  const std::string fresh = path + ".new.jpg";
  const Descriptor fd(
      open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  return fd.get() >= 0 && PutAll(fd.get(), next.content, 0) &&
         rename(fresh.c_str(), path.c_str()) == 0;
}

// PATH SEED COUNT: gives the file COUNT pictures, one after another.
APP_PROGRAM(WriteAgainAndAgain) {
  uint64_t seed = 0;
  int count = 0;
  if (arguments.size() != 3 || !absl::SimpleAtoi(arguments[1], &seed) ||
      !absl::SimpleAtoi(arguments[2], &count)) {
    return Wrong("PATH SEED COUNT");
  }
  Random random(seed);
  Picture now;
  for (int i = 0; i < count;) {
    if (now.content.empty() || Below(random, 4) == 0) {
      now = Draw(random);
      if (!Replace(arguments[0], now)) return Failed("replace");
      ++i;
    }
    const Descriptor fd(open(arguments[0].c_str(), O_RDWR | O_CLOEXEC));
    if (fd.get() < 0) return Failed("open");
    for (size_t more = Below(random, 4); more > 0; --more, ++i) {
      if (!Rewrite(fd.get(), now, Draw(random), random)) return Failed("write");
    }
  }
  return Done(count);
}

// One way to read some of a file; what of it was read is appended, up to the
// size of the buffer. errno where it failed.
using Read = bool (*)(int fd, off_t at, size_t size, std::string& out);

bool ByPread(int fd, off_t at, size_t size, std::string& out) {
  out.resize(size);
  const ssize_t got = pread(fd, out.data(), size, at);
  out.resize(std::max<ssize_t>(got, 0));
  return got >= 0;
}

bool ByVectors(int fd, off_t at, size_t size, std::string& out) {
  out.resize(size);
  const size_t first = size / 3;
  const std::array<iovec, 3> parts = {
      iovec{out.data(), first}, iovec{out.data() + first, 1},
      iovec{out.data() + first + 1, size - first - 1}};
  const ssize_t got = preadv(fd, parts.data(), 3, at);
  out.resize(std::max<ssize_t>(got, 0));
  return got >= 0;
}

bool ByMapping(int fd, off_t at, size_t size, std::string& out, int kind) {
  struct stat stat = {};
  if (fstat(fd, &stat) != 0) return false;
  const off_t from = at & ~off_t{4095};
  if (from >= stat.st_size) return true;
  const size_t length = std::min<size_t>(size, stat.st_size - from);
  void* const map = mmap(nullptr, length, PROT_READ, kind, fd, from);
  if (map == MAP_FAILED) return false;
  // Not touched by this process but read by the kernel, which minds a page that
  // was cut off.
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return false;
  const Descriptor from_pipe(ends[0]);
  const Descriptor to_pipe(ends[1]);
  for (size_t done = 0; done < length;) {
    const ssize_t put = write(to_pipe.get(), static_cast<char*>(map) + done,
                              std::min<size_t>(4096, length - done));
    if (put <= 0) break;
    const size_t begin = out.size();
    out.resize(begin + put);
    if (read(from_pipe.get(), out.data() + begin, put) != put) break;
    done += put;
  }
  munmap(map, length);
  return true;
}

bool ByPrivateMapping(int fd, off_t at, size_t size, std::string& out) {
  return ByMapping(fd, at, size, out, MAP_PRIVATE);
}
bool BySharedMapping(int fd, off_t at, size_t size, std::string& out) {
  return ByMapping(fd, at, size, out, MAP_SHARED);
}

bool Emptied(int fd, std::string& out) {
  const off_t size = lseek(fd, 0, SEEK_END);
  out.resize(std::max<off_t>(size, 0));
  return size < 0 || pread(fd, out.data(), out.size(), 0) == size;
}

bool BySplice(int fd, off_t at, size_t size, std::string& out) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  const Descriptor from(ends[0]);
  const Descriptor to(ends[1]);
  loff_t offset = at;
  const ssize_t moved =
      splice(fd, &offset, to.get(), nullptr, std::min<size_t>(size, 32768), 0);
  if (moved <= 0) return moved == 0;
  out.resize(moved);
  return read(from.get(), out.data(), moved) == moved;
}

bool BySendfile(int fd, off_t at, size_t size, std::string& out) {
  const Descriptor to(memfd_create("to", MFD_CLOEXEC));
  return sendfile(to.get(), fd, &at, size) >= 0 && Emptied(to.get(), out);
}

// Into a file of another file system: the kernel copies what it reads.
bool ByCopying(int fd, off_t at, size_t size, std::string& out) {
  const Descriptor to(memfd_create("to", MFD_CLOEXEC));
  loff_t offset = at;
  const ssize_t copied =
      copy_file_range(fd, &offset, to.get(), nullptr, size, 0);
  if (copied < 0) return errno == EXDEV || errno == EINVAL;
  return Emptied(to.get(), out);
}

// One for all readings: the kernel takes its time to give a ring back.
io_uring* Ring() {
  static io_uring ring;
  static const int error = io_uring_queue_init(2, &ring, 0);
  errno = -error;
  return error == 0 ? &ring : nullptr;
}

bool ByUring(int fd, off_t at, size_t size, std::string& out) {
  io_uring* const ring = Ring();
  if (ring == nullptr) return false;
  out.resize(size);
  io_uring_sqe* const entry = io_uring_get_sqe(ring);
  io_uring_prep_read(entry, fd, out.data(), size, at);
  io_uring_submit(ring);
  io_uring_cqe* event = nullptr;
  int got = io_uring_wait_cqe(ring, &event);
  if (got == 0) {
    got = event->res;
    io_uring_cqe_seen(ring, event);
  }
  out.resize(std::max(got, 0));
  errno = got < 0 ? -got : 0;
  return got >= 0;
}

struct Way {
  const char* name;
  Read read;
};
constexpr Way kWays[] = {
    {"pread", ByPread},
    {"preadv", ByVectors},
    {"private mapping", ByPrivateMapping},
    {"shared mapping", BySharedMapping},
    {"splice", BySplice},
    {"sendfile", BySendfile},
    {"copy_file_range", ByCopying},
    {"io_uring", ByUring},
};

// Some reads of one open file; empty, or what was wrong.
std::string ReadSome(int fd, Random& random, int& readings) {
  struct stat stat = {};
  if (fstat(fd, &stat) != 0) return "fstat";
  for (size_t left = 1 + Below(random, 6); left > 0; --left) {
    const Way& way = kWays[Below(random, std::size(kWays))];
    const auto at = static_cast<off_t>(
        Below(random, static_cast<size_t>(stat.st_size) + 1));
    const size_t size =
        4 + Below(random, Below(random, 3) == 0 ? 300000 : 5000);
    std::string got;
    errno = 0;
    const bool read = way.read(fd, at, size, got);
    // A file that does not rest is refused; O_DIRECT wants all aligned.
    if (!read && errno != EACCES && errno != EINVAL) {
      return absl::StrCat(way.name, ": ", strerror(errno));
    }
    if (got.find(kSecret) != got.npos) {
      return absl::StrCat(way.name, " shows the secret at ",
                          static_cast<size_t>(at) + got.find(kSecret));
    }
    if (read && !got.empty()) ++readings;
  }
  return "";
}

// PATH SEED COUNT: opens and reads; returns how many readings had bytes.
APP_PROGRAM(LookForTheSecret) {
  uint64_t seed = 0;
  int count = 0;
  if (arguments.size() < 3 || !absl::SimpleAtoi(arguments[1], &seed) ||
      !absl::SimpleAtoi(arguments[2], &count)) {
    return Wrong("PATH SEED COUNT");
  }
  Random random(seed);
  int readings = 0;
  for (int i = 0; i < count; ++i) {
    const int direct = Below(random, 4) == 0 ? O_DIRECT : 0;
    const Descriptor fd(
        open(arguments[0].c_str(), O_RDONLY | O_CLOEXEC | direct));
    if (fd.get() < 0) {
      if (errno == EACCES) continue;
      return Failed("open");
    }
    const std::string wrong = ReadSome(fd.get(), random, readings);
    if (!wrong.empty()) return Wrong(wrong);
  }
  return Done(readings);
}

class SecretTest : public ScopedTest {
 protected:
  void SetUp() override {
    ScopedTest::SetUp();
    if (IsSkipped()) return;
    path_ = Place("Pictures") + "/a.jpg";
  }

  Outcome Write(uint64_t seed, int count) {
    return As(kCamera).Run("WriteAgainAndAgain", Task(kCamera, seed, count));
  }
  Arguments Task(const char* app, uint64_t seed, int count) {
    return {As(app).At(path_), absl::StrCat(seed), absl::StrCat(count)};
  }

  std::string path_;
};

// The test can see what it looks for.
TEST_P(SecretTest, IsSeenByWhoMay) {
  ASSERT_THAT(Write(1, 1), Succeeds());
  ASSERT_TRUE(device().Sync());
  const Outcome seen =
      As(kGallery).Run("LookForTheSecret", Task(kGallery, 1, 1000));
  EXPECT_THAT(seen, Fails());
  EXPECT_THAT(seen.detail, testing::HasSubstr("shows the secret"));
}

TEST_P(SecretTest, IsNeverReadBetweenRewrites) {
  const int rounds = IsLong() ? 2000 : 60;
  int64_t readings = 0;
  for (int i = 0; i < rounds; ++i) {
    ASSERT_THAT(Write(i, 1 + i % 3), Succeeds()) << i;
    const Outcome outcome =
        As(kBlind).Run("LookForTheSecret", Task(kBlind, i, 4));
    ASSERT_THAT(outcome, Succeeds()) << i;
    readings += outcome.value;
  }
  EXPECT_GT(readings, rounds * 4);
}

TEST_P(SecretTest, IsNeverReadWhileItIsWritten) {
  const int count = IsLong() ? 20'000 : 400;
  ASSERT_THAT(Write(7, 1), Succeeds());
  ASSERT_TRUE(device().Sync());
  const App& writer = As(kCamera);
  const App& reader = As(kBlind);
  const App& other = In(other_view(), kBlind);
  writer.Begin("WriteAgainAndAgain", Task(kCamera, 8, count));
  Arguments task = Task(kBlind, 9, count);
  reader.Begin("LookForTheSecret", task);
  task[0] = other.At(path_);
  task[1] = "10";
  other.Begin("LookForTheSecret", task);
  EXPECT_THAT(writer.Finish(), Succeeds());
  for (const App* app : {&reader, &other}) {
    const Outcome outcome = app->Finish();
    EXPECT_THAT(outcome, Succeeds());
    EXPECT_GT(outcome.value, 0);
  }
}

INSTANTIATE_BOTH_VIEWS(SecretTest);

}  // namespace
}  // namespace fused::androidtest
