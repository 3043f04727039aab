# The disk of the server, and its files while it is down.

filler_of() {
  echo "$data/.rashomon-$run-$1"
}

free_kb() {
  # What root may still use, which is more than df says.
  set -- $(stat -f -c '%f %S' "$data")
  echo $(($1 * ($2 / 512) / 2))
}

# Takes what is free but the reserve. What the server gives back later is taken as well.
fill() {
  filler=$(filler_of "$1")
  for _ in 1 2 3; do
    spare=$(($(free_kb) - reserve_mb * 1024))
    [ "$spare" -gt 64 ] || return 0
    had=$(stat -c %s "$filler" 2>/dev/null || echo 0)
    fallocate -o "$had" -l "${spare}KiB" "$filler" 2>/dev/null ||
      dd if=/dev/zero bs=1024 count="$spare" 2>/dev/null >>"$filler"
  done
}

break_disk_full() {
  (umask 077 && : >"$(filler_of "$id")") || fail "cannot write into $data"
  fill "$id"
}

mend_disk_full() {
  rm -f "$(filler_of "$id")"
}

# The server may have taken some of the reserve, or given something back this moment.
probe_disk_full() {
  [ -e "$(filler_of "$id")" ] && [ "$(free_kb)" -le $((reserve_mb * 1024 + 4096)) ]
}

# What a crash does to files while nobody has them open.
damage() {
  if [ "$kind" = power-loss ]; then
    [ -p "$lazyfs" ] || fail "$lazyfs is no fifo of LazyFS"
    timeout 5 sh -c 'echo lazyfs::clear-cache >"$0"' "$lazyfs" || fail "nobody reads $lazyfs"
    return
  fi
  hit=0
  cd "$data" || fail "no directory $data"
  for path in $file; do
    [ -f "$path" ] && [ -s "$path" ] || continue
    size=$(stat -c %s "$path")
    if [ "$kind" = truncate ]; then
      left=$((size > bytes ? size - bytes : 0))
      truncate -s "$left" "$path" || fail "cannot truncate $path"
    else
      flipped=0
      while [ "$flipped" -lt "$bits" ]; do
        flip "$path" "$size"
        flipped=$((flipped + 1))
      done
    fi
    hit=$((hit + 1))
  done
  cd /
  [ "$hit" -gt 0 ] || fail "no file of $data is called $file, or all are empty"
}

# Turns one bit of a file over.
flip() {
  chance=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
  place=$((chance / 8 % $2))
  byte=$(od -An -j "$place" -N1 -tu1 "$1" | tr -d ' ')
  octal=$(printf '%03o' $((byte ^ (1 << chance % 8))))
  printf "\\$octal" | dd of="$1" bs=1 seek="$place" conv=notrunc 2>/dev/null || fail "cannot change $1"
}
