#!/bin/sh
# Makes a machine a node for cluster.yaml; `ray up` calls it there. Checks the token, makes ~/crystalloop/.venv, and has
# the node's shell find ray: `ray down`, `ray exec` and `ray attach` look for it on PATH.
set -eu
token=$HOME/.ray/auth_token
fail() { printf '%s\n' "[cluster] error: $1" "[cluster] next: $2" >&2; exit 1; }

mode=$(stat -c %a "$token") || fail "no token in $token" "repeat \`ray up\`, which brings it"
case $mode in
*00) ;;
*) fail "$token can be read by others (mode $mode), and whoever has it runs code here" "chmod 600 ~/.ray/auth_token where you call \`ray up\`, and repeat it" ;;
esac
chmod 700 "$HOME/.ray"

sh "$HOME/crystalloop/scripts/setup.sh" python

line='[ ! -f ~/crystalloop/scripts/cluster_env.sh ] || . ~/crystalloop/scripts/cluster_env.sh # crystalloop, see cluster.yaml'
grep -qxF "$line" "$HOME/.bashrc" 2>/dev/null || printf '%s\n' "$line" >>"$HOME/.bashrc"
