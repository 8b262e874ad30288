#!/usr/bin/env bash
# Installs the Debian 12 packages Alcove needs, by name. Silent and quick when nothing is missing; uses sudo when it is
# not root.
#
# usage: scripts/install_deps.sh [build|test|bench|lint|fuzz]…     (default: build)
set -euo pipefail

BUILD_PACKAGES=(
  build-essential cmake ninja-build ccache mold pkg-config git ca-certificates curl unzip
  libgrpc++-dev libgrpc-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libprotoc-dev libabsl-dev
  golang-github-grpc-ecosystem-grpc-gateway-dev grpc-proto
  libboost1.81-dev libboost-system1.81-dev libboost-url1.81-dev libnghttp2-dev libsimdjson-dev libssl-dev
  libhiredis-dev libpqxx-dev libpq-dev libsqlite3-dev libyaml-cpp-dev
  libstemmer-dev libutf8proc-dev libxxhash-dev libzstd-dev zlib1g-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  redis-server python3 python3-venv python3-pip jq nodejs npm)
TEST_PACKAGES=(postgresql procps openssl nodejs npm chromium qemu-user)
BENCH_PACKAGES=(nginx-light nghttp2-client haproxy wordnet-base)
LINT_PACKAGES=(clang clang-format clang-tidy nodejs npm)
FUZZ_PACKAGES=(clang libclang-rt-14-dev llvm)

[ -r /etc/debian_version ] || { echo "error: this script knows Debian 12; install the packages it lists by hand" >&2; exit 1; }

wanted=()
for group in "${@:-build}"; do
  case $group in
    build) wanted+=("${BUILD_PACKAGES[@]}") ;;
    test) wanted+=("${TEST_PACKAGES[@]}") ;;
    bench) wanted+=("${BENCH_PACKAGES[@]}") ;;
    lint) wanted+=("${LINT_PACKAGES[@]}") ;;
    fuzz) wanted+=("${FUZZ_PACKAGES[@]}") ;;
    -h | --help) sed -n '2,6s/^# \?//p' "$0"; exit 0 ;;
    *) echo "error: unknown group '$group' (build, test, bench, lint, fuzz)" >&2; exit 2 ;;
  esac
done

missing=()
for package in "${wanted[@]}"; do
  # Node.js from elsewhere brings its own npm, and Debian's package would conflict with it.
  if [ "$package" = npm ] && command -v npm >/dev/null; then continue; fi
  if [ "$package" = nodejs ] && command -v node >/dev/null; then continue; fi
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "error: run as root, or install sudo; missing: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing Debian packages: ${missing[*]}" >&2

# Services must not start by themselves: the suite starts its own Redis and PostgreSQL on private sockets.
policy=/usr/sbin/policy-rc.d
made_policy=0
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
  "${as_root[@]}" chmod +x $policy
  made_policy=1
fi
trap '[ $made_policy -eq 0 ] || "${as_root[@]}" rm -f $policy' EXIT

"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
