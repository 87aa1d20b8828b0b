// Makes SourceMaps; for the parser alone.
#ifndef FUSED_POLICY_SOURCE_MAP_H_
#define FUSED_POLICY_SOURCE_MAP_H_

#include <memory>
#include <string_view>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/text_format.h"
#include "policy/parse.h"

namespace fused::policy {

class SourceMapBuilder {
 public:
  SourceMapBuilder(std::string_view file,
                   const google::protobuf::Descriptor& type);
  ~SourceMapBuilder();

  // What the parser fills.
  google::protobuf::TextFormat::ParseInfoTree* tree();

  SourceMap Build() &&;
  // Of input that has no lines.
  SourceMap Binary() const;

 private:
  std::string_view file_;
  std::shared_ptr<SourceMap::Tree> tree_;
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_SOURCE_MAP_H_
