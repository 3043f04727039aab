#!/bin/sh
# The way to the nodes of a run, from the machine that rashomon runs on. It lies in the directory of the
# run beside node.sh, which is done on a node, so that whoever undoes a fault, by the fault journal or by
# hand, needs nothing else:
#
#   road.sh inject|undo|probe KIND    of the fault $fault at $node
#   road.sh cut|join|severed          of the partition $fault, whose directed links are $cuts
#   road.sh renew                     of all $nodes
#   road.sh heal                      undoes all that any run has left at $node
#   road.sh check                     whether every node can be broken
#   road.sh close                     ends the connections
#
# `environment` and `nodes/NODE` say how the nodes are reached and what runs there; `reach` is the way.
set -u
road=$(cd "$(dirname "$0")" && pwd)
. "$road/environment"
. "$road/way"

# What a fault is about, as assignments.
variables() {
  for name in fault within_s broken from to delay_ms jitter_ms loss duplicate reorder rate_kbit offset_ms \
    drift_ppm strobe_ms cpu limit_mb file bytes bits; do
    eval "value=\${$name-}"
    [ -z "$value" ] || printf "%s='%s'\n" "$name" "$(printf %s "$value" | sed "s/'/'\\\\''/g")"
  done
}

# Does something on a node.
on() (
  . "$road/nodes/$1"
  shift
  { cat "$road/environment" "$road/nodes/$node" && variables && cat "$road/node.sh"; } | reach "$@"
)

# Does something on several nodes at a time; the worst status is the status.
on_all() {
  list=$1 jobs='' worst=0
  shift
  for one in $list; do
    case $1 in
      inject) from=$(from_of "$one") ;;
      send | unheard) to=$(to_of "$one") ;;
    esac
    on "$one" "$@" &
    jobs="$jobs $!"
  done
  for job in $jobs; do
    wait "$job"
    code=$?
    [ "$code" -le "$worst" ] || worst=$code
  done
  return "$worst"
}

# Of the links `n1>n2` of $cuts: who misses something, who says it; from whom, to whom.
receivers() { printf '%s\n' $cuts | sed 's/.*>//' | sort -u; }
senders() { printf '%s\n' $cuts | sed 's/>.*//' | sort -u; }
from_of() { for cut in $cuts; do [ "${cut#*>}" != "$1" ] || printf '%s ' "${cut%>*}"; done; }
to_of() { for cut in $cuts; do [ "${cut%>*}" != "$1" ] || printf '%s ' "${cut#*>}"; done; }

# A line a link that a partition cuts: how many datagrams it has dropped there.
counts() {
  for one in $(receivers); do
    {
      dropped=$(on "$one" count "$fault") || dropped='nobody failed'
      echo "$dropped" | sed "s/ />$one /"
    } &
  done
  wait
}

# Whether every link is cut: what is sent on it now is dropped where it should arrive.
severed() {
  for _ in 1 2 3; do
    before=$(counts)
    case $before in
      *failed*) return 125 ;;
      *'>'*) ;;
      *) echo "no link is cut" >&2 && return 1 ;;
    esac
    on_all "$(senders)" send || return 125
    after=$(counts)
    whole=
    for cut in $cuts; do
      was=$(echo "$before" | sed -n "s/^$cut //p")
      is=$(echo "$after" | sed -n "s/^$cut //p")
      [ -n "$was" ] && [ "${is:-0}" -gt "$was" ] || whole="$whole $cut"
    done
    [ -n "$whole" ] || return 0
  done
  echo "the partition lets through:$whole; does a node speak from an address that is not in [road.addresses]?" >&2
  return 1
}

. "$road/reach.sh"

action=$1
shift
case $action in
  inject | undo | probe) on "$node" "$action" "$1" "$fault" ;;
  cut) on_all "$(receivers)" inject partition "$fault" ;;
  join) on_all "$(receivers)" undo partition "$fault" ;;
  severed) severed ;;
  renew) on_all "$nodes" renew ;;
  heal) on "$node" heal_all ;;
  check) on_all "$all" check ;;
  close) close ;;
  *) echo "unknown action $action" >&2 && exit 125 ;;
esac
