#!/bin/sh
# What is done on a node. It is sent over the road each time, behind a preamble of variables that says
# which run and node this is, how the server is started and found, and what the fault is about:
#
#   inject KIND ID   breaks the node; its undo and a timer are there before
#   undo KIND ID     mends that, whatever is left of it; may be repeated without harm
#   probe KIND ID    0 if the fault is in force, 1 if not, 125 if that cannot be told
#   renew            puts off the time at which the timer mends everything
#   send             sends datagrams to the addresses in $to, for the probe of a partition
#   count ID         how many of them a partition has dropped, of each peer
#   heal_all         undoes what any run has left on the node, and prints what that was
#   check            whether a node can be broken at all
#   watch            the timer
#
# What there is to undo lies in a directory of the run and the node, and nowhere else:
#   node.sh   this script, for the timer        deadline   in seconds of the monotonic clock
#   watch     the process id of the timer       F3         the fault 3: its kind, and what it changed
set -u
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

fail() {
  echo "$node: $*" >&2
  exit 125
}

root=/run
[ -w /run ] || root=${XDG_RUNTIME_DIR:-/tmp}
state=$root/rashomon/$run/$node

now() {
  read -r uptime _ </proc/uptime
  echo "${uptime%.*}"
}

# One action at a time. The lock is one of a directory that stays, so nobody can hold an old one; the
# kernel takes it back from whoever dies.
lock() {
  exec 9<"$root"
  flock -w 25 9 || fail "another action on the node takes too long"
}

put_off() {
  # It begins early, for undoing takes time.
  margin=2
  [ "$within_s" -gt 4 ] || margin=1
  echo $(($(now) + within_s - margin)) >"$state/deadline.$$"
  mv "$state/deadline.$$" "$state/deadline"
}

watched() {
  [ -s "$state/watch" ] && read -r watch <"$state/watch" &&
    tr '\0' ' ' <"/proc/$watch/cmdline" 2>/dev/null | grep -qF "$state/node.sh watch"
}

# Makes sure that the timer runs.
arm() {
  (umask 077 && mkdir -p "$state" && printf '%s\n' "$script" >"$state/node.sh.new") ||
    fail "cannot write into $state"
  mv "$state/node.sh.new" "$state/node.sh"
  put_off
  watched && return
  rm -f "$state/watch"
  if [ "$(cat /proc/1/comm)" = systemd ] && command -v systemd-run >/dev/null; then
    # What the timer starts again must not die with it.
    systemd-run --quiet --collect --unit="rashomon-$run-$node-$(now)" --property=KillMode=process \
      sh "$state/node.sh" watch 9<&-
  else
    setsid nohup sh "$state/node.sh" watch >/dev/null 2>&1 </dev/null 9<&- &
  fi
  tries=0
  until watched; do
    [ "$tries" -lt 100 ] || fail "the timer does not start, so nothing is broken"
    tries=$((tries + 1))
    sleep 0.05
  done
}

faults() {
  for file in "$state"/F*; do
    [ ! -e "$file" ] || echo "${file##*/F}"
  done
}

# Whether another fault than that of this number is of one of these kinds.
another() {
  except=$1
  shift
  for other in $(faults); do
    [ "$other" = "$except" ] && continue
    read -r one <"$state/F$other"
    for wanted in "$@"; do
      [ "$one" != "kind=$wanted" ] || return 0
    done
  done
  return 1
}

# When nothing is broken nothing is left.
leave() {
  [ -z "$(faults)" ] || return 0
  if watched && [ "$watch" != $$ ]; then
    kill "$watch" 2>/dev/null
  fi
  rm -rf "$state"
  rmdir "$root/rashomon/$run" "$root/rashomon" 2>/dev/null
  return 0
}

# Undoes everything when the deadline has passed. An undo that fails is tried again for a while; then
# it is left to `rashomon heal`.
watch() {
  echo $$ >"$state/watch"
  tries=0
  while read -r deadline <"$state/deadline"; do
    if [ "$(now)" -ge "$deadline" ]; then
      # A process of its own, so that a failure ends that and not the timer.
      sh "$state/node.sh" heal
      tries=$((tries + 1))
      [ "$tries" -lt 60 ] || exit 1
    elif another none disk-full; then
      sh "$state/node.sh" refill
    fi
    sleep 0.5
  done 2>/dev/null
}

heal() {
  lock
  # It may have been undone or renewed while this waited. Who renews looks for the mark after that.
  [ -e "$state/deadline" ] && : >"$state/healing" && read -r deadline <"$state/deadline" || exit 0
  [ "$(now)" -ge "$deadline" ] || { rm -f "$state/healing" && exit 0; }
  failed=0
  for id in $(faults | sort -rn); do
    (. "$state/F$id" && mend "$kind" "$id") || failed=1
  done
  leave
  exit "$failed"
}

# Of which node a script of that name is: what stands before it there are variables.
whose() {
  (eval "$(sed '/^#!/,$d' "$1")" && echo "$host $port ${context-} ${namespace-}")
}

# What the timers would do, at once: for each run its time has come.
heal_all() {
  may_look
  own="$host $port ${context-} ${namespace-}" failed=0
  for there in "$root"/rashomon/*/*; do
    [ -O "$there/node.sh" ] && [ "$(whose "$there/node.sh")" = "$own" ] || continue
    broken=$(cat "$there"/F* 2>/dev/null | sed -n 's/^kind=//p')
    echo 0 >"$there/deadline"
    sh "$there/node.sh" heal || failed=125
    # Nothing but the faults is left where an undo has failed, or a run goes on and has renewed them.
    left=$(cat "$there"/F* 2>/dev/null | sed -n 's/^kind=//p')
    [ -z "$left" ] || { echo "$node: still there:" $left >&2 && failed=125; }
    [ -n "$left" ] || for kind in $broken; do echo "$kind"; done
  done
  exit "$failed"
}

refill() {
  lock
  for id in $(faults); do
    read -r one <"$state/F$id"
    [ "$one" != kind=disk-full ] || fill "$id"
  done
}

# Notes what a fault changes, before it does.
note() {
  printf '%s\n' "$1" >>"$state/F$id"
}

inject() {
  kind=$1 id=$2
  lock
  arm
  echo "kind=$kind" >"$state/F$id"
  case $kind in
    kill | truncate | bitflip | power-loss)
      bring_down
      [ "$kind" = kill ] || damage
      ;;
    *) "break_$(echo "$kind" | tr - _)" ;;
  esac
}

undo() {
  kind=$1 id=$2
  lock
  [ ! -e "$state/F$id" ] || . "$state/F$id"
  mend "$kind" "$id"
  leave
}

mend() {
  kind=$1 id=$2
  case $kind in
    kill | power-loss) another "$id" $down || bring_up || fail "the server does not start again" ;;
    # What was damaged may stay down: that is for the history to show.
    truncate | bitflip) another "$id" $down || bring_up || true ;;
    *) "mend_$(echo "$kind" | tr - _)" || exit 125 ;;
  esac
  rm -f "$state/F$id"
}

probe() {
  kind=$1 id=$2
  case $kind in
    kill | power-loss)
      [ -e "$state/F$id" ] || ! another "$id" $down || exit 1
      [ -z "$(server)" ]
      ;;
    truncate | bitflip) [ -e "$state/F$id" ] && [ -z "$(server)" ] ;;
    *)
      [ ! -e "$state/F$id" ] || . "$state/F$id"
      "probe_$(echo "$kind" | tr - _)"
      ;;
  esac || exit 1
}

# Waits for nobody: an action may take longer than there is time.
renew() {
  if [ ! -d "$state" ]; then
    case " ${broken-} " in *" $node "*) fail "the node has healed itself" ;; esac
    return 0
  fi
  put_off 2>/dev/null && [ ! -e "$state/healing" ] && watched || fail "the node heals itself"
}

# What root has noted nobody else can see.
may_look() {
  [ "$(id -u)" = 0 ] || fail "needs root; set \`sudo = true\` in [road], or let root log in"
}

check() {
  may_look
  for program in flock setsid stat od awk; do
    command -v "$program" >/dev/null || fail "needs $program"
  done
  [ -z "$data" ] || [ -d "$data" ] || fail "there is no directory $data"
  [ -z "$service" ] || systemctl cat "$service" >/dev/null 2>&1 || fail "there is no unit $service"
}
