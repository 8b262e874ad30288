// Any YAML text either merges into a configuration that prints and loads back, or is refused.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "libs/common/config.h"
#include "libs/common/testdata/sample_config.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  auto config = alcove::DefaultConfig<alcove::testdata::SampleConfig>();
  if (!alcove::MergeConfigYaml(text, "fuzz", config).ok()) return 0;
  config.mutable_http()->mutable_tls()->clear_password();
  auto loaded = alcove::DefaultConfig<alcove::testdata::SampleConfig>();
  const absl::Status reloaded = alcove::MergeConfigYaml(alcove::ConfigToYaml(config), "printed", loaded);
  if (!reloaded.ok()) {
    std::fprintf(stderr, "%s\n%s", reloaded.ToString().c_str(), alcove::ConfigToYaml(config).c_str());
    std::abort();
  }
  if (alcove::ConfigToYaml(loaded) != alcove::ConfigToYaml(config)) std::abort();
  return 0;
}
