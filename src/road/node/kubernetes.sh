# The server is the pod $host. What is done to it is done by kubectl from the machine of rashomon, and the
# timer runs there too: it outlives rashomon, not that machine.

k() {
  kubectl ${context:+--context "$context"} ${namespace:+--namespace "$namespace"} "$@" </dev/null
}

in_pod() {
  k exec "$host" ${container:+--container "$container"} -- sh -c "$1"
}

# What this fault makes is called after it.
name_of() {
  echo "rashomon-$run-$node-$1"
}

uid_of() { k get pod "$1" --ignore-not-found --output 'jsonpath={.metadata.uid}'; }
address_of() { k get pod "$1" --output 'jsonpath={.status.podIP}'; }
host_of() { addresses_of "$1" | head -n 1; }

# The names of pods are no addresses.
addresses_of() {
  for pair in $addresses; do
    [ "${pair%%=*}" != "$1" ] || echo "${pair#*=}"
  done
}

# Whoever keeps the pod makes a new one: a crash, not a node that stays down.
bring_down() {
  note "uid=$(uid_of "$host")"
  k delete pod "$host" --grace-period=0 --force --wait=false >/dev/null 2>&1 || fail "$host cannot be deleted"
}

server() {
  [ ! -e "$state/F$id" ] || . "$state/F$id"
  now=$(uid_of "$host") || fail "$host cannot be asked for"
  # The pod is in the way of the fault as long as it is the old one.
  [ -z "${uid-}" ] || [ "$now" != "$uid" ] || echo "$host"
  [ -n "${uid-}" ] || echo "$now"
}

bring_up() { k wait --for=condition=Ready --timeout=25s "pod/$host" >/dev/null; }

break_pause() { in_pod "kill -STOP \$($pids)" || fail "the server of $host cannot be stopped"; }

mend_pause() { another "$id" pause || in_pod "kill -CONT \$($pids)"; }

probe_pause() {
  [ -e "$state/F$id" ] || ! another "$id" pause || return 1
  in_pod "for p in \$($pids); do grep -q '^State:.T' /proc/\$p/status || exit 1; done"
}

# With Chaos Mesh a NetworkChaos, else a NetworkPolicy that lets in all but the peers. Pods are told apart
# by labels of our own.
break_partition() {
  name=$(name_of "$id")
  k label pod "$host" --overwrite "rashomon-to-$run-$id-$node=yes" >/dev/null || fail "no label on $host"
  for peer in $from; do
    k label pod "$(host_of "$peer")" --overwrite "rashomon-from-$run-$id-$node=yes" >/dev/null ||
      fail "no label on the pod of $peer"
  done
  if [ -n "$chaos_mesh" ]; then
    resource <<END
apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata: { name: $name }
spec:
  action: partition
  mode: all
  selector: { labelSelectors: { rashomon-from-$run-$id-$node: "yes" } }
  direction: to
  target: { mode: all, selector: { labelSelectors: { rashomon-to-$run-$id-$node: "yes" } } }
END
  else
    except=
    for peer in $from; do
      except="$except${except:+, }$(address_of "$(host_of "$peer")")/32"
    done
    resource <<END
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: $name }
spec:
  podSelector: { matchLabels: { rashomon-to-$run-$id-$node: "yes" } }
  policyTypes: [Ingress]
  ingress:
    - from:
        - ipBlock: { cidr: 0.0.0.0/0, except: [$except] }
        - namespaceSelector: {}
          podSelector: { matchExpressions: [{ key: rashomon-from-$run-$id-$node, operator: DoesNotExist }] }
END
  fi
}

resource() {
  kubectl ${context:+--context "$context"} ${namespace:+--namespace "$namespace"} apply --filename - >/dev/null ||
    fail "the cluster does not take the fault"
}

kinds() {
  if [ -n "$chaos_mesh" ]; then echo networkchaos,timechaos,networkpolicy; else echo networkpolicy; fi
}

removed() {
  k delete "$(kinds)" "$(name_of "$id")" --ignore-not-found --timeout=20s >/dev/null
}

there() { [ -n "$(k get "$(kinds)" --field-selector "metadata.name=$(name_of "$id")" --output name 2>/dev/null)" ]; }

mend_partition() {
  removed || return 1
  k label pod "$host" "rashomon-to-$run-$id-$node-" >/dev/null 2>&1
  k label pod --all "rashomon-from-$run-$id-$node-" >/dev/null
}

probe_partition() { there; }

# Every peer that should not hear this pod must not: a connection is neither taken nor refused.
unheard() {
  for peer in $to; do
    address=$(address_of "$(host_of "$peer")")
    in_pod "command -v nc >/dev/null || command -v bash >/dev/null" ||
      fail "$host has neither nc nor bash to see whether the partition is one"
    in_pod "if command -v bash >/dev/null; then timeout 2 bash -c 'exec 3<>/dev/tcp/$address/$port' 2>/dev/null
      else timeout 2 nc -w 2 $address $port </dev/null >/dev/null 2>&1; fi; [ \$? -ge 124 ]" || {
      echo "$node: the partition lets through what goes to $peer; does the cluster enforce policies?" >&2
      exit 1
    }
  done
}

break_packet() {
  actions=''
  [ "${delay_ms:-0}${jitter_ms:-0}" = 00 ] ||
    actions="  delay: { latency: ${delay_ms}ms, jitter: ${jitter_ms}ms }"
  for one in loss duplicate reorder; do
    eval "share=\${$one:-0}"
    [ "$share" = 0 ] || case $one in
      reorder) fail "a pod has delay, jitter, loss, duplicate and rate; no reorder" ;;
      *) actions="$actions
  $one: { $one: \"$share\" }" ;;
    esac
  done
  [ "${rate_kbit:-0}" = 0 ] || actions="$actions
  bandwidth: { rate: ${rate_kbit}kbps, limit: 20971520, buffer: 10000 }"
  k label pod "$host" --overwrite "rashomon-to-$run-$id-$node=yes" >/dev/null || fail "no label on $host"
  resource <<END
apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata: { name: $(name_of "$id") }
spec:
  action: netem
  mode: all
  selector: { labelSelectors: { rashomon-to-$run-$id-$node: "yes" } }
$actions
END
}

mend_packet() { mend_partition; }
probe_packet() { there; }

break_skew() {
  [ "${drift_ppm:-0}${strobe_ms:-0}" = 00 ] || fail "a pod has a clock that is put ahead or back only"
  k label pod "$host" --overwrite "rashomon-to-$run-$id-$node=yes" >/dev/null || fail "no label on $host"
  resource <<END
apiVersion: chaos-mesh.org/v1alpha1
kind: TimeChaos
metadata: { name: $(name_of "$id") }
spec:
  mode: all
  selector: { labelSelectors: { rashomon-to-$run-$id-$node: "yes" } }
  timeOffset: ${offset_ms}ms
END
}

mend_skew() { mend_partition; }
probe_skew() { there; }

# The disk of a pod is filled from within.
break_disk_full() {
  in_pod "free=\$(df -Pk '$data' | awk 'END { print \$4 }') &&
    dd if=/dev/zero of='$(filler_of "$id")' bs=1024 count=\$((free - $reserve_mb * 1024)) 2>/dev/null" ||
    fail "the disk of $host cannot be filled"
}

# Filled once: what the server gives back later stays free.
fill() { :; }

mend_disk_full() { in_pod "rm -f '$(filler_of "$id")'"; }
probe_disk_full() { in_pod "[ -e '$(filler_of "$id")' ]"; }

may_look() { :; }

check() {
  k get pod "$host" >/dev/null || fail "there is no pod $host"
  [ -z "$chaos_mesh" ] || k get crd networkchaos.chaos-mesh.org >/dev/null || fail "there is no Chaos Mesh"
}
