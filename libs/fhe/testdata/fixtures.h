// Reads the captured client objects in tests.
#pragma once

#include <fstream>
#include <iterator>
#include <string>

#include "libs/testing/paths.h"

namespace alcove::fhe {

inline std::string Fixture(const std::string& name) {
  std::ifstream in(testing::SourceDir() + "/libs/fhe/testdata/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// The digest `key` of a .golden file, e.g. Golden("node", "expanded").
inline std::string Golden(const std::string& client, const std::string& key) {
  std::ifstream in(testing::SourceDir() + "/libs/fhe/testdata/" + client + ".golden");
  for (std::string name, digest; in >> name >> digest;) {
    if (name == client + "." + key) return digest;
  }
  return "";
}

}  // namespace alcove::fhe
