#!/bin/sh
# Three machines that are none: network namespaces on a bridge, each with an sshd and a redis-server of its
# own, its own /run and /tmp and a small disk for the data of redis. The directory lies elsewhere.
#
#   nodes.sh up DIRECTORY NUMBER     nodes.sh down DIRECTORY
#   nodes.sh left DIRECTORY NODE     prints whatever a fault has left on a node, nothing if it is whole
#   nodes.sh sshd DIRECTORY NODE     starts its sshd, which was killed
set -eu
action=$1 directory=$2

# What others have mounted for namespaces of theirs comes and goes.
mounts() {
  grep -v ' /run/netns' "/proc/$1/mounts"
}

sshd() {
  node=$1
  read -r shell <"$directory/$node/shell"
  nsenter --target "$shell" --net --mount setsid /usr/sbin/sshd -f "$directory/$node/sshd_config" 9>&-
}

up() {
  number=$1 bridge=rd$1
  mkdir -p "$directory"
  echo "$number" >"$directory/number"
  ssh-keygen -q -t ed25519 -N '' -f "$directory/key"
  ip link add "$bridge" type bridge
  ip address add "10.78.$number.254/24" dev "$bridge"
  ip link set "$bridge" up
  for index in 1 2 3; do
    node=n$index address=10.78.$number.$index name=$bridge-n$index
    home=$directory/$node
    mkdir -p "$home/data"
    ip netns add "$name"
    ip link add "${bridge}n$index" type veth peer name eth0 netns "$name"
    ip link set "${bridge}n$index" master "$bridge" up
    ip -n "$name" link set lo up
    ip -n "$name" address add "$address/24" dev eth0
    ip -n "$name" link set eth0 up
    ssh-keygen -q -t ed25519 -N '' -f "$home/hostkey"
    cat >"$home/sshd_config" <<END
ListenAddress $address
HostKey $home/hostkey
AuthorizedKeysFile $directory/key.pub
UsePAM no
StrictModes no
PidFile /run/sshd.pid
MaxStartups 100
END
    cat >"$home/redis.conf" <<END
bind 0.0.0.0
protected-mode no
dir $home/data
pidfile /run/redis.pid
logfile /run/redis.log
save ""
appendonly yes
daemonize yes
END
    [ "$index" = 1 ] || echo "replicaof 10.78.$number.1 6379" >>"$home/redis.conf"
    # A process that does nothing keeps the mounts of the node.
    nsenter --net="/run/netns/$name" unshare --mount setsid sh -c '
      mount -t tmpfs run /run && mount -t tmpfs tmp /tmp &&
        { [ ! -e /root/.bashrc ] || mount --bind /dev/null /root/.bashrc; } && mount -t tmpfs -o size=48m data "$0/data" &&
        mkdir -p /run/sshd && echo $$ >"$0/shell.new" && mv "$0/shell.new" "$0/shell" &&
        exec sleep 1000000' "$home" >/dev/null 2>&1 </dev/null 9>&- &
    until [ -s "$home/shell" ]; do sleep 0.02; done
    sshd "$node"
    read -r shell <"$home/shell"
    nsenter --target "$shell" --net --mount redis-server "$home/redis.conf"
    mounts "$shell" >"$home/mounts"
  done
}

down() {
  [ -e "$directory/number" ] || return 0
  read -r number <"$directory/number"
  bridge=rd$number
  for index in 1 2 3; do
    name=$bridge-n$index
    while pids=$(ip netns pids "$name" 2>/dev/null) && [ -n "$pids" ]; do
      kill -KILL $pids 2>/dev/null || :
      sleep 0.02
    done
    ip link delete "${bridge}n$index" 2>/dev/null || :
    ip netns delete "$name" 2>/dev/null || :
  done
  ip link delete "$bridge" 2>/dev/null || :
  rm -rf "$directory"
}

left() {
  node=$1
  read -r number <"$directory/number"
  name=rd$number-$node
  read -r shell <"$directory/$node/shell"
  for pid in $(ip netns pids "$name"); do
    words=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || continue
    case $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) in T*) echo "stopped: $words" ;; esac
    case $words in sshd:* | *sbin/sshd* | redis-server* | "sleep 1000000 " | '') ;; *) echo "process: $words" ;; esac
  done
  # Others take away what they had mounted; what is new is ours.
  mounts "$shell" | grep -vxFf "$directory/$node/mounts" || :
  nsenter --target "$shell" --net nft list ruleset
  nsenter --target "$shell" --net tc qdisc show dev eth0 | grep -v '^qdisc noqueue 0: root' || :
  nsenter --target "$shell" --mount sh -c 'ls -d /run/rashomon* /tmp/* "$0"/data/.rash* 2>/dev/null' "$directory/$node" || :
  for pid in $(ip netns pids "$name"); do
    grep -s rashomon "/proc/$pid/cgroup" || :
  done
  nsenter --target "$shell" --net timeout 2 redis-cli ping 2>&1 | grep -vx PONG || :
}

shift 2
case $action in
  up) up "$@" ;;
  down) down ;;
  left) left "$@" ;;
  sshd) sshd "$@" ;;
esac
