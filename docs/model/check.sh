#!/usr/bin/env bash
# Checks the model of delivery with Spin; README.md says what each check means.
#
#   check.sh                          runs every check
#   check.sh trace -DNO_FENCE [-D...] prints the shortest way to a violation
set -euo pipefail

model=delivery.pml
source=$(cd "$(dirname "$0")" && pwd)/$model

for tool in spin gcc; do
  if ! command -v "$tool" >/dev/null; then
    echo "$tool is needed: apt-get install $tool" >&2
    exit 1
  fi
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cp "$source" . # Spin leaves its files beside it.

# search COMPILER_FLAG... -- SWITCH... searches every state and leaves what Spin
# says in the file "out". It needs some 128 MB for its tables, and 4 GB at most.
search() {
  local compiler=()
  while [ "$1" != -- ]; do compiler+=("$1"); shift; done
  shift
  rm -f -- pan* ./*.trail
  spin "$@" -a "$model" >spin.out || { cat spin.out >&2; return 1; }
  gcc -O2 -w -DMEMLIM=4000 "${compiler[@]}" -o pan pan.c
  local options=(-m1000000)
  if [[ " $* " == *" -DLIVENESS "* ]]; then options+=(-a -f); fi
  ./pan "${options[@]}" >out 2>&1 || true
}

report() {
  local states seconds
  states=$(sed -n 's/^ *\([0-9][0-9]*\) states, stored.*/\1/p' out)
  seconds=$(sed -n 's/^pan: elapsed time \([0-9.]*\) seconds/\1/p' out)
  printf '%-58s %9s states %6ss  %s\n' "$1" "$states" "${seconds:-0}" "$2"
}

broken() {
  report "$1" "NOT AS EXPECTED: $2"
  cat out >&2
  exit 1
}

# holds NAME [-D...] fails unless every state was searched, every part of the
# model was in use, and nothing is violated.
holds() {
  local name=$1
  shift
  local flags=(-DSAFETY)
  if [[ " $* " == *" -DLIVENESS "* ]]; then flags=(-DNFAIR=3); fi
  search "${flags[@]}" -- "$@"
  grep -q 'errors: 0$' out || broken "$name" 'something is violated'
  ! grep -Eiq 'not completed|max search depth too small|MEMLIM|out of memory|aborted' out || broken "$name" 'the search is not complete'
  # The claim's search ends where everything is committed.
  if [[ " $* " != *" -DLIVENESS "* ]] && grep -Eq '^[[:space:]]+\([1-9][0-9]* of [0-9]+ states\)' out; then
    broken "$name" 'a part of the model is never in use'
  fi
  report "$name" holds
}

# violates PROPERTY NAME [-D...] fails unless this very property is violated.
violates() {
  local property=$1 name=$2
  shift 2
  local others=()
  for other in S1 S2 S3 S4; do
    if [ "$other" != "$property" ]; then others+=("-D$other=0"); fi
  done
  if [ "$property" = L ]; then
    search -DNFAIR=3 -- "$@" "${others[@]}"
    grep -q 'acceptance cycle' out || broken "$name" 'the mistake was not found'
  else
    search -DSAFETY -- "$@" "${others[@]}"
    grep -q 'assertion violated' out || broken "$name" 'the mistake was not found'
  fi
  report "$name" "violates $property, as it must"
}

if [ "${1-}" = trace ]; then
  shift
  search -DSAFETY -DBFS -- "$@"
  grep -q 'errors: 0$' out && { echo 'nothing is violated'; exit; }
  grep 'violated\|invalid end state' out
  spin "$@" -t "$model" | sed '/^spin: trail ends/,$d; s/^                *//'
  exit
fi

echo 'the protocol'
holds 'some records are refused'
holds 'the cause vanishes once no old write is on its way' -DVANISHES -DSETTLED
holds 'stray commits, whose sender joins again' -DSTRAY_COMMITS -DREJOIN -DCRASHES=1
holds 'everything is committed at last' -DLIVENESS -DLOST=2 -DROWS=3 -DCRASHES=1

echo 'its limits'
violates S3 'window too small' -DWINDOW_TOO_SMALL
violates S3 'the cause vanishes while an old write is on its way' -DVANISHES
violates S3 'a cause appears between a write and its repetition' -DAPPEARS
violates S3 'a range is stored and refused' -DSTORED_YET_REFUSED
violates S4 'stray commits, tried again in the same generation' -DSTRAY_COMMITS
violates S3 'stray commits, tried again in the same generation' -DSTRAY_COMMITS -DROWS=3 -DCRASHES=0
violates L 'every answer is lost, for ever' -DLIVENESS -DROWS=3 -DCRASHES=1

echo 'nothing is lost through its limits'
small=(-DROWS=3 -DCRASHES=1)
holds 'window too small' -DWINDOW_TOO_SMALL -DS3=0 "${small[@]}"
holds 'the cause vanishes while an old write is on its way' -DVANISHES -DS3=0 "${small[@]}"
holds 'a cause appears between a write and its repetition' -DAPPEARS -DS3=0 "${small[@]}"
holds 'a range is stored and refused' -DSTORED_YET_REFUSED -DS1=0 -DS3=0 "${small[@]}"
holds 'stray commits, tried again in the same generation' -DSTRAY_COMMITS -DS3=0 -DS4=0 "${small[@]}"

echo 'mistakes that it must find'
violates S3 'no intent' -DNO_INTENT
violates S3 'no fence' -DNO_FENCE
violates S4 'no fence' -DNO_FENCE
violates S4 'offset before write' -DCOMMIT_FIRST
violates S3 'halves under the old intent' -DHALVES_UNDER_OLD_INTENT -DVANISHES -DSETTLED
violates S3 'resumed without committing the intent again' -DRESUME_UNFENCED -DVANISHES -DSETTLED
violates S3 'no token' -DNO_TOKEN
