# The faults of a lab; a part of lab.sh.

inject() {
  local what=$1 node=$of_node option path
  path="$lab/faults/$fault.$node"
  # First the timer, then the note, then the fault: wherever this is killed, the lab heals itself.
  [ -z "${within_s-}" ] || arm "$within_s" || return 1
  {
    printf 'what=%q\nnode=%q\n' "$what" "$node"
    for option in $options; do [ -z "${!option+x}" ] || printf '%s=%q\n' "$option" "${!option}"; done
  } >"$path.new" && mv "$path.new" "$path" || return 1
  [ "$what" = partition ] || be "$node"
  case $what in
    kill) kill_all ;;
    pause) signal -STOP ;;
    partition) cut "$fault" $cuts ;;
    packet) packet ;;
    skew) skew ;;
    throttle) throttle ;;
    memory) memory ;;
    disk-full) disk_full ;;
    power-loss) power_loss ;;
    truncate) damage truncate_file ;;
    bitflip) damage flip_bits ;;
    *) echo "unknown fault $what" >&2 && return 1 ;;
  esac
}

undo() {
  local what=$1 node=$of_node
  rm -f "$lab/faults/$fault.$node"
  [ "$what" = partition ] || be "$node"
  case $what in
    kill | power-loss | truncate | bitflip)
      rm -f "$home/damaged.$fault"
      start && started
      ;;
    pause) [ -n "$(in_force pause node)" ] || signal -CONT ;;
    partition) join "$fault" ;;
    packet) packet ;;
    skew) skew ;;
    throttle) throttle ;;
    memory) memory && start && started ;;
    disk-full) disk_full ;;
    *) echo "unknown fault $what" >&2 && return 1 ;;
  esac
}

# Whether a fault is in force, as it shows from outside. Status 1: it is not.
probe() {
  local node=$of_node
  [ -e "$lab/faults/$fault.$node" ] || { echo "no $1 $fault of $node is in force" >&2; return 1; }
  [ "$1" = partition ] || be "$node"
  case $1 in
    kill) dead ;;
    pause) stopped ;;
    partition) is_cut ;;
    packet) packet_shows ;;
    skew) skew_shows ;;
    throttle) throttle_shows ;;
    memory) memory_shows ;;
    disk-full) disk_full_shows ;;
    power-loss) dead && [ ! -e "$own_disk/canary" ] ;;
    truncate | bitflip) dead && damage_shows ;;
    *) echo "unknown fault $1" >&2 && return 1 ;;
  esac
}

# Undoes whatever is in force, latest first. Everything is tried.
mend() {
  local path failed=0
  for path in $(ls -t "$lab/faults"); do
    case $path in *.new) rm -f "$lab/faults/$path" && continue ;; esac
    (
      . "$lab/faults/$path"
      of_node=$node
      undo "$what"
    ) || failed=1
  done
  [ $failed != 0 ] || rm -f "$lab/deadline"
  return $failed
}

# Of each fault of that kind that is in force on the node, its number and the value of a variable.
in_force() {
  local path
  for path in "$lab"/faults/*"${2+.$node}"; do
    [ -e "$path" ] || continue
    (. "$path" && [ "$what" = "$1" ] && { [ $# = 1 ] && echo "$fault" || echo "$fault ${!2}"; })
  done
}

# --- The timer --------------------------------------------------------------------------------------

# The lab heals itself so many seconds after it was last renewed, by a clock that nobody sets.
arm() {
  local seconds
  read -r seconds _ </proc/uptime
  # A second earlier, for it takes time to undo.
  echo "$((${seconds%.*} + $1 - 1)) $1" >"$lab/deadline.new" && mv "$lab/deadline.new" "$lab/deadline" || return 1
  runs watch || helper watch lab watch "$lab"
}

renew() {
  local within
  [ -e "$lab/deadline" ] || return 0
  read -r _ within <"$lab/deadline"
  arm "${within_s:-$within}"
}

# A process of our own that goes on by itself: NAME, then what rashomon is to do.
helper() {
  local name=$1
  shift
  setsid "$lab/rashomon" "$@" >>"$lab/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$lab/$name.pid"
}

runs() {
  local pid
  pid=$(cat "$lab/$1.pid" 2>/dev/null) && grep -qsF "$lab" "/proc/$pid/cmdline"
}

# Ends the timer and whoever keeps clocks wrong; the lab is taken down.
no_helpers() {
  local one path pid
  rm -f "$lab"/*/skew/[0-9]*
  for path in "$lab"/*.pid; do
    [ -e "$path" ] || continue
    one=$(basename "$path" .pid)
    pid=$(cat "$path")
    while runs "$one" && kill -9 "$pid" 2>/dev/null; do sleep 0.01; done
    rm -f "$path"
  done
}

# --- kill, pause ------------------------------------------------------------------------------------

# What was started is in its namespace, or has ended by itself: `ip` takes a moment to get there.
started() {
  local path pid
  for path in "$home"/*.pid; do
    pid=$(cat "$path")
    for ((i = 0; i < 250; i++)); do
      [ -e "/proc/$pid" ] && ! ip netns pids "$namespace" | grep -qx "$pid" || break
      sleep 0.02
    done
  done
}

dead() {
  local processes
  processes=$(ip netns pids "$namespace") || return 1
  [ -z "$processes" ] || { echo "still alive:" $processes >&2; return 1; }
}

# What waits for its disk stops when it has been served.
stopped() {
  local pid state attempt
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    for pid in $(ip netns pids "$namespace"); do
      state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null)
      case $state in T | t | Z | X | '') ;; *) sleep 0.1 && continue 2 ;; esac
    done
    return 0
  done
  echo "process $pid is not stopped but $state" >&2
  return 1
}

# --- The network ------------------------------------------------------------------------------------

# Writes the rules of all faults for the switch and waits until they are in force.
rules() {
  local path number said
  number=$(($(sed -n 1p "$lab/switch/rules" 2>/dev/null) + 1))
  {
    echo "$number"
    cat "$lab"/cuts/* 2>/dev/null | sed 's/^\(.*\)>\(.*\)$/cut \1 \2/'
    for path in "$lab"/faults/*; do
      [ -e "$path" ] || continue
      (
        . "$path" && [ "$what" = packet ] || exit 0
        effect="$delay_ms $jitter_ms $loss $duplicate $reorder $rate_kbit"
        printf 'packet %s\n' "$node * $effect" "* $node $effect"
      )
    done
  } >"$lab/switch/rules.new" && mv "$lab/switch/rules.new" "$lab/switch/rules" || return 1
  for ((i = 0; i < 1000; i++)); do
    said=$(cat "$lab/switch/in-force" 2>/dev/null)
    case $said in
      "$number") return 0 ;;
      "$number "*) echo "the switch does not take the rules: $said" >&2 && return 1 ;;
    esac
    sleep 0.01
  done
  echo "the switch does not answer" >&2
  return 1
}

packet() {
  local number
  if [ "$link" = switch ]; then rules; return; fi
  # On a bridge, the queue of either end of the node's link; the latest fault holds.
  number=$(in_force packet node | sort -n | sed -n '$s/ .*//p')
  if [ -z "$number" ]; then
    tc qdisc del dev "$bridge$node" root 2>/dev/null
    tc -n "$namespace" qdisc del dev eth0 root 2>/dev/null
    return 0
  fi
  (
    . "$lab/faults/$number.$node"
    set -- delay "${delay_ms}ms" "${jitter_ms}ms" loss "$loss%" duplicate "$duplicate%"
    # A packet that is not late cannot be overtaken.
    if [ "$reorder" != 0 ]; then
      [ "$delay_ms" != 0 ] || set -- delay 5ms "${@:3}"
      set -- "$@" reorder "$reorder%"
    fi
    [ "$rate_kbit" = 0 ] || set -- "$@" rate "${rate_kbit}kbit"
    tc qdisc replace dev "$bridge$node" root netem "$@" && tc -n "$namespace" qdisc replace dev eth0 root netem "$@"
  ) || {
    echo 'this kernel has no netem: write [lab] network = "switch" in the target file' >&2
    return 1
  }
}

# How many datagrams for a port where nobody listens the node has got.
got() {
  ip netns exec "$bridge-$1" sed -n 's/^Udp: [0-9]* \([0-9]*\) .*/\1/p' /proc/net/snmp
}

address_of() {
  (. "$lab/$1/environment" && echo "$address")
}

# Whether anything that one node sends arrives at another, be it late.
arrives() {
  local before to
  to=$(address_of "$2")
  before=$(got "$2")
  ip netns exec "$bridge-$1" env to="$to" bash -c 'for ((i = 0; i < 20; i++)); do echo >"/dev/udp/$to/9"; done' 2>/dev/null
  sleep 0.3
  [ "$(got "$2")" != "$before" ]
}

# Real packets: a connection to a port where nobody listens takes a round trip; of many datagrams as
# many arrive as should. Asked by the machine, which no partition touches.
packet_shows() {
  local began took least before count expected spread
  if [ "$delay_ms" -gt "$jitter_ms" ] && [ "$loss" = 0 ]; then
    began=${EPOCHREALTIME/./}
    (: <"/dev/tcp/$address/9") 2>/dev/null
    took=$((${EPOCHREALTIME/./} - began))
    least=$((2000 * (delay_ms - jitter_ms)))
    [ "$took" -ge "$least" ] || { echo "a round trip takes $took µs, expected at least $least" >&2; return 1; }
  fi
  if [ "$loss" != 0 ] || [ "$duplicate" != 0 ]; then
    before=$(got "$node")
    for ((i = 0; i < 400; i++)); do echo >"/dev/udp/$address/9"; done 2>/dev/null
    sleep "$(printf '%d.%03d' $(((delay_ms + jitter_ms + 100) / 1000)) $(((delay_ms + jitter_ms + 100) % 1000)))"
    [ "$rate_kbit" = 0 ] || [ "$rate_kbit" -gt 1000 ] || return 0
    count=$(($(got "$node") - before))
    # Five standard deviations of a share of 400, at most.
    expected=$((4 * (100 - loss) * (100 + duplicate) / 100)) spread=70
    [ "$count" -ge $((expected - spread)) ] && [ "$count" -le $((expected + spread)) ] ||
      { echo "of 400 packets $count arrive, expected about $expected" >&2; return 1; }
  fi
}

# --- The clock --------------------------------------------------------------------------------------

# A process of ours keeps the clocks of the node's processes wrong while there is a file in `skew`.
skew() {
  local number mine="$home/skew" seconds
  mkdir -p "$mine"
  for path in "$mine"/[0-9]*; do [ ! -e "$path" ] || [ -e "$lab/faults/${path##*/}.$node" ] || rm -f "$path"; done
  for number in $(in_force skew node | sed 's/ .*//'); do
    [ ! -e "$mine/$number" ] || continue
    read -r seconds _ </proc/uptime
    (. "$lab/faults/$number.$node" && echo "$offset_ms $drift_ppm $strobe_ms $((10#${seconds/./} * 10))") >"$mine.new" &&
      mv "$mine.new" "$mine/$number" || return 1
  done
  if [ -n "$(ls "$mine" | grep '^[0-9]')" ]; then
    runs "clock-$node" || helper "clock-$node" lab clock "$lab" "$node"
    for ((i = 0; i < 500; i++)); do
      [ "$(cat "$mine/kept" 2>/dev/null)" != "$(ls "$mine" | grep '^[0-9]' | sort)" ] || return 0
      sleep 0.01
    done
    echo "the clocks of $node cannot be put wrong: $(tail -n 1 "$mine/kept" "$lab/clock-$node.log" 2>/dev/null)" >&2
    return 1
  fi
  while runs "clock-$node"; do sleep 0.01; done
  rm -f "$lab/clock-$node.pid" "$mine/kept"
  # What was forked meanwhile has the clock of its parent.
  "$lab/rashomon" clock reset $(ip netns pids "$namespace") && "$lab/rashomon" clock reset $(ip netns pids "$namespace")
}

skew_shows() {
  local kept
  kept=$(cat "$home/skew/kept" 2>/dev/null)
  case $kept in "error "*) echo "${kept#error }" >&2 && return 1 ;; esac
  printf '%s\n' "$kept" | grep -qx "$fault" || { echo "the clocks of $node are not wrong yet" >&2; return 1; }
}

# --- cgroups ----------------------------------------------------------------------------------------

# The cgroup of the node for a controller, in either layout. Its name is not that of the namespace: a lab
# without root may have the number of another.
cgroup() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo "/sys/fs/cgroup/rashomon-${lab##*/}-$node"
  else
    echo "/sys/fs/cgroup/$1/rashomon-${lab##*/}-$node"
  fi
}

# Every process of the node is in its cgroups from the start, so that all it has counts. Where there
# can be none, the faults that need them say so.
make_cgroups() {
  [ ! -e /sys/fs/cgroup/cgroup.controllers ] ||
    echo "+cpu +memory" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true
  mkdir -p "$(cgroup cpu)" "$(cgroup memory)" 2>/dev/null || true
}

join_cgroups() {
  local one
  for one in "$(cgroup cpu)" "$(cgroup memory)"; do
    [ ! -e "$one/cgroup.procs" ] || echo "$BASHPID" >"$one/cgroup.procs" || true
  done
}

# The kernel lets go of a cgroup a moment after its last process.
remove_cgroups() {
  local one
  for one in "$(cgroup cpu)" "$(cgroup memory)"; do
    for ((i = 0; i < 100; i++)); do
      [ -d "$one" ] || break
      rmdir "$one" 2>/dev/null || sleep 0.05
    done
    [ ! -d "$one" ] || { echo "the cgroup $one is still there" >&2; return 1; }
  done
}

# Writes a limit to the first of these files that there is.
limit() {
  local value=$1 path
  shift
  for path; do
    [ -e "$path" ] || continue
    echo "$value" >"$path"
    return
  done
  echo "$node has no cgroup with ${1##*/}: this machine has no such controller, or it cannot be used here" >&2
  return 1
}

throttle() {
  local own least
  own=$(cgroup cpu)
  least=$(in_force throttle cpu | sort -n -k 2 | sed -n '1s/.* //p')
  if [ -z "$least" ]; then
    [ ! -e "$own/cpu.cfs_quota_us" ] || limit -1 "$own/cpu.cfs_quota_us"
    [ ! -e "$own/cpu.max" ] || limit "max 100000" "$own/cpu.max"
  elif [ -e "$own/cpu.max" ]; then
    limit "$((least * 1000)) 100000" "$own/cpu.max"
  else
    limit "$((least * 1000))" "$own/cpu.cfs_quota_us"
  fi
}

# Nobody is outside, and the limit is what it should be.
throttle_shows() {
  local own
  own=$(cgroup cpu)
  inside "$own" || return 1
  grep -qx -e "$((cpu * 1000))\( 100000\)\?" "$own/cpu.max" "$own/cpu.cfs_quota_us" 2>/dev/null ||
    { echo "the limit of $node is another" >&2; return 1; }
}

# What was started is in the cgroup, and with it what that has started.
inside() {
  local pid
  for pid in $(cat "$home"/*.pid 2>/dev/null); do
    [ ! -e "/proc/$pid" ] || grep -qsx "$pid" "$1/cgroup.procs" ||
      { echo "process $pid is not in $1" >&2; return 1; }
  done
}

memory() {
  local own least
  own=$(cgroup memory)
  least=$(in_force memory limit_mb | sort -n -k 2 | sed -n '1s/.* //p')
  if [ -z "$least" ]; then
    [ ! -e "$own/memory.limit_in_bytes" ] || limit -1 "$own/memory.limit_in_bytes"
    [ ! -e "$own/memory.max" ] || limit max "$own/memory.max"
    [ ! -e "$own/memory.swap.max" ] || limit max "$own/memory.swap.max"
    return
  fi
  # What is swapped out is memory as well.
  [ ! -e "$own/memory.swap.max" ] || limit 0 "$own/memory.swap.max"
  limit "$((least << 20))" "$own/memory.max" "$own/memory.limit_in_bytes" 2>"$home/memory.said" && return
  cat "$home/memory.said" >&2
  [ ! -e "$own/memory.usage_in_bytes" ] ||
    echo "$node uses $(($(cat "$own/memory.usage_in_bytes") >> 20)) MB, which this kernel does not let be limited to $least" >&2
  return 1
}

memory_shows() {
  local own
  own=$(cgroup memory)
  inside "$own" || return 1
  grep -qx "$((limit_mb << 20))" "$own/memory.max" "$own/memory.limit_in_bytes" 2>/dev/null ||
    { echo "the limit of $node is another" >&2; return 1; }
}

# --- The disk ---------------------------------------------------------------------------------------

needs_disk() {
  [ -e "$home/disk.img" ] || { echo 'the nodes have no disks of their own: write [lab] disk = "64MB" in the target file' >&2; return 1; }
}

# The disks are mounted on a mount that is shared: every process of a node has mounts of its own, which
# must lose a disk when the machine does, or it would never be let go.
make_disks() {
  mkdir -p "$lab/disks" && mount -t tmpfs -o size=1m,mode=755 disks "$lab/disks" && mount --make-shared "$lab/disks"
}

remove_disks() {
  unmounted "$lab/disks"
}

# A file system of the node's own, in a file: it can be full, and its power can fail.
make_disk() {
  mkdir -p "$own_disk" && truncate -s "$disk" "$home/disk.img" &&
    mkfs.ext4 -q -F -m 0 "$home/disk.img" && mount_disk && mkdir -p "$own_disk/data"
}

mount_disk() {
  mount -o loop,noatime "$home/disk.img" "$own_disk"
}

unmounted() {
  for ((i = 0; i < 100; i++)); do
    mountpoint -q "$1" || return 0
    umount "$1" 2>/dev/null || sleep 0.05
  done
  echo "$1 is still mounted" >&2
  return 1
}

remove_disk() {
  unmounted "$own_disk" && rm -f "$home/disk.img"
}

disk_full() {
  needs_disk || return 1
  if [ -z "$(in_force disk-full node)" ]; then
    rm -f "$own_disk/fill"
    return
  fi
  # What there is, then what is left of it.
  dd if=/dev/zero bs=1M 2>/dev/null >>"$own_disk/fill"
  dd if=/dev/zero bs=1k 2>/dev/null >>"$own_disk/fill"
  sync -f "$own_disk"
  dd if=/dev/zero bs=1k 2>/dev/null >>"$own_disk/fill"
  disk_full_shows
}

disk_full_shows() {
  local wrote=1
  dd if=/dev/zero of="$own_disk/more" bs=4k count=4 2>/dev/null && wrote=0
  rm -f "$own_disk/more"
  [ "$wrote" = 1 ] || { echo "there is still room on the disk of $node" >&2; return 1; }
}

# The file system is shut down as it stands (EXT4_IOC_SHUTDOWN without a flush of its log, by `ioctl` of
# Perl): what was not synced is nowhere but in memory, and gone when it is mounted again. The canary was
# not synced either.
power_loss() {
  needs_disk || return 1
  kill_all
  if mountpoint -q "$own_disk"; then
    perl -e 'open(my $disk, "<", $ARGV[0]) or die "$ARGV[0]: $!\n";
      open(my $canary, ">", "$ARGV[0]/canary") or die "canary: $!\n"; print $canary "alive"; close($canary);
      my $flags = pack("L", 2);
      ioctl($disk, 0x8004587d, $flags) or die "cannot shut the file system down: $!\n"' "$own_disk" || return 1
    unmounted "$own_disk" || return 1
  fi
  mount_disk
}

# Kills the node and does something to each file, once each: what was done is noted.
damage() {
  local path found=0 done_to="$home/damaged.$fault"
  kill_all
  : >>"$done_to"
  for path in "$data"/$file; do
    [ -f "$path" ] && [ -s "$path" ] || continue
    found=1
    grep -qF -e " $path" "$done_to" && continue
    "$1" "$path" && echo "$(sum "$path") $path" >>"$done_to" || return 1
  done
  [ "$found" = 1 ] || { echo "no file of $node matches $file, or all are empty; they are below $data" >&2; return 1; }
}

sum() {
  cksum <"$1" | tr ' ' -
}

truncate_file() {
  local size
  size=$(stat -c %s "$1")
  truncate -s "$((size > bytes ? size - bytes : 0))" "$1"
}

# Which bits follows from the number of the fault and the name of the file.
flip_bits() {
  local size bit place byte
  size=$(stat -c %s "$1")
  for ((bit = 0; bit < bits; bit++)); do
    read -r place _ < <(echo "$fault $bit ${1##*/}" | cksum)
    byte=$(od -An -tu1 -j $((place / 8 % size)) -N 1 "$1")
    printf "\\x$(printf %02x $((byte ^ (1 << (place % 8)))))" |
      dd of="$1" bs=1 seek=$((place / 8 % size)) conv=notrunc 2>/dev/null || return 1
  done
}

damage_shows() {
  local was path
  while read -r was path; do
    [ "$(sum "$path")" = "$was" ] || { echo "$path was changed since" >&2; return 1; }
  done <"$home/damaged.$fault"
}
