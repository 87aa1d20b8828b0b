#include "androidtest/harness/program.h"

#include <cerrno>
#include <cstring>
#include <map>

#include "absl/strings/str_cat.h"

namespace fused::androidtest {
namespace {

std::map<std::string, Program, std::less<>>& Programs() {
  static auto* programs = new std::map<std::string, Program, std::less<>>();
  return *programs;
}

}  // namespace

v1::Reply Done(int64_t value, std::string_view data) {
  v1::Reply reply;
  reply.set_value(value);
  reply.set_data(std::string(data));
  return reply;
}

v1::Reply Failed(std::string_view what) {
  const int error = errno;
  v1::Reply reply;
  reply.set_value(-1);
  reply.set_error(error);
  reply.set_detail(absl::StrCat(what, ": ", strerrordesc_np(error)));
  return reply;
}

v1::Reply Wrong(std::string_view what) {
  v1::Reply reply;
  reply.set_value(-1);
  reply.set_detail(std::string(what));
  return reply;
}

bool RegisterProgram(std::string_view name, Program program) {
  return Programs().emplace(name, program).second;
}

Program FindProgram(std::string_view name) {
  const auto it = Programs().find(name);
  return it == Programs().end() ? nullptr : it->second;
}

}  // namespace fused::androidtest
