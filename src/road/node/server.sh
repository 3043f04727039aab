# The server of a node: found by its service or its process ids, never by name.

# The kinds of fault under which the server is down.
down='kill truncate bitflip power-loss'

# What stands in /proc/PID/stat behind the name: the state first, the time of the start as the 20th.
stat_of() {
  read -r stat 2>/dev/null <"/proc/$1/stat" && echo "${stat##*) }"
}

# The process ids of the server.
server() {
  if [ -n "$service" ]; then
    group=$(systemctl show --property=ControlGroup --value "$service")
    systemctl show --property=MainPID --value "$service" | grep -vx 0
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
      [ -z "$group" ] || cat "$hierarchy$group/cgroup.procs" 2>/dev/null
    done
  else
    sh -c "$pids" 2>/dev/null
  fi | sort -u | while read -r process; do
    case $(stat_of "$process") in
      '' | Z* | X*) ;;
      *) echo "$process" ;;
    esac
  done
}

kill_server() {
  tries=0
  while processes=$(server) && [ -n "$processes" ]; do
    kill -KILL $processes 2>/dev/null
    [ "$tries" -lt 200 ] || fail "the server does not die: $processes"
    tries=$((tries + 1))
    sleep 0.05
  done
}

bring_down() {
  kill_server
  # Whoever looks after the server must not start it again.
  if [ -n "$service" ]; then
    systemctl stop "$service"
  elif [ -n "$stop" ]; then
    sh -c "$stop" >/dev/null 2>&1 9<&-
  fi
  kill_server
}

# A server lets go of the terminal and of the lock.
bring_up() {
  [ -z "$(server)" ] || return 0
  if [ -n "$service" ]; then
    systemctl reset-failed "$service" 2>/dev/null
    systemctl start "$service" 9<&- || return 1
  else
    setsid sh -c "$start" >/dev/null 2>&1 9<&- || return 1
  fi
  tries=0
  while [ -z "$(server)" ]; do
    [ "$tries" -lt 100 ] || return 1
    tries=$((tries + 1))
    sleep 0.1
  done
}

break_pause() {
  tries=0
  while processes=$(server | running) && [ -n "$processes" ]; do
    kill -STOP $processes 2>/dev/null
    [ "$tries" -lt 100 ] || fail "the server does not stop: $processes"
    tries=$((tries + 1))
    sleep 0.02
  done
  [ -n "$(server)" ] || fail "there is no server to pause"
}

# Of these processes those that are not stopped.
running() {
  while read -r process; do
    case $(stat_of "$process") in
      T* | '') ;;
      *) echo "$process" ;;
    esac
  done
}

mend_pause() {
  another "$id" pause && return
  processes=$(server)
  # Of those that were stopped only what is still the server: a number may be another's by now.
  [ -z "$processes" ] || kill -CONT $processes 2>/dev/null
  return 0
}

probe_pause() {
  [ -e "$state/F$id" ] || ! another "$id" pause || return 1
  [ -n "$(server)" ] && [ -z "$(server | running)" ]
}
