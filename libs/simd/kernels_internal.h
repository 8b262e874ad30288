// Each instruction set replaces, in a table filled by the sets below it, the entries it does better.
#pragma once

#include "libs/simd/kernels.h"

namespace alcove::simd {

void FillScalar(Kernels& table);
void FillAvx2(Kernels& table);          // AVX2, FMA, F16C
void FillAvx512(Kernels& table);        // F, DQ, BW, VL
void FillAvx512Vnni(Kernels& table);    // + VNNI
void FillAvx512Bf16(Kernels& table);    // + BF16
void FillAvx512Popcnt(Kernels& table);  // + VPOPCNTDQ

}  // namespace alcove::simd
