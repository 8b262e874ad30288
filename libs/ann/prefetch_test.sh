#!/bin/sh
# prefetch_test.sh OBJECT...: the objects of the traversal still hold prefetch instructions.
#
# Nothing but speed tells when they are gone: a compiler may take a function that only prefetches for one without effect
# and remove its calls, and searches then take 1.7 times as long.
set -eu
for object in "$@"; do
  case $object in
    *graph_search.cc.o | *hnsw_search.cc.o)
      found=$(objdump -d --no-show-raw-insn "$object" | grep -c 'prefetch' || true)
      if [ "$found" -eq 0 ]; then
        echo "$object prefetches nothing" >&2
        exit 1
      fi
      echo "$(basename "$object"): $found prefetches"
      ;;
  esac
done
