# The clock, the processor and the memory of the server.

# The clock of each process of the server, by rashomon itself. A drift or a strobe has a keeper, which
# lets go of the lock.
break_skew() {
  command -v rashomon >/dev/null || fail "skew needs rashomon itself on the node, in PATH"
  processes=$(server)
  [ -n "$processes" ] || fail "there is no server to skew"
  for process in $processes; do
    set -- "--offset=${offset_ms:-0}ms"
    [ "${drift_ppm:-0}" = 0 ] || set -- "$@" "--drift=${drift_ppm}ppm"
    [ "${strobe_ms:-0}" = 0 ] || set -- "$@" "--strobe=${strobe_ms}ms"
    rashomon clock set "$process" "$@" 9<&- || fail "the clock of the server cannot be changed"
  done
}

mend_skew() {
  another "$id" skew && return
  processes=$(server)
  [ -z "$processes" ] || ! command -v rashomon >/dev/null || rashomon clock reset $processes
}

# A strobe is right half of the time.
probe_skew() {
  [ -e "$state/F$id" ] || ! another "$id" skew || return 1
  for _ in 1 2 3 4 5 6 7 8; do
    for process in $(server); do
      case $(rashomon clock show "$process") in *[1-9]*) return 0 ;; esac
    done
    sleep 0.03
  done
  return 1
}

# The hierarchy of a controller of control groups, v2 or v1.
hierarchy() {
  if grep -qsw "$1" /sys/fs/cgroup/cgroup.controllers; then
    echo /sys/fs/cgroup
  elif [ -e "/sys/fs/cgroup/$1/cgroup.procs" ]; then
    echo "/sys/fs/cgroup/$1"
  else
    fail "needs the controller $1 of control groups"
  fi
}

# The group of a process in a hierarchy, as /proc has it.
group_of() {
  if [ "$2" = /sys/fs/cgroup ]; then
    sed -n 's/^0:://p' "/proc/$1/cgroup"
  else
    sed -n "s/^[0-9]*:\(.*,\)\{0,1\}${2##*/}\(,[^:]*\)\{0,1\}:/:/p" "/proc/$1/cgroup" | sed 's/^://'
  fi
}

# Puts the server into a group of its own.
confine() {
  controller=$1
  top=$(hierarchy "$controller") || exit 125
  group=$top/rashomon-$run-$node-$id
  processes=$(server)
  [ -n "$processes" ] || fail "there is no server to confine"
  note "controller=$controller"
  for process in $processes; do
    note "home_$process='$(group_of "$process" "$top")'"
  done
  [ "$top" != /sys/fs/cgroup ] || echo "+$controller" >"$top/cgroup.subtree_control" ||
    fail "cannot use the controller $controller"
  mkdir -p "$group" || fail "cannot make $group"
}

enter() {
  for process in $processes; do
    echo "$process" >"$group/cgroup.procs" || fail "cannot move $process into $group"
  done
}

# Puts whoever is in the group back where it came from, children to where they would have been born.
release() {
  top=$(hierarchy "$1") || return 1
  group=$top/rashomon-$run-$node-$id
  [ -d "$group" ] || return 0
  home=
  tries=0
  while processes=$(cat "$group/cgroup.procs") && [ -n "$processes" ]; do
    for process in $processes; do
      eval "home=\${home_$process-\$home}"
      echo "$process" >"$top${home:-}/cgroup.procs" || echo "$process" >"$top/cgroup.procs"
    done 2>/dev/null
    [ "$tries" -lt 100 ] || return 1
    tries=$((tries + 1))
  done
  # The kernel may take a moment to let go of the dead.
  until rmdir "$group" 2>/dev/null; do
    [ "$tries" -lt 100 ] || return 1
    tries=$((tries + 1))
    sleep 0.05
  done
}

confined() {
  top=$(hierarchy "$1") || exit 125
  [ -n "$(cat "$top/rashomon-$run-$node-$id/cgroup.procs" 2>/dev/null)" ]
}

# Processor time in hundredths of one processor.
break_throttle() {
  confine cpu
  if [ -e "$group/cpu.max" ]; then
    echo "$((cpu * 1000)) 100000" >"$group/cpu.max"
  else
    echo 100000 >"$group/cpu.cfs_period_us" && echo "$((cpu * 1000))" >"$group/cpu.cfs_quota_us"
  fi || fail "cannot limit the processor time"
  enter
}

mend_throttle() { release cpu; }
probe_throttle() { confined cpu; }

break_memory() {
  confine memory
  enter
  bytes=$((limit_mb * 1048576))
  if [ -e "$group/memory.max" ]; then
    echo "$bytes" >"$group/memory.max"
  else
    # Of the first version the limit counts what is asked for from now on.
    echo "$bytes" >"$group/memory.limit_in_bytes"
  fi || fail "cannot limit the memory"
}

# The server may have died for want of memory.
mend_memory() { release memory && { another "$id" $down || bring_up; }; }

probe_memory() {
  top=$(hierarchy memory) || exit 125
  [ -d "$top/rashomon-$run-$node-$id" ]
}
