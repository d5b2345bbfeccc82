# Shared by the scripts in this folder: where the repository is, how messages look.
# shellcheck shell=bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

say() { printf '\033[1m== %s\033[0m\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
if ! [ -t 1 ]; then say() { printf '== %s\n' "$*"; }; fi
