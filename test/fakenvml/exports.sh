#!/bin/sh
# Linker version script with the symbols of a driver: all, or those of CUDA header LIMIT and older.
# usage: exports.sh third_party/nvml/nvml_symbols.h [LIMIT]
set -eu
awk -v limit="${2:-9999}" '
BEGIN { print "{ global:" }
match($0, /X\((REQUIRED|OPTIONAL), [0-9]+, /) {
	split($0, f, ", ")
	if (f[2] + 0 <= limit + 0) print "\t" f[4] ";"
}
END { print "local: *; };" }
' "$1"
