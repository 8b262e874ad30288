// Any bytes as a safetensors file: either an error, or views inside the file whose values can be read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "services/inference/model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove::inference;
  const auto tensors = ParseSafetensors({data, size});
  if (!tensors.ok()) return 0;
  for (const auto& [name, view] : *tensors) {
    if (view.data.data() < data || view.data.data() + view.data.size() > data + size) std::abort();
    if (static_cast<size_t>(view.elements()) * DTypeSize(view.dtype) != view.data.size()) std::abort();
    std::vector<float> values(view.elements());
    (void)CopyAsFloat(view, absl::MakeSpan(values));
  }
  return 0;
}
