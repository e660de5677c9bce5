#!/usr/bin/env bash
# Finds the CPythons that `./pants` and `./quickstart` need, which source this file, and fetches what a machine lacks.
#
# As a program it prints the path of a CPython: build-support/pants/python.sh 3.10
#
# Reads    pythons.txt beside it: which archive to fetch, and its SHA-256.
#          SLIM_RAY_IMAGE_PYTHON_MIRROR, which takes the place of RELEASES below, as UV_PYTHON_INSTALL_MIRROR does for uv.
# Writes   the directory `python` of the cache: a directory for each archive, which is safe to delete.
#
# Kept to what bash 3.2 has, for macOS.
set -euo pipefail

readonly RELEASES=https://github.com/astral-sh/python-build-standalone/releases/download
pins=./pythons.txt
if [[ "${BASH_SOURCE[0]}" == */* ]]; then
  pins="${BASH_SOURCE[0]%/*}/pythons.txt"
fi

fail() { # MESSAGE
  printf '%s\n' "$1" >&2
  exit 1
}

# --- With builtins alone.

# Sets `cache`, an absolute directory, and the directories where CPythons are looked for.
find_cache() {
  if [[ -n "${SLIM_RAY_IMAGE_CACHE:-}" ]]; then
    cache="${SLIM_RAY_IMAGE_CACHE}"
  elif [[ -n "${XDG_CACHE_HOME:-}" ]]; then
    cache="${XDG_CACHE_HOME}/slim_ray_image"
  elif [[ -n "${HOME:-}" ]]; then
    cache="${HOME}/.cache/slim_ray_image"
  else
    fail "Cannot tell where to set up Pants: SLIM_RAY_IMAGE_CACHE, XDG_CACHE_HOME and HOME are all unset.

To fix, name one:
    export SLIM_RAY_IMAGE_CACHE=/tmp/slim_ray_image"
  fi
  if [[ "${cache}" != /* ]]; then
    cache="${PWD}/${cache}"
  fi
  pyenv_versions="${PYENV_ROOT:-${HOME:-}/.pyenv}/versions"
  uv_pythons="${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-${HOME:-}/.local/share}/uv/python}"
}

# Puts the CPythons that were fetched, or that uv has, behind everything on PATH, where Pants looks for those that
# tests and tools run on.
extend_path() {
  local bin
  for bin in "${cache}/python"/*-"${HOSTTYPE}"-*/bin "${uv_pythons}"/cpython-3.{9,10}.*/bin; do
    if [[ -d "${bin}" && ":${PATH}:" != *":${bin}:"* ]]; then
      PATH="${PATH}:${bin}"
    fi
  done
}

# Sets `ca_certs` to the CA certificates of this machine, or to nothing where only other places have them.
find_ca_certs() {
  for ca_certs in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt ''; do
    if [[ -f "${ca_certs}" && -r "${ca_certs}" ]]; then
      break
    fi
  done
  if [[ -n "${ca_certs}" && "${ca_certs}" != /* ]]; then
    ca_certs="${PWD}/${ca_certs}"
  fi
}

# Prints the SHA-256 of each file first on a line, of its own.
hash_files() { # FILES
  if command -v sha256sum >/dev/null; then
    sha256sum "$@"
  else
    shasum -a 256 "$@" # macOS
  fi
}

# --- Finding.

# Prints "usable", or what is wrong. Runs on any Python 3.
readonly PROBE='
import sys
want, purpose = int(sys.argv[1]), sys.argv[2]
name = "%s %d.%d.%d" % ((sys.implementation.name,) + sys.version_info[:3])
name = name.replace("cpython", "CPython")
problem = "" if name.startswith("CPython 3.%d." % want) else "is " + name
for module in ("ensurepip", "ssl", "venv", "zlib"):
    try:
        __import__(module)
    except ImportError:
        problem = problem or "is %s, but has no module %s" % (name, module)
if purpose == "copy" and sys.base_prefix == "/usr":
    problem = problem or "is %s, but of the operating system, whose directories cannot be copied" % name
print(problem or "usable")
'

# Sets `python` and returns 0 if the candidate is a CPython 3.MINOR that works; else sets `problem`.
try_python() { # CANDIDATE MINOR PURPOSE
  local verdict status=0
  verdict="$("$1" -I -c "${PROBE}" "$2" "$3" 2>/dev/null)" || status=$?
  if [[ "${verdict}" == usable ]]; then
    python="$1"
    return 0
  fi
  # A pyenv shim stands on PATH for every version, and fails for those that are not activated.
  problem="${verdict:-does not run (exit code ${status})}"
  return 1
}

# Prints each path where a CPython 3.MINOR may be, the likeliest first.
list_candidates() { # MINOR
  local name="python3.$1" candidate
  type -aP "${name}" || true
  for candidate in "${pyenv_versions}"/*/bin/"${name}" "${uv_pythons}"/*/bin/"${name}"; do
    if [[ -x "${candidate}" ]]; then printf '%s\n' "${candidate}"; fi
  done
  type -aP python3 || true
  if [[ -n "${fetched}" && -x "${fetched}/bin/${name}" ]]; then printf '%s\n' "${fetched}/bin/${name}"; fi
}

# Sets `archive_sha256`, `archive_url`, `archive_version` and `fetched`, the directory for what is in the archive; or
# `fetched` to nothing, if no archive is pinned for this machine.
read_pin() { # MINOR
  local minor platform pinned_platform
  fetched=''
  platform="$(uname -s)-$(uname -m)"
  case "${platform}" in
    Darwin-arm64) platform=darwin-aarch64 ;;
    Darwin-*) platform="darwin-${platform#*-}" ;;
    Linux-*) platform="linux-${platform#*-}" ;;
  esac
  while read -r minor pinned_platform archive_sha256 archive_url; do
    if [[ "${minor} ${pinned_platform}" == "3.$1 ${platform}" ]]; then
      archive_version="${archive_url##*/cpython-}"
      archive_version="${archive_version%%[%+]*}"
      # The hash: an archive that is pinned later does not take what is there for its own.
      fetched="${cache}/python/${archive_version}-${HOSTTYPE}-${archive_sha256:0:16}"
      return
    fi
  done <"${pins}"
}

# Sets `python` to a CPython 3.MINOR: one of this machine, else one that was fetched, else one that is fetched now.
#
# PURPOSE is "run" or "copy".
get_python() { # MINOR PURPOSE
  local candidate fetched archive_sha256 archive_url archive_version problem looked_at=''
  find_ca_certs
  read_pin "$1"
  while IFS= read -r candidate; do
    if try_python "${candidate}" "$1" "$2"; then return; fi
    looked_at+="  * ${candidate}: ${problem}"$'\n'
  done < <(list_candidates "$1")
  fetch_python "$1" "$2"
}

# --- Fetching.

# Stops with an error that has the ways out.
fail_fetch() { # MINOR SUBJECT EVIDENCE FIRST_FIX
  fail "$2

${3:+$3

}None was found as python3.$1 or python3 on PATH, in ${pyenv_versions}
or in ${uv_pythons}:
$(if [[ -n "${looked_at}" ]]; then printf '%s' "${looked_at}" | sort -u | head -n 10; else echo '  * none is there'; fi)

To fix, do one of the following, then run the same command again:
${4:+  * $4
}  * name a mirror of the releases of python-build-standalone, https or a directory:
        export SLIM_RAY_IMAGE_PYTHON_MIRROR=https://mirror.example.com/python-build-standalone
        export SLIM_RAY_IMAGE_PYTHON_MIRROR=file:///srv/python-build-standalone
  * install a CPython 3.$1 yourself: \`pyenv install 3.$1\`, \`uv python install 3.$1\`, or the packages python3.$1
    and python3.$1-venv where your system has them"
}

# Sets `url`, where to fetch from, and `shown`, which is the same without a login.
find_url() { # MINOR
  local mirror="${SLIM_RAY_IMAGE_PYTHON_MIRROR:-${RELEASES}}" rest
  while [[ "${mirror}" == */ ]]; do mirror="${mirror%/}"; done
  url="${mirror}${archive_url#"${RELEASES}"}"
  shown="${url}"
  rest="${url#*://}"
  if [[ "${rest%%/*}" == *@* ]]; then
    shown="${url%%://*}://***@${rest#*@}"
  fi
  if [[ "${url}" != https://* && "${url}" != file:///* ]]; then
    fail "The variable SLIM_RAY_IMAGE_PYTHON_MIRROR must be an https:// URL or a file:/// one, but was '${shown%"${archive_url#"${RELEASES}"}"}'.

To fix, name the directory that has the directories of the releases, such as ${archive_url#"${RELEASES}/"}:
    export SLIM_RAY_IMAGE_PYTHON_MIRROR=https://mirror.example.com/python-build-standalone"
  fi
}

# Writes the file `archive` here. The URL is no argument of curl, as it may hold a login.
download() {
  local quoted="${url//\\/\\\\}"
  if [[ -n "${ca_certs}" ]]; then
    export CURL_CA_BUNDLE="${CURL_CA_BUNDLE:-${ca_certs}}"
  fi
  printf 'url = "%s"\n' "${quoted//\"/\\\"}" |
    curl --config - --fail --location --netrc-optional --proto '=https,file' --proto-redir '=https' \
      --silent --show-error --retry 2 --connect-timeout 20 --speed-limit 1000 --speed-time 60 \
      --output archive 2>curl.log
}

# Runs in an empty directory; leaves in it `python`, a CPython that works.
unpack_python() { # MINOR PURPOSE
  local subject="Cannot fetch CPython ${archive_version} from
    ${shown}" found_sha256=''
  if ! download; then
    fail_fetch "$1" "${subject}" "It said:
  * $(tail -n 1 curl.log)" "if a proxy or a network that re-signs TLS is between, set HTTPS_PROXY or SSL_CERT_FILE"
  fi
  read -r found_sha256 _ < <(hash_files archive) || true
  if [[ "${found_sha256}" != "${archive_sha256}" ]]; then
    fail_fetch "$1" "The archive of CPython ${archive_version} is not the one that build-support/pants/pythons.txt pins; nothing of it was used.
    ${shown}" "  * pinned SHA-256: ${archive_sha256}
  * fetched:        ${found_sha256:-none, as neither sha256sum nor shasum ran} ($(wc -c <archive | tr -d ' ') bytes)" \
      "if the download was cut, try again; a proxy or a mirror must give the file unchanged"
  fi
  # -o: the files are of who runs this, also if that is root.
  if ! tar -x -o -z -f archive 2>tar.log; then
    fail_fetch "$1" "Cannot unpack CPython ${archive_version} in ${PWD}." "tar said:
$(tail -n 5 tar.log | sed 's/^/  * /')" "have tar and gzip on PATH, and 200 MB in ${cache} or where SLIM_RAY_IMAGE_CACHE says"
  fi
  if ! try_python "${PWD}/python/bin/python3.$1" "$1" "$2"; then
    fail_fetch "$1" "The CPython ${archive_version} that was fetched does not work here; on Linux it needs glibc 2.17 or newer." \
      "  * python3.$1 ${problem}" ''
  fi
}

# Gives the new directory its name, unless another process was first. Python does it, as mv(1) would move the directory
# into one of that name.
readonly KEEP='
import os, sys
try:
    os.rename(sys.argv[1], sys.argv[2])
except OSError:
    sys.exit(1)
'

# Sets `python` to the CPython 3.MINOR of the pinned archive, which is unpacked elsewhere and then renamed: what has
# the name is whole. Two at once both fetch, and the first wins; what a killed call left is removed a day later.
fetch_python() { # MINOR PURPOSE
  local url shown partial tool
  if [[ -z "${fetched}" ]]; then
    fail_fetch "$1" "There is no CPython 3.$1 to fetch for $(uname -s) on $(uname -m), by build-support/pants/pythons.txt." '' ''
  fi
  for tool in curl tar gzip; do
    if ! command -v "${tool}" >/dev/null; then
      fail_fetch "$1" "CPython ${archive_version} cannot be fetched without ${tool}, which is not on PATH." '' \
        "have the package ${tool} of your system, as by \`apt-get install ca-certificates curl gzip tar\`"
    fi
  done
  find_url
  if ! mkdir -p "${cache}/python" || ! partial="$(mktemp -d "${cache}/python/.partial.XXXXXX")"; then
    fail "Cannot write in ${cache}/python.

To fix, name a directory that can be written:
    export SLIM_RAY_IMAGE_CACHE=/tmp/slim_ray_image"
  fi
  find "${cache}/python" -maxdepth 1 -name '.partial.*' -mtime +0 -exec rm -rf {} + 2>/dev/null || true
  echo "Fetching CPython ${archive_version} (20 to 40 MB) from ${shown}" >&2
  (
    trap 'cd / && rm -rf "${partial}"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    cd "${partial}" && unpack_python "$1" "$2" || exit
    if ! "${python}" -I -c "${KEEP}" python "${fetched}" && ! try_python "${fetched}/bin/python3.$1" "$1" "$2"; then
      rm -rf "${fetched}" && "${python}" -I -c "${KEEP}" python "${fetched}"
    fi
  ) || exit
  python="${fetched}/bin/python3.$1"
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then
  if [[ ! "$*" =~ ^3\.[0-9]+$ ]]; then
    fail "Usage: build-support/pants/python.sh 3.MINOR

Prints the path of a CPython 3.MINOR, which is fetched where this machine has none."
  fi
  find_cache
  get_python "${1#3.}" run
  printf '%s\n' "${python}"
fi
