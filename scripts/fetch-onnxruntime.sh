#!/usr/bin/env bash
# Fetches ONNX Runtime's shared library into .cache/onnxruntime/lib/, as a package, with the ordinary client.
#
# Python's package is preferred (24 MB); where pip is not here or cannot fetch it, Node's serves (114 MB, and one version behind). What
# is unpacked is checked against a pinned SHA-256 and moved into place in one step, so a run that is cut short leaves nothing half
# done, and a run that finds either library there does nothing. Nor does one for which ORT_DYLIB_PATH names a library.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"

pypi_version=1.31.1
npm_version=1.30.0
lib_dir=$root/.cache/onnxruntime/lib

if [ -n "${ORT_DYLIB_PATH:-}" ]; then
    [ -f "$ORT_DYLIB_PATH" ] || fail "ORT_DYLIB_PATH: $ORT_DYLIB_PATH is not a file"
    exit 0
fi

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64)
        wheel_platform=manylinux_2_28_x86_64 npm_member=linux/x64/libonnxruntime.so.1
        library() { echo "libonnxruntime.so.$1"; }
        pypi_sha256=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3
        npm_sha256=ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23
        ;;
    Linux-aarch64)
        wheel_platform=manylinux_2_28_aarch64 npm_member=linux/arm64/libonnxruntime.so.1
        library() { echo "libonnxruntime.so.$1"; }
        pypi_sha256=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467
        npm_sha256=1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76
        ;;
    Darwin-arm64)
        wheel_platform=macosx_14_0_arm64 npm_member=darwin/arm64/libonnxruntime.1.30.0.dylib
        library() { echo "libonnxruntime.$1.dylib"; }
        pypi_sha256=f8b06155feece624e55e49124340eea279da812529ae6fbc46a9f2be9c9cad2e
        npm_sha256=685d2be5dba1309c89d3a5324b7fd06a5c42f1a61bfea32d14c4cc28d072121d
        ;;
    *) fail "ONNX Runtime has no package for $(uname -s) on $(uname -m): set ORT_DYLIB_PATH to a library of version $npm_version or later" ;;
esac

installed() { # VERSION SHA256
    local file
    file=$lib_dir/$(library "$1")
    [ -f "$file" ] && [ "$(sha256_of "$file")" = "$2" ]
}

install_checked() { # FILE VERSION SHA256
    local got
    got=$(sha256_of "$1")
    [ "$got" = "$3" ] || fail "ONNX Runtime's library has the SHA-256 $got, not $3 as pinned: the package is not the one that was tested"
    { mkdir -p "$lib_dir" && cp "$1" "$lib_dir/.partial.$$" && mv -f "$lib_dir/.partial.$$" "$lib_dir/$(library "$2")"; } ||
        fail "ONNX Runtime's library cannot be put into $lib_dir"
}

installed "$pypi_version" "$pypi_sha256" && exit 0
installed "$npm_version" "$npm_sha256" && exit 0

work=$(mktemp -d "${TMPDIR:-/tmp}/onnxruntime.XXXXXX")
trap 'rm -rf "$work" "$lib_dir/.partial.$$"' EXIT

fetch_with_pip() {
    local member
    member=onnxruntime/capi/$(library "$pypi_version")
    echo "Fetching ONNX Runtime $pypi_version with pip..." >&2
    # The wheel is only unpacked, never imported: naming its Python keeps the file the same whatever Python is here.
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --implementation cp --python-version 3.11 \
        --abi cp311 --platform "$wheel_platform" --dest "$work" "onnxruntime==$pypi_version" >&2 || return 1
    python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])' "$work"/onnxruntime-*.whl "$member" "$work" ||
        return 1
    install_checked "$work/$member" "$pypi_version" "$pypi_sha256"
}

fetch_with_npm() {
    local member=package/bin/napi-v6/$npm_member
    echo "Fetching ONNX Runtime $npm_version with npm (pip would fetch a smaller package)..." >&2
    (cd "$work" && npm pack --loglevel=error "onnxruntime-node@$npm_version" >/dev/null) || return 1
    tar -xzf "$work/onnxruntime-node-$npm_version.tgz" -C "$work" "$member" || return 1
    install_checked "$work/$member" "$npm_version" "$npm_sha256"
}

have_pip || apt_install python3-pip || true
if have_pip && fetch_with_pip; then exit 0; fi
if have npm && fetch_with_npm; then exit 0; fi
have_pip || have npm || fail "neither pip nor npm is here to fetch ONNX Runtime: $(apt_hint python3-pip)"
fail "ONNX Runtime could not be fetched, for the reason above; a library of version $npm_version or later also serves: set ORT_DYLIB_PATH"
