#!/usr/bin/env bash
# What is done to the nodes of a lab. It lies beside the lab's data, so that whoever looks after a
# node, by a fault journal or by hand, needs nothing else:
#
#   lab.sh enter NODE COMMAND…    runs a command as the node: its network, its /tmp and its /run
#   lab.sh step NODE NAME         runs a step of the definition: prepare, ready, primary, …
#   lab.sh start NODE             starts the processes that do not run
#   lab.sh kill NODE              SIGKILL to everything in its namespace
#   lab.sh pause|resume NODE      SIGSTOP, SIGCONT to everything in its namespace
#   lab.sh cut ID FROM>TO…        cuts directed links, all at one instant, and sees whether they are cut
#   lab.sh join ID                undoes that cut
#   lab.sh reach                  prints every directed link on which a packet arrives
#   lab.sh inject|probe|undo WHAT a fault whose variables are in the environment: fault (its number),
#                                 node, and what it has besides; within_s arms the timer of the lab
#   lab.sh renew                  puts off the time at which the lab heals itself
#   lab.sh mend                   undoes every fault that was injected and is in force
#
# All but `enter`, `step` and `cut` may be repeated without harm. What is in force is in `faults`, a
# file for each fault and node, written before it is done and removed after it is undone; how a node
# has to be follows from these files alone.
set -u
shopt -s globstar
lab=$(cd "$(dirname "$0")" && pwd)

# The variables of a fault; those of the lab would take the place of some.
options='fault cuts delay_ms jitter_ms loss duplicate reorder rate_kbit offset_ms drift_ppm strobe_ms cpu
  limit_mb file bytes bits'
of_node=${node-}
. "$lab/environment"
. "$lab/faults.sh"

# Sets $node, $index, $address, $home, $data, $namespace and $own_disk.
be() {
  [ -e "$lab/$1/environment" ] || { echo "no node $1; there are: $nodes" >&2; exit 1; }
  . "$lab/$1/environment"
  own_disk=$lab/disks/$1
}

# `ip netns exec` gives each command a mount namespace of its own: what is mounted in it is seen by
# nobody else and is gone with it.
enter() {
  exec ip netns exec "$namespace" sh -c 'mount --bind "$home/tmp" /tmp && mount --bind "$home/run" /run &&
    mount --bind "$lab/hosts" /etc/hosts && cd "$data" && exec "$@"' enter "$@"
}

signal() {
  local processes
  processes=$(ip netns pids "$namespace") || exit 1
  [ -z "$processes" ] || kill "$1" $processes 2>/dev/null || true
}

start() {
  local process name pid
  # A power loss takes what the server has not synced, and not what it was given.
  [ -z "$disk" ] || sync -f "$own_disk"
  for process in "$lab"/processes/*; do
    name=${process##*/}
    pid=$(cat "$home/$name.pid" 2>/dev/null) && ip netns pids "$namespace" | grep -qx "$pid" && continue
    # Nothing forks on the way: the process that is started here is the server's own.
    (join_cgroups && enter setsid sh -u "$process") >>"$home/${name#*-}.log" 2>&1 </dev/null 9>&- &
    echo $! >"$home/$name.pid"
  done
}

kill_all() {
  while [ -n "$(ip netns pids "$namespace")" ]; do
    signal -KILL
    sleep 0.02
  done
}

# How many datagrams each node got for a port where nobody listens, in the order of the nodes.
strays() {
  local one
  for one in $nodes; do
    ip netns exec "$bridge-$one" sed -n 's/^Udp: [0-9]* \([0-9]*\) .*/\1/p' /proc/net/snmp
  done
}

# The first node sends one datagram to each other node, the second two, the third four, …: the sum
# that a node has got says who was heard. Nobody answers, so each direction is seen by itself.
reach() {
  local before after one weight=1 from to got
  before=($(strays))
  for one in $nodes; do
    ip netns exec "$bridge-$one" env from="$one" weight="$weight" bash -c '
      set -- $addresses
      for to in $nodes; do
        [ "$to" = "$from" ] || for ((i = 0; i < weight; i++)); do echo >"/dev/udp/$1/9"; done
        shift
      done' 2>/dev/null
    weight=$((weight * 2))
  done
  after=($(strays))
  to=0
  for one in $nodes; do
    got=$((after[to] - before[to]))
    weight=1
    for from in $nodes; do
      [ "$from" = "$one" ] || [ $((got & weight)) = 0 ] || echo "$from>$one"
      weight=$((weight * 2))
    done
    to=$((to + 1))
  done
}

# The links that no fault cuts.
whole() {
  local from to
  for from in $nodes; do
    for to in $nodes; do
      [ "$from" = "$to" ] || grep -qsxF -e "$from>$to" "$lab"/cuts/* || echo "$from>$to"
    done
  done
}

cut() {
  local id=$1
  shift
  [ $# != 0 ] || return 0
  printf '%s\n' "$@" >"$lab/cuts/$id"
  if [ "$link" = switch ]; then rules || return 1; else cut_bridge "$id" "$@" || return 1; fi
}

cut_bridge() {
  local id=$1 pair elements=''
  shift
  for pair; do
    elements+="${elements:+, }\"$bridge${pair%>*}\" . \"$bridge${pair#*>}\""
  done
  nft -f - <<END
add set bridge $bridge cut$id { type ifname . ifname; }
add chain bridge $bridge cut$id { type filter hook forward priority 0; }
add element bridge $bridge cut$id { $elements }
add rule bridge $bridge cut$id iifname . oifname @cut$id drop
END
}

# Sends packets on every link. Where packets are lost, late or doubled by another fault, their numbers
# say less: then only a packet is sought that should not have come, from one node at a time.
is_cut() {
  local reached expected pair
  if [ -n "$(in_force packet)" ]; then
    for pair in $(cat "$lab"/cuts/* 2>/dev/null); do
      ! arrives "${pair%>*}" "${pair#*>}" || { echo "a packet arrives on $pair" >&2; return 1; }
    done
    return 0
  fi
  expected=$(whole | sort)
  # On a busy machine a datagram may come after it was counted.
  for _ in 1 2 3 4 5; do
    reached=$(reach | sort)
    [ "$reached" != "$expected" ] || return 0
  done
  echo "the cut is not as it should be; packets arrive on:" $reached >&2
  echo "expected:" $expected >&2
  return 1
}

# Adding what may be there already makes the deletion right in both cases; it is one transaction.
join() {
  if [ "$link" = switch ]; then
    rm -f "$lab/cuts/$1"
    rules
    return
  fi
  nft -f - <<END || return 1
add table bridge $bridge
add set bridge $bridge cut$1 { type ifname . ifname; }
add chain bridge $bridge cut$1 { type filter hook forward priority 0; }
flush chain bridge $bridge cut$1
delete chain bridge $bridge cut$1
delete set bridge $bridge cut$1
END
  rm -f "$lab/cuts/$1"
}

# One thing at a time: whoever heals may not meet who injects. What is started must let go of it (9>&-).
locked() {
  exec 9>"$lab/lock"
  flock 9
}

action=$1
shift
case $action in
  enter) be "$1" && shift && enter "$@" ;;
  step) be "$1" && enter timeout "${3:-10}" sh -u "$lab/steps/$2" ;;
  start) be "$1" && start ;;
  kill) be "$1" && kill_all ;;
  pause) be "$1" && signal -STOP ;;
  resume) be "$1" && signal -CONT ;;
  cut) locked && cut "$@" && is_cut ;;
  join) locked && join "$1" ;;
  reach) reach ;;
  inject) locked && inject "$1" ;;
  probe) locked && probe "$1" ;;
  undo) locked && undo "$1" ;;
  renew) locked && renew ;;
  mend) locked && mend ;;
  cgroups) be "$1" && make_cgroups ;;
  no-cgroups) be "$1" && remove_cgroups ;;
  disks) make_disks ;;
  no-disks) remove_disks ;;
  disk) be "$1" && make_disk ;;
  no-disk) be "$1" && remove_disk ;;
  no-helpers) no_helpers ;;
  *) echo "unknown action $action" >&2 && exit 1 ;;
esac
