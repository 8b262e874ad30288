// Kernels for any machine: four lanes through the compiler's vector extension (SSE2, NEON).
#include "services/inference/engine/cpu/kernels.h"

namespace alcove::inference {
namespace {

struct Vec {
  static constexpr size_t kLanes = 4;
  static constexpr size_t kVectorsPerTile = 3;
  static constexpr size_t kRowsPerTile = 4;
  using Lanes = float __attribute__((vector_size(16)));
  using Ints = int32_t __attribute__((vector_size(16)));
  Lanes v;

  static Vec Load(const float* p) {
    Vec x;
    __builtin_memcpy(&x.v, p, sizeof(x.v));
    return x;
  }
  static Vec LoadPartial(const float* p, size_t count) {
    Vec x{};
    __builtin_memcpy(&x.v, p, (count < 4 ? count : 4) * sizeof(float));
    return x;
  }
  static void Store(float* p, Vec x) { __builtin_memcpy(p, &x.v, sizeof(x.v)); }
  static void StorePartial(float* p, Vec x, size_t count) {
    __builtin_memcpy(p, &x.v, (count < 4 ? count : 4) * sizeof(float));
  }
  static Vec Set(float x) { return {Lanes{x, x, x, x}}; }
  static Vec Add(Vec a, Vec b) { return {a.v + b.v}; }
  static Vec Sub(Vec a, Vec b) { return {a.v - b.v}; }
  static Vec Mul(Vec a, Vec b) { return {a.v * b.v}; }
  static Vec Div(Vec a, Vec b) { return {a.v / b.v}; }
  static Vec Fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
  static Vec Min(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
  static Vec Max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
  static Vec Abs(Vec a) { return {reinterpret_cast<Lanes>(reinterpret_cast<Ints>(a.v) & 0x7fffffff)}; }
  // Adding and subtracting 1.5·2^23 rounds to the nearest integer for |a| < 2^22, which Exp2 guarantees.
  static Vec Round(Vec a) { return {(a.v + 12582912.0f) - 12582912.0f}; }
  static Vec MulPow2(Vec a, Vec n) {
    const Ints exponent = (__builtin_convertvector(n.v, Ints) + 127) << 23;
    return {a.v * reinterpret_cast<Lanes>(exponent)};
  }
  static Vec IfNegative(Vec x, Vec yes, Vec no) { return {reinterpret_cast<Ints>(x.v) < 0 ? yes.v : no.v}; }
  static float ReduceAdd(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
  static float ReduceMax(Vec a) {
    const float x = a.v[0] > a.v[1] ? a.v[0] : a.v[1];
    const float y = a.v[2] > a.v[3] ? a.v[2] : a.v[3];
    return x > y ? x : y;
  }
};

#include "services/inference/engine/cpu/kernels.inl"

}  // namespace

const CpuKernels& PortableKernels() {
  static constexpr CpuKernels table = MakeTable("portable");
  return table;
}

}  // namespace alcove::inference
