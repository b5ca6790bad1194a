# shellcheck shell=bash
# Up to the next version and back to this one, as docs/upgrade.md says, and up again, with pods running: what the next version writes into
# the ledger, members and kinds of records that this one does not know, is kept, also when this one writes the file anew.
#
# The next version is this tree with another version and build id, a newer minor format, one more member in each record and one more kind
# of record: what this version must be able to come back from. It is built aside; only what differs is compiled again in a second run.
LEDGER=/var/lib/kubelet/plugins/gpu.nvidia.com/ledger
NEXT=$TUNDRA_CACHE/next
MEMBER='"next":{"madeBy":"0.2.0"}' KIND='kept across versions'

# change FILE FROM TO: exactly one place, or the sources have changed under this test.
change() {
  python3 - "$NEXT/$1" "$2" "$3" <<'EOF'
import sys
path, old, new = sys.argv[1:]
text = open(path).read()
if text.count(old) != 1:
    sys.exit(f"{path}: {text.count(old)} times: {old}")
open(path, "w").write(text.replace(old, new))
EOF
}
build_next() {
  mkdir -p "$NEXT"
  # Times of files are kept, so that a second build has little to do; what has gone from the tree is of no account.
  git -C "$TOP" ls-files -z --cached --others --exclude-standard -- '*.c' '*.h' '*.proto' '*.cmake' '*CMakeLists.txt' CMakePresets.json tools |
    tar -C "$TOP" --null --ignore-failed-read -T - -cf - | tar -C "$NEXT" -xf -
  change CMakeLists.txt 'project(tundra VERSION 0.1.0' 'project(tundra VERSION 0.2.0' || return
  change core/journal_format.c 'FORMAT_MINOR = 0' 'FORMAT_MINOR = 1' || return
  change core/journal.c $'\tadd(j, JOURNAL_PUT, key, body, fn, arg);' \
    $'\tadd(j, (enum journal_kind)9, SV("next"), SV("'"$KIND"$'"), NULL, NULL);\n\tadd(j, JOURNAL_PUT, key, body, fn, arg);' || return
  # Only where it is made: a record that an older version has emptied would show.
  change k8s/ledger_record.c $'\tif (!c->unknown || out->full)\n\t\treturn;\n' \
    $'\tif (out->full)\n\t\treturn;\n\tif (!c->unknown) {\n\t\tout->end--;\n\t\tbuf_puts(out, ",\\"next\\":{\\"madeBy\\":\\"0.2.0\\"}}");\n\t\treturn;\n\t}\n' || return
  cd "$NEXT" || return
  [ -f build/release/build.ninja ] || cmake --preset release
  cmake --build --preset release --target tundra tundra-worker tundra-cdi-hook
}
driver_version() { driver_status | jq -r .version; }
state_of() { driver_status | jq -r --arg uid "$1" '[.. | objects | select(.uid? == $uid)][0].state'; }
uid_of() { kn get resourceclaim "$(claim_of "$1")" -o jsonpath='{.metadata.uid}'; }
roll() { # roll TAG VERSION
  "$CLUSTER" helm upgrade "$RELEASE" "$TOP/tools/deploy/chart" -n tundra --reuse-values --set "image.tag=$1" --wait --timeout 100s >/dev/null
  kd rollout status "daemonset/$DAEMONSET" --timeout=90s >&2
  gone() { [ "$(kd get pods -l tundra-component=kubelet-plugin -o json | jq '.items | length')" = 1 ]; }
  eventually 60 "the former instance is gone" gone
  same "version that serves" "$2" "$(driver_version)"
}
# Of the records of a claim, the last one.
record_of() { on_node cat "$LEDGER" | tr -c '[:print:]' '\n' | { grep -F "$1{" || true; } | tail -n 1; }
keeps_record() { grep -qaF "$MEMBER" <<<"$(record_of "$1")" || fail "$2: the record of the claim lost what the next version wrote: $(record_of "$1")"; }
written_anew() { [ -n "$(record_of "$1")" ]; }

restarts=$(driver_restarts)
build_next >"$WORK/build.log" 2>&1 || fail "the next version cannot be built: $(tail -n 5 "$WORK/build.log")"
"$TOP/tools/image" --binaries "$NEXT/build/release/bin" --tag localhost/tundra:next --archive next product >&2
"$CLUSTER" image load "$TUNDRA_CACHE/images/next.tar" >&2
trap 'install_chart >"$WORK/install" 2>&1 || true' EXIT

claim_template one "$(gpu_request 1)"
pod before template=one
running before
id_before=$(container_id before)
roll next 0.2.0
pod made template=one
running made
id_made=$(container_id made)
made=$(uid_of made)
before=$(uid_of before)
keeps_record "$made" "made by the next version"

roll dev 0.1.0
for uid in "$before" "$made"; do same "state of claim $uid after the downgrade" prepared "$(state_of "$uid")"; done
on_node grep -qaF "$KIND" "$LEDGER" || fail "the record of a kind that this version does not know is gone"
pod after template=one
running after
after=$(uid_of after)
# The file is lost: it is written anew from what this version has in memory.
on_node rm "$LEDGER"
eventually 20 "the ledger is written anew" written_anew "$made"
keeps_record "$made" "after this version wrote the file anew"
[ -n "$(record_of "$after")" ] || fail "the ledger written anew lacks a claim"

roll next 0.2.0
for uid in "$before" "$made" "$after"; do same "state of claim $uid after the second upgrade" prepared "$(state_of "$uid")"; done
keeps_record "$made" "after the second upgrade"
# Made here it has the newer format, which the version of the end has to read.
on_node rm "$LEDGER"
eventually 20 "the ledger is written anew" written_anew "$made"
same "format of the file" "tundra-journal 1.1" "$(on_node head -n 1 "$LEDGER" | tr -d '\0' | cut -d' ' -f1,2)"
pod last template=one
running last

roll dev 0.1.0
same "containers that ran all the time" "$id_before $id_made" "$(container_id before) $(container_id made)"
for p in before made after last; do sees_its_gpus "$p"; done
for uid in "$before" "$made" "$after"; do same "state of claim $uid in the end" prepared "$(state_of "$uid")"; done
if driver_log | grep -E 'corrupt=[1-9]|cannot be read'; then fail "the ledger of the next version was not understood"; fi
trap - EXIT
install_chart >"$WORK/install" 2>&1
expect_restarts $(($(driver_restarts) - restarts))
delete_pods before made after last
