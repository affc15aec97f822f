#!/bin/sh
# Ends what runs here of the cluster of cluster.yaml: processes of this user that name its port. `ray stop` would end
# every Ray process of the user, those of a campaign with a Ray of its own, too.
port=${1:-6379}
mine() {
  for folder in /proc/[0-9]*; do
    [ -O "$folder" ] && tr '\0' ' ' <"$folder/cmdline" 2>/dev/null |
      grep -qE -e "--gcs_server_port=$port |--gcs-address=[^ ]*:$port |--gcs_address=[^ ]*:$port " && echo "${folder#/proc/}"
  done
}

signal=TERM
for _ in 1 2 3 4 5 6 7 8 9 10; do
  pids=$(mine)
  [ -n "$pids" ] || exit 0
  # shellcheck disable=SC2086
  kill -$signal $pids 2>/dev/null
  sleep 1
  [ "$_" -lt 6 ] || signal=KILL
done
echo "[cluster] error: processes $(mine | tr '\n' ' ')do not end" >&2
exit 1
