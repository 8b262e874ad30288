#pragma once

#include <string>
#include <string_view>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

namespace alcove::gateway {

// The serialized google.protobuf.FileDescriptorSet of every API proto and what it imports, comments included.
std::string_view ApiDescriptorSet();

// A pool of those descriptors, made once. For descriptions and reflection; messages of calls use the generated pool.
const google::protobuf::DescriptorPool& ApiPool();

// The files of the pool in dependency order.
const google::protobuf::FileDescriptorSet& ApiFiles();

// The lines of a raw comment joined by single spaces.
std::string JoinComment(const std::string& raw);

// The comment above an element of ApiPool(), joined; empty when there is none.
template <typename Descriptor>
std::string ApiComment(const Descriptor& element) {
  google::protobuf::SourceLocation location;
  return element.GetSourceLocation(&location) ? JoinComment(location.leading_comments) : std::string();
}

}  // namespace alcove::gateway
