// Names that others have made, in messages.
#ifndef FUSED_FUSED_SHOWN_TEXT_H_
#define FUSED_FUSED_SHOWN_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace fused {

inline constexpr size_t kMostShown = 1024;

// `text` as a message takes it: UTF-8 of at most kMostShown bytes. One that is
// longer ends in "...", one that is no UTF-8 is escaped as in C.
std::string ShownText(std::string_view text);

}  // namespace fused

#endif  // FUSED_FUSED_SHOWN_TEXT_H_
