#include "libs/fhe/ckks/encoder.h"

#include <bit>
#include <cmath>
#include <numbers>

#include <absl/strings/str_cat.h>

#include "libs/fhe/fault.h"

namespace alcove::fhe {

absl::StatusOr<CkksEncoder> CkksEncoder::Create(std::shared_ptr<const Context> context) {
  if (context->parameters().scheme != Scheme::kCkks) return FaultError(Fault::kUnknownScheme, "not a CKKS context");
  return CkksEncoder(std::move(context));
}

CkksEncoder::CkksEncoder(std::shared_ptr<const Context> context)
    : context_(std::move(context)), root_(context_->degree()), position_(context_->degree()) {
  const size_t n = context_->degree();
  const int log_degree = static_cast<int>(std::bit_width(n)) - 1;
  for (size_t i = 0; i < n; ++i) {
    const double angle = std::numbers::pi * static_cast<double>(ReverseBits(i, log_degree)) / static_cast<double>(n);
    root_[i] = {std::cos(angle), std::sin(angle)};
  }
  size_t power = 1;
  for (size_t i = 0; i < n / 2; ++i) {
    position_[i] = static_cast<uint32_t>(ReverseBits((power - 1) / 2, log_degree));
    position_[n / 2 + i] = static_cast<uint32_t>(ReverseBits((2 * n - power - 1) / 2, log_degree));
    power = power * 3 % (2 * n);
  }
}

absl::StatusOr<CkksPlaintext> CkksEncoder::Encode(absl::Span<const std::complex<double>> values, double scale,
                                                  size_t rows) const {
  const size_t n = context_->degree();
  if (values.size() > slots()) {
    return absl::InvalidArgumentError(absl::StrCat(values.size(), " values in ", slots(), " slots"));
  }
  if (rows < 1 || rows > context_->data_rows()) {
    return absl::InvalidArgumentError(absl::StrCat("no level of ", rows, " primes"));
  }
  if (!(std::isnormal(scale) && scale > 0)) return FaultError(Fault::kBadScale, "a scale is positive and normal");
  std::vector<std::complex<double>> a(n);
  for (size_t i = 0; i < values.size(); ++i) {
    a[position_[i]] = values[i];
    a[position_[n / 2 + i]] = std::conj(values[i]);
  }
  // The inverse of the negacyclic transform over the complex numbers (Gentleman-Sande), with conjugated twiddles.
  for (size_t half = 1, groups = n / 2; groups >= 1; half *= 2, groups /= 2) {
    for (size_t g = 0; g < groups; ++g) {
      const std::complex<double> w = std::conj(root_[groups + g]);
      for (size_t j = g * 2 * half; j < g * 2 * half + half; ++j) {
        const std::complex<double> sum = a[j] + a[j + half];
        a[j + half] = (a[j] - a[j + half]) * w;
        a[j] = sum;
      }
    }
  }
  double bits = -1;
  for (size_t j = 0; j < rows; ++j) bits += std::log2(static_cast<double>(context_->modulus(j).value()));
  const double limit = std::exp2(std::min(bits, 62.0));
  const double factor = scale / static_cast<double>(n);
  CoeffPoly out(rows, n);
  for (size_t i = 0; i < n; ++i) {
    const double scaled = std::round(a[i].real() * factor);
    if (!(std::abs(scaled) < limit)) return absl::OutOfRangeError("an encoded coefficient does not fit the primes");
    const int64_t v = static_cast<int64_t>(scaled);
    for (size_t j = 0; j < rows; ++j) out.Row(j)[i] = context_->modulus(j).FromSigned(v);
  }
  return CkksPlaintext{context_->ToEval(std::move(out)), scale};
}

absl::StatusOr<CkksPlaintext> CkksEncoder::Encode(absl::Span<const double> values, double scale, size_t rows) const {
  return Encode(std::vector<std::complex<double>>(values.begin(), values.end()), scale, rows);
}

std::vector<std::complex<double>> CkksEncoder::Decode(const CkksPlaintext& plain) const {
  const size_t n = context_->degree();
  const size_t rows = plain.poly.rows();
  const CoeffPoly coefficients = context_->ToCoeff(plain.poly);
  // Mixed radix with centred digits: x = a_0 + q_0 (a_1 + q_1 (a_2 + …)), so that small numbers have no upper digits
  // and lose nothing as doubles.
  std::vector<std::vector<ShoupWord>> inverse(rows);
  for (size_t j = 0; j < rows; ++j) {
    const Modulus& q = context_->modulus(j);
    for (size_t k = 0; k < j; ++k) inverse[j].push_back(q.Shoup(q.Inverse(q.Reduce(context_->modulus(k).value()))));
  }
  std::vector<std::complex<double>> a(n);
  std::vector<int64_t> digits(rows);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < rows; ++j) {
      const Modulus& q = context_->modulus(j);
      uint64_t x = coefficients.Row(j)[i];
      for (size_t k = 0; k < j; ++k) x = q.Mul(q.Sub(x, q.FromSigned(digits[k])), inverse[j][k]);
      digits[j] = static_cast<int64_t>(x) - static_cast<int64_t>(x > q.value() / 2 ? q.value() : 0);
    }
    double value = 0;
    for (size_t j = rows; j-- > 0;) {
      value = value * static_cast<double>(context_->modulus(j).value()) + static_cast<double>(digits[j]);
    }
    a[i] = value / plain.scale;
  }
  for (size_t half = n / 2, groups = 1; half >= 1; half /= 2, groups *= 2) {
    for (size_t g = 0; g < groups; ++g) {
      const std::complex<double> w = root_[groups + g];
      for (size_t j = g * 2 * half; j < g * 2 * half + half; ++j) {
        const std::complex<double> product = a[j + half] * w;
        a[j + half] = a[j] - product;
        a[j] += product;
      }
    }
  }
  std::vector<std::complex<double>> out(slots());
  for (size_t i = 0; i < out.size(); ++i) out[i] = a[position_[i]];
  return out;
}

absl::StatusOr<CkksPlaintext> CkksFromWire(const Context& context, const Plaintext& wire) {
  const size_t rows = context.parameters().PrimesAt(wire.parms_id);
  if (rows == 0) return FaultError(Fault::kParmsIdMismatch, "not a level of these parameters");
  if (rows > context.data_rows()) return FaultError(Fault::kWrongLevel, "at the key level");
  if (wire.words.size() != rows * context.degree()) return FaultError(Fault::kCountMismatch, "wrong number of words");
  CkksPlaintext out{EvalPoly(rows, context.degree()), wire.scale};
  std::copy(wire.words.begin(), wire.words.end(), out.poly.words().begin());
  return out;
}

Plaintext ToWire(const Context& context, const CkksPlaintext& plain) {
  Plaintext out;
  out.parms_id = context.parameters().IdAt(plain.poly.rows());
  out.scale = plain.scale;
  out.words.assign(plain.poly.words().begin(), plain.poly.words().end());
  return out;
}

}  // namespace alcove::fhe
