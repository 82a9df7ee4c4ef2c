#!/bin/sh
# Init of the emulated boat: loads the camera's driver, shows each whale to the boat's program, replays an encounter
# whose clip and crops shore requests, and sends pending messages.
# Lines with the prefix "boat: " are parsed by `cargo xtask boat`.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev

up() { cut -d' ' -f1 /proc/uptime; }
up_seconds() { cut -d. -f1 /proc/uptime; }
say() { echo "boat: $*"; }
fault() {
  say "fault $*"
  poweroff -f
}

# Where the kernel has no driver for the emulated clock, the time is the one when the emulator was started.
[ "$(date +%s)" -ge "${host_time:-0}" ] || date -s "@$host_time" >/dev/null
say "begun $(uname -r) after $(up) s at $(date +%s)"
while read -r module options; do
  # shellcheck disable=SC2086 # options are words
  insmod "/modules/$module" $options || fault "$module cannot be loaded"
done </modules/order
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2

cd /boat || fault "folder /boat is missing"
say "cameras after $(up) s"
edge cameras
# The lines of trials start with "ok" or "FAILED".
trial /dev/video0 --unplug >/tmp/trial
code=$?
while read -r line; do say "trial $line"; done </tmp/trial
[ $code = 0 ] || fault "flukewatch-edge failed the trial of the camera's driver"

# Shows a whale for $1 seconds of frames, and, if there is a file `unplug`, for as long again after unplugging the
# camera in between.
watch() {
  play
  : >log
  edge run --config edge.toml >health 2>log &
  edge=$!
  tail -n +1 -f log &
  tail=$!
  seen 1 "$1"
  if [ -e unplug ]; then
    say "unplugged after $(up) s"
    echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
    wait $player
    sleep 3
    echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
    play
    say "plugged in after $(up) s"
    seen 2 "$1"
  fi
  kill -TERM $edge
  wait $edge
  code=$?
  kill $player $tail
  wait
  [ $code = 0 ] || fault "flukewatch-edge run exited with $code"
  say "health $(cat health)"
}

# Plays the photos into the camera, which shows a test pattern before.
play() {
  : >played
  player /dev/video1 --loop-at /dev/video0 --seconds 3600 --each 2 ./*.jpg >played &
  player=$!
  until grep -q playing played; do
    kill -0 $player || fault "the player cannot write to the camera"
    sleep 0.2
  done
}

# Waits until the log has the $1th event that the camera is connected, and then $2 seconds.
seen() {
  until [ "$(grep -c 'camera connected' log)" -ge "$1" ]; do
    kill -0 $edge || fault "flukewatch-edge run ended by itself"
    sleep 0.5
  done
  sleep "$2"
}

# Replays an encounter at a camera's pace. Shore requests its clip and its crops meanwhile: the boat stays up until
# shore has both, and everything is identified and acknowledged, for $1 seconds at most.
replay() {
  # The one of the run before may say that nothing is left to do.
  rm -f "$document"
  : >log
  edge run --config edge.toml >health 2>log &
  edge=$!
  tail -n +1 -f log &
  tail=$!
  deadline=$(($(up_seconds) + $1))
  until delivered 2; do
    kill -0 $edge || fault "flukewatch-edge run ended by itself"
    if [ "$(up_seconds)" -ge $deadline ]; then
      say "late: shore has not received everything within $1 s"
      break
    fi
    sleep 2
  done
  kill -TERM $edge
  wait $edge
  code=$?
  kill $tail
  wait
  [ $code = 0 ] || fault "flukewatch-edge run of the replay exited with $code"
  say "replayed $(cat health)"
}

# Whether shore has ended $1 requests of files, and there is nothing left to do.
delivered() {
  [ "$(grep -c 'request of a file ended' log)" -ge "$1" ] &&
    grep -qs '"unidentified": *0,' "$document" &&
    grep -qs '"pending_sightings": *0,' "$document" &&
    grep -qs '"pending_pictures": *0,' "$document"
}

document=/boat/outbox/health.json
seconds=$(cat seconds)
for encounter in encounters/*; do
  cd "/boat/$encounter" || fault "folder $encounter is missing"
  say "watch $encounter after $(up) s"
  watch "$seconds"
done

cd /boat/replay || fault "folder /boat/replay is missing"
say "replay after $(up) s"
replay 600

cd /boat/send || fault "folder /boat/send is missing"
say "send after $(up) s"
edge run --config edge.toml --until-delivered 300 >health
say "sent $(cat health)"
edge outbox --config edge.toml --json >outbox.json
say "outbox $(tr -d '\n' <outbox.json)"
say "ended after $(up) s"
poweroff -f
