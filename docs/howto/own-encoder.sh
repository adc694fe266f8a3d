#!/bin/sh
# A producer of your own: your ffmpeg command writes the segments, Trailkeep names, verifies, records and purges them.
#
#   own-encoder.sh CHANNEL ROOT BATCHES
#
# SOURCE (an ffmpeg lavfi graph) and TRAILKEEP_FFMPEG (the program) may be set. A batch that fails is recorded and ends
# the script with 1; called again, it goes on with the same batch.
set -eu

channel=$1 root=$2 batches=$3
size=3 seconds=1
source=${SOURCE:-testsrc2=size=320x180:rate=25}

# $1: the JSON document, $2: an expression over it
ask() { printf '%s' "$1" | python3 -c "import json, sys; d = json.load(sys.stdin); print($2)"; }

# Encode the batch beside the channel and move each file to the name that it is to have: no half file is ever there.
encode() {
    work=$(mktemp -d "$root/.encoding.XXXXXX") || return
    "${TRAILKEEP_FFMPEG:-ffmpeg}" -nostdin -v error -f lavfi -i "$source" -t $((size * seconds)) \
        -c:v libx264 -preset ultrafast -pix_fmt yuv420p -force_key_frames "expr:gte(t,n_forced*$seconds)" \
        -f segment -segment_time "$seconds" -initial_offset $((first * seconds)) "$work/%d.ts" && deliver
    status=$?
    rm -rf "$work"
    return $status
}

deliver() {
    number=0
    ask "$started" '"\n".join(d["files"])' | while IFS= read -r file; do
        mkdir -p "$(dirname "$file")" && mv "$work/$number.ts" "$file" || return
        number=$((number + 1))
    done
}

trailkeep session show "$channel" >/dev/null 2>&1 ||
    trailkeep session open "$channel" --root "$root" --batch-size "$size" --segment-seconds "$seconds" \
        --rendition 180p --availability off

while [ "$batches" -gt 0 ]; do
    started=$(trailkeep batch start "$channel" --source "$source" --json)
    first=$(ask "$started" 'd["first_segment"]')
    if ! { encode && trailkeep batch complete "$channel"; }; then
        trailkeep batch fail "$channel" --reason "the encoder did not write the whole batch"
        exit 1
    fi
    trailkeep project
    batches=$((batches - 1))
done
