# Nodes by the ssh of this machine, one connection a node. It is kept for a minute behind a socket that
# nobody else may open.

reach() {
  mkdir -m 700 "$sockets" 2>/dev/null || [ -O "$sockets" ] ||
    { echo "$sockets belongs to somebody else" >&2 && return 125; }
  words=$*
  eval "set -- $options"
  ssh -o BatchMode=yes -o ControlMaster=auto -o "ControlPath=$sockets/%C" -o ControlPersist=60 "$@" \
    -o ConnectTimeout=5 -o ServerAliveInterval=3 -o ServerAliveCountMax=3 -o LogLevel=ERROR \
    -- "$host" "${sudo}sh -c 'script=\$(cat) && eval \"\$script\"' rashomon $words"
}

close() {
  eval "set -- $options"
  for one in $all; do
    . "$road/nodes/$one"
    ssh -o "ControlPath=$sockets/%C" "$@" -O exit -- "$host" 2>/dev/null
  done
  # A connection that was still being made takes its socket with it when its minute is over.
  rmdir "$sockets" 2>/dev/null
  return 0
}
