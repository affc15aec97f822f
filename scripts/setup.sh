#!/bin/sh
# Sets up everything a checkout needs, and nothing twice: the virtual environment with locked dependencies, pw.x and
# the pseudopotentials; `setup.sh python` the first alone. Says what it does; where it may not do it, prints the command
# for you and stops.
set -eu
cd "$(dirname "$0")/.."
home=.crystalloop
mkdir -p "$home"
trap 'rm -rf "$home"/apt.$$ "$home"/pip.$$' EXIT

say() { printf '%s\n' "[setup] $*"; }
fail() { printf '%s\n' "[setup] error: $1" "[setup] next: $2" >&2; exit 1; }

# --- 1. Python environment -----------------------------------------------------------------------------------------
python=${PYTHON:-python3}
"$python" - <<'PY' || fail "$python is not Python 3.11, 3.12 or 3.13" "install one of them, or name it: make PYTHON=python3.11"
import sys
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PY
want=$(cat requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1)
if [ "$(cat .venv/.crystalloop-lock 2>/dev/null || true)" != "$want" ]; then
  if ! "$python" -m venv .venv 2>"$home/venv.log"; then
    fail "python3 -m venv failed: $(tail -n 1 "$home/venv.log")" "sudo apt-get install python3-venv, then repeat"
  fi
  say "installing the locked Python packages (a few minutes the first time)"
  .venv/bin/python -m pip install --quiet --require-hashes -r requirements.lock 2>"$home/pip.$$" ||
    fail "pip could not install requirements.lock: $(grep -i error "$home/pip.$$" | tail -n 1)" "check the network and repeat the same command; finished downloads are kept"
  .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable . 2>"$home/pip.$$" ||
    fail "the project itself did not install: $(tail -n 1 "$home/pip.$$")" "repeat; if it stays, report the line above"
  printf '%s' "$want" >.venv/.crystalloop-lock
else
  say "Python packages: up to date"
fi

if [ "${1:-}" = python ]; then exit 0; fi

# --- 2. pw.x --------------------------------------------------------------------------------------------------------
if [ "$(id -u)" = 0 ]; then as_root=""; else as_root="sudo"; fi
if command -v "${CRYSTALLOOP_PW:-pw.x}" >/dev/null 2>&1; then
  say "pw.x: $(command -v "${CRYSTALLOOP_PW:-pw.x}")"
else
  command -v apt-get >/dev/null 2>&1 ||
    fail "no pw.x, and no apt-get to install it" "install Quantum ESPRESSO 6.7 or later, then name it: export CRYSTALLOOP_PW=/path/to/pw.x"
  install="$as_root apt-get install --yes --no-install-recommends quantum-espresso"
  if [ -n "$as_root" ] && ! sudo -n true 2>/dev/null && ! [ -t 0 ]; then
    fail "pw.x is missing and root is needed to install it" "$install"
  fi
  say "installing pw.x: $install"
  { $as_root apt-get update && DEBIAN_FRONTEND=noninteractive $install; } >"$home/apt.log" 2>&1 ||
    fail "apt could not install quantum-espresso: $(grep -E '^(E|Err):?' "$home/apt.log" | tail -n 1)" "check the network and run: $install"
fi

# --- 3. pseudopotentials (SSSP 1.3.0 PBE efficiency) ------------------------------------------------------------------
pseudos=${CRYSTALLOOP_PSEUDOS:-$home/pseudos}
check() { .venv/bin/crystalloop pseudos check "$@" >"$home/pseudos.log" 2>&1; }
if check || check --folder "$pseudos"; then
  say "pseudopotentials: $(tr '\n' ' ' <"$home/pseudos.log")"
else
  source=${CRYSTALLOOP_UPF_SOURCE:-/usr/share/espresso/pseudo}
  if ! .venv/bin/crystalloop pseudos install --source "$source" --folder "$pseudos" >"$home/pseudos.log" 2>&1; then
    command -v apt-get >/dev/null 2>&1 ||
      fail "no SSSP pseudopotentials in $source" "download SSSP 1.3.0 PBE efficiency from Materials Cloud, unpack it and repeat with CRYSTALLOOP_UPF_SOURCE=FOLDER"
    say "fetching the pseudopotentials: Debian's quantum-espresso-data-sssp (43 MB)"
    box=$(pwd)/$home/apt.$$
    mkdir -p "$box/lists/partial" "$box/cache/archives/partial" "$box/deb"
    mirror=${CRYSTALLOOP_DEBIAN_MIRROR:-http://deb.debian.org/debian}
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    printf 'deb [signed-by=%s] %s trixie main\n' "$key" "$mirror" >"$box/sources.list"
    options="-o Dir::Etc::sourcelist=$box/sources.list -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists=$box/lists -o Dir::Cache=$box/cache -o APT::Sandbox::User="
    # shellcheck disable=SC2086
    { apt-get $options update && cd "$box/deb" && apt-get $options download quantum-espresso-data-sssp; } >"$box/log" 2>&1 ||
      fail "could not fetch quantum-espresso-data-sssp: $(grep -E '^(E|Err):?' "$box/log" | tail -n 1)" "check the network, or give a folder with the SSSP files: CRYSTALLOOP_UPF_SOURCE=FOLDER make setup"
    cd "$box/../.."
    dpkg -x "$box"/deb/*.deb "$box/out"
    .venv/bin/crystalloop pseudos install --source "$box/out/usr/share/espresso/pseudo" --folder "$pseudos" >"$home/pseudos.log" 2>&1 ||
      fail "the pseudopotentials did not verify: $(tail -n 1 "$home/pseudos.log")" "repeat; the download may have been damaged"
  fi
  say "pseudopotentials: installed in $pseudos, every md5 verified"
fi
say "ready: .venv/bin/crystalloop --help"
