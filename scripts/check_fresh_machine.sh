#!/usr/bin/env bash
# Proves that the README's two commands work on a fresh machine: makes a bare Debian 12 root with debootstrap, puts a clean
# clone of this checkout's HEAD into it, and runs there, start to end, what the README says. Prints the time of each step.
# Needs root, about 10 GB of disk and, like the README's commands, Debian's, Python's and npm's package registries; the
# host's settings for reaching them (apt, pip, npm, certificates) are copied in.
#
# usage: scripts/check_fresh_machine.sh [--keep] [--root DIR] [demo|test|all]      (default: all)
set -euo pipefail

keep=0 root= what=all
while [ $# -gt 0 ]; do
  case $1 in
    --keep) keep=1 ;;
    --root) root=$2; shift ;;
    demo | test | all) what=$1 ;;
    -h | --help) sed -n '2,8s/^# \?//p' "$0"; exit 0 ;;
    *) echo "error: unknown argument $1" >&2; exit 2 ;;
  esac
  shift
done
[ "$(id -u)" -eq 0 ] || { echo "error: debootstrap and chroot need root" >&2; exit 1; }
command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap
source=$(cd "$(dirname "$0")/.." && pwd)
[ -n "$root" ] || root=$(mktemp -d /var/tmp/alcove-fresh-XXXXXX)

step() {
  local name=$1 start
  shift
  start=$(date +%s)
  echo "==> $name" >&2
  "$@" || { echo "error: '$name' failed in $root (kept)" >&2; keep=1; exit 1; }
  printf '%-28s %5d s\n' "$name" $(($(date +%s) - start)) | tee -a "$root.times"
}

finish() {
  for place in dev/pts dev proc; do umount -l "$root/$place" 2>/dev/null || true; done
  if [ $keep = 0 ]; then rm -rf "$root"; fi
}
trap finish EXIT

: >"$root.times"
if [ ! -e "$root/etc/debian_version" ]; then
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)
  step "bare Debian 12" debootstrap --variant=minbase bookworm "$root" "$mirror" >/dev/null
fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

# How this host reaches its package registries, and the certificates it trusts for that.
for path in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d /etc/apt/auth.conf.d /etc/apt/keyrings \
  /etc/pip.conf "$HOME/.config/pip" "$HOME/.npmrc" /etc/npmrc /usr/etc/npmrc /etc/resolv.conf /etc/hosts \
  /usr/local/share/ca-certificates; do
  [ -e "$path" ] || continue
  mkdir -p "$root$(dirname "$path")"
  cp -aL "$path" "$root$(dirname "$path")/" 2>/dev/null || true
done
settings=()
while IFS='=' read -r name value; do
  case $name in
    *_proxy | *_PROXY | PIP_* | NPM_CONFIG_* | npm_config_*) settings+=("$name=$value") ;;
    *CERT* | *CA_BUNDLE* | *CAINFO | NODE_EXTRA_CA_CERTS)
      settings+=("$name=$value")
      if [ -e "$value" ]; then
        mkdir -p "$root$(dirname "$value")"
        cp -aL "$value" "$root$(dirname "$value")/" 2>/dev/null || true
      fi ;;
  esac
done < <(env)

git clone --quiet --no-hardlinks "$source" "$root/root/alcove"
inside() { chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "${settings[@]}" bash -c "$1"; }

step "apt-get install make git …" inside "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends make git ca-certificates >/dev/null"
if [ $what != test ]; then
  step "make demo" inside "cd /root/alcove && make demo"
  step "make down" inside "cd /root/alcove && make down"
fi
if [ $what != demo ]; then
  step "make test" inside "cd /root/alcove && make test"
fi
echo "a fresh machine runs the README's commands:"
cat "$root.times"
rm -f "$root.times"
