# The network of a node. Rules are in a table or chain of our own; nothing else is touched.

# A command in the network of the server.
net() {
  "$@"
}

addresses_of() {
  for pair in $addresses; do
    [ "${pair%%=*}" = "$1" ] || continue
    address=${pair#*=}
    case $address in
      *:*) echo "$address" ;;
      *[!0-9.]*)
        found=$(getent ahosts "$address" | cut -d' ' -f1 | sort -u)
        [ -n "$found" ] || fail "$address, which is $1, has no address here"
        echo "$found"
        ;;
      *) echo "$address" ;;
    esac
  done
}

# nft, or iptables, whichever is there. Rules go into a table or chain of our own, one chain a fault; the
# later fault stands first, so that its counters see what another drops as well.
rules_by() {
  if net nft --version >/dev/null 2>&1; then
    echo nft
  elif net iptables --version >/dev/null 2>&1; then
    echo iptables
  else
    fail "needs nft or iptables"
  fi
}

chain_of() {
  echo "${run}_$1"
}

# Drops what comes from these peers: all of it, or so much in a hundred. Datagrams to port 9, where
# nobody listens, are counted.
drop() {
  share=$1
  shift
  chain=$(chain_of "$id")
  by=$(rules_by) || exit 125
  for peer in "$@"; do
    found=$(addresses_of "$peer") || exit 125
    for address in $found; do
      echo "$peer $address"
    done
  done >"$state/peers"
  case $by in
    nft)
      {
        echo "add table inet rashomon"
        echo "add chain inet rashomon $chain { type filter hook prerouting priority -$((1000 + id)); }"
        while read -r peer address; do
          case $address in *:*) ip=ip6 ;; *) ip=ip ;; esac
          [ "$share" != 100 ] || share=whole
          if [ "$share" = all ]; then
            echo "add rule inet rashomon $chain $ip saddr $address udp dport 9 counter drop comment \"$peer\""
            echo "add rule inet rashomon $chain $ip saddr $address drop"
          elif [ "$share" = whole ]; then
            echo "add rule inet rashomon $chain $ip saddr $address drop"
          else
            echo "add rule inet rashomon $chain $ip saddr $address numgen random mod 100 < $share drop"
          fi
        done <"$state/peers"
      } | net nft -f - || fail "nft does not take the rules"
      ;;
    iptables)
      for tables in iptables ip6tables; do
        net $tables -w -N "$chain" 2>/dev/null || continue
        while read -r peer address; do
          case $tables$address in ip6tables*:*) ;; ip6tables* | iptables*:*) continue ;; esac
          if [ "$share" = all ]; then
            net $tables -w -A "$chain" -s "$address" -p udp --dport 9 -m comment --comment "$peer" -j DROP &&
              net $tables -w -A "$chain" -s "$address" -j DROP
          else
            net $tables -w -A "$chain" -s "$address" -m statistic --mode random \
              --probability "$(awk "BEGIN { print $share / 100 }")" -j DROP
          fi || fail "$tables does not take the rules"
        done <"$state/peers"
        net $tables -w -I INPUT -j "$chain" || fail "$tables does not take the rules"
      done
      ;;
  esac
}

let_through() {
  chain=$(chain_of "$id")
  if net nft list chain inet rashomon "$chain" >/dev/null 2>&1; then
    net nft "flush chain inet rashomon $chain; delete chain inet rashomon $chain" || return 1
  fi
  if tables=$(net nft list table inet rashomon 2>/dev/null); then
    echo "$tables" | grep -q chain || net nft delete table inet rashomon
  fi
  for tables in iptables ip6tables; do
    net $tables -w -n -L "$chain" >/dev/null 2>&1 || continue
    while net $tables -w -D INPUT -j "$chain" 2>/dev/null; do :; done
    net $tables -w -F "$chain" && net $tables -w -X "$chain" || return 1
  done
}

dropping() {
  net nft list chain inet rashomon "$(chain_of "$id")" >/dev/null 2>&1 ||
    net iptables -w -C INPUT -j "$(chain_of "$id")" 2>/dev/null
}

break_partition() { drop all $from; }
mend_partition() { let_through; }
probe_partition() { dropping; }

# A line a peer: its name, and how many datagrams to port 9 were dropped.
count() {
  id=$1
  chain=$(chain_of "$id")
  {
    net nft list chain inet rashomon "$chain" 2>/dev/null |
      sed -n 's/.*counter packets \([0-9]*\) .*comment "\(.*\)".*/\2 \1/p'
    for tables in iptables ip6tables; do
      net $tables -w -n -v -x -L "$chain" 2>/dev/null |
        sed -n 's|^ *\([0-9]*\) .*/\* \(.*\) \*/.*|\2 \1|p'
    done
  } | awk '{ sum[$1] += $2 } END { for (peer in sum) print peer, sum[peer] }'
}

send() {
  for peer in $to; do
    for address in $(addresses_of "$peer"); do
      if command -v bash >/dev/null; then
        net bash -c 'for i in 1 2 3; do echo rashomon >"/dev/udp/$0/9"; done' "$address"
      elif command -v python3 >/dev/null; then
        net python3 -c 'import socket, sys
family, kind, protocol, _, where = socket.getaddrinfo(sys.argv[1], 9, type=socket.SOCK_DGRAM)[0]
with socket.socket(family, kind, protocol) as datagrams:
    for _ in range(3): datagrams.sendto(b"rashomon", where)' "$address"
      elif command -v nc >/dev/null; then
        for _ in 1 2 3; do echo rashomon | net nc -u -w1 "$address" 9; done
      else
        fail "needs bash, python3 or nc to see whether a partition is one"
      fi 2>/dev/null
    done
  done
  return 0
}

# The interface on the way to the first other node that is elsewhere.
interface_used() {
  if [ -n "$interface" ]; then
    echo "$interface"
    return
  fi
  for peer in $peers; do
    for address in $(addresses_of "$peer"); do
      net ip route get "$address" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | grep -vx lo && return
    done
  done
  fail "no interface leads to another node; name it: interface = \"eth0\" in [road]"
}

# The number of a queueing discipline says whose it is.
handle_of() {
  printf '7%03x' $(($1 % 4096))
}

break_packet() {
  device=$(interface_used | head -n 1)
  [ -n "$device" ] || exit 125
  note "device=$device"
  handle=$(handle_of "$id"):
  emulation=
  [ "${delay_ms:-0}" = 0 ] && [ "${jitter_ms:-0}" = 0 ] ||
    emulation="delay ${delay_ms:-0}ms ${jitter_ms:-0}ms"
  [ "${reorder:-0}" = 0 ] || emulation="${emulation:-delay 10ms} reorder $((100 - reorder))%"
  [ "${duplicate:-0}" = 0 ] || emulation="$emulation duplicate $duplicate%"
  # tbf and nft do these two where there is no netem.
  more=
  [ "${loss:-0}" = 0 ] || more="$more loss $loss%"
  [ "${rate_kbit:-0}" = 0 ] || more="$more rate ${rate_kbit}kbit"
  [ -n "$emulation$more" ] || fail "the fault does nothing to a packet"
  command -v tc >/dev/null || fail "packet needs tc (iproute2)"
  if why=$(net tc qdisc add dev "$device" root handle "$handle" netem $emulation $more 2>&1); then
    note 'ways=shaped'
    return
  fi
  case $why in
    *unknown* | *"No such file"*) ;;
    *) fail "$device has a queueing discipline of its own, which stays: $why" ;;
  esac
  [ -z "$emulation" ] ||
    fail "this kernel has no netem, so no delay, jitter, duplicate or reorder; loss and rate it can: $why"
  ways=
  if [ "${rate_kbit:-0}" != 0 ]; then
    ways=shaped
    net tc qdisc add dev "$device" root handle "$handle" tbf rate "${rate_kbit}kbit" burst 16kb \
      latency 400ms || fail "$device cannot be slowed down"
  fi
  if [ "${loss:-0}" != 0 ]; then
    ways="$ways dropping"
    drop "$loss" $peers
  fi
  note "ways='$ways'"
}

mend_packet() {
  let_through || return 1
  [ -n "${device-}" ] || device=$(interface_used 2>/dev/null | head -n 1)
  shaped || return 0
  net tc qdisc del dev "$device" root
}

# All that was done must be there; of a fault that nobody remembers, nothing.
probe_packet() {
  [ -n "${ways-}" ] || { shaped || dropping; return; }
  for way in $ways; do
    "$way" || return 1
  done
}

shaped() {
  [ -n "${device-}" ] || device=$(interface_used 2>/dev/null | head -n 1)
  net tc qdisc show dev "$device" 2>/dev/null | grep -q " $(handle_of "$id"): root"
}
