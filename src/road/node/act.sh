# Only now is something done: what comes before was read whole, whatever becomes of the road.

# What the commands of the target file may want to know.
export node host
action=$1
shift
"$action" "$@" </dev/null
