#!/usr/bin/env bash
# What a failing run prints must be of use: its command repeats the violation, the smaller one has the steps that matter and
# no others, and a run that ends by a signal tells its seed. A clean driver has no violation, so --violate makes one.
# usage: failing.sh PROGRAM
set -euo pipefail

SIM=$1
STEPS=3,8
# A run that aborts leaves its folder.
TMPDIR=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)/tundra-failing.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

die() {
  echo "failing.sh: $*" >&2
  exit 1
}

# "LAB_LOG=1 sim --seed 5 ..." as it was printed, with our program. Its story is not looked at.
repeat() { # repeat COMMAND
  local args
  read -ra args <<<"${1#*sim }"
  LAB_LOG=1 "$SIM" "${args[@]}" --shrink 0 2>/dev/null
}

violation() { grep -o 'step [0-9]*, after .*' <<<"$1" || die "no violation in: $1"; }

out=$("$SIM" --seed 5 --steps 12 --violate "$STEPS") && die "a violated run ends with status 0"
again=$(sed -n "s/^again, with tundra's log:  //p" <<<"$out")
smaller=$(sed -n 's/^2 of 9 steps matter ([0-9]* tries):  //p' <<<"$out")
[ -n "$again" ] || die "no command that repeats it: $out"
[ -n "$smaller" ] || die "not made smaller, to two steps: $out"

second=$(repeat "$again") && die "it does not repeat: $again"
[ "$(violation "$second")" = "$(violation "$out")" ] || die "$again gives another violation: $second"

[[ $smaller == *" --only $STEPS" ]] || die "other steps than $STEPS are said to matter: $smaller"
out=$(repeat "$smaller") && die "the smaller run does not fail: $smaller"
for step in ${STEPS/,/ }; do
  repeat "${smaller% *} $step" >/dev/null || die "step $step alone is enough, so the other one does not matter"
done

# timeout ends with the signal's status, so what counts is what was said.
out=$(timeout -s ABRT 2 "$SIM" --seed 9 --minutes 60000) || true
grep -qF 'ended; again:  LAB_LOG=1 sim --seed 9 --minutes 60000' <<<"$out" || die "a run that aborts does not tell its seed: $out"
echo "a failing run repeats, is made smaller, and tells its seed when it dies"
