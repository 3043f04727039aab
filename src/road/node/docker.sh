# The server is the container $host of this machine. It is killed, stopped and started by docker, its
# network is broken in its namespace, and its files are those of a directory of this machine.

server() {
  process=$(docker inspect --format '{{.State.Pid}}' "$host" 2>/dev/null)
  [ -z "$process" ] || [ "$process" = 0 ] || docker top "$host" -eo pid | sed 1d | tr -d ' '
}

# A container that was killed by hand is not started again by its restart policy.
bring_down() {
  [ -z "$(server)" ] || docker kill --signal=KILL "$host" >/dev/null || fail "$host cannot be killed"
  tries=0
  while [ -n "$(server)" ]; do
    [ "$tries" -lt 100 ] || fail "$host does not die"
    tries=$((tries + 1))
    sleep 0.1
  done
}

bring_up() {
  [ -n "$(server)" ] || docker start "$host" >/dev/null 9<&-
}

break_pause() { docker pause "$host" >/dev/null || fail "$host cannot be paused"; }

paused() { [ "$(docker inspect --format '{{.State.Paused}}' "$host" 2>/dev/null)" = true ]; }

mend_pause() { another "$id" pause || ! paused || docker unpause "$host" >/dev/null; }

probe_pause() {
  [ -e "$state/F$id" ] || ! another "$id" pause || return 1
  paused
}

# The namespace of a container that does not run is gone with all that was in it.
net() {
  process=$(docker inspect --format '{{.State.Pid}}' "$host") || return 1
  [ "$process" != 0 ] || return 1
  nsenter --target "$process" --net "$@"
}

# What it may have had before is noted, for docker keeps one limit of each kind.
break_throttle() {
  note "cpus=$(docker inspect --format '{{.HostConfig.NanoCpus}}' "$host")"
  docker update --cpus "$(awk "BEGIN { print $cpu / 100 }")" "$host" >/dev/null || fail "cannot limit $host"
}

mend_throttle() {
  docker update --cpus "$(awk "BEGIN { print ${cpus:-0} / 1000000000 }")" "$host" >/dev/null
}

probe_throttle() { differs "${cpus:-0}" '{{.HostConfig.NanoCpus}}'; }

break_memory() {
  note "memory=$(docker inspect --format '{{.HostConfig.Memory}}' "$host")"
  note "swap=$(docker inspect --format '{{.HostConfig.MemorySwap}}' "$host")"
  docker update --memory "${limit_mb}m" --memory-swap "${limit_mb}m" "$host" >/dev/null ||
    fail "cannot limit $host"
}

# Docker knows no limit as 0 where it tells of it, and as -1 where it is told.
mend_memory() {
  [ "${memory:-0}" != 0 ] || memory=-1
  [ "${swap:-0}" != 0 ] || swap=-1
  docker update --memory "$memory" --memory-swap "$swap" "$host" >/dev/null || return 1
  another "$id" $down || bring_up
}

probe_memory() { differs "${memory:-0}" '{{.HostConfig.Memory}}'; }

# Whether the container has another limit than it had before the fault.
differs() {
  [ -e "$state/F$id" ] || return 1
  limit=$(docker inspect --format "$2" "$host") || exit 125
  [ "$limit" != "$1" ]
}

may_look() { :; }

check() {
  docker inspect "$host" >/dev/null || fail "there is no container $host"
  [ -z "$data" ] || [ -d "$data" ] || fail "there is no directory $data on this machine"
}
