#!/bin/sh
# Runs a command on the software rasterizer of Debian sid, which multiplies cooperative matrices (8x8, f16) where that of stable
# releases does not: `sh tests/with-new-mesa.sh cargo test --test conformance cooperative`. The first call unpacks a small Debian
# into $NEW_MESA (default /opt/foveate-new-mesa, 700 MB, under a minute); that takes root on Debian or Ubuntu. Nothing of the system's
# own is changed. Without a command it does that and no more.
set -eu
root=${NEW_MESA:-/opt/foveate-new-mesa}
architecture=$(uname -m)
libraries=$root/usr/lib/$architecture-linux-gnu

if [ ! -e "$root/lavapipe.json" ]; then
    if ! command -v debootstrap >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
    fi
    log=$(mktemp)
    # Beside its place until it is whole.
    unpacked=$root.unpacking
    rm -rf "$unpacked"
    if ! debootstrap --variant=minbase --include=mesa-vulkan-drivers,libvulkan1 sid "$unpacked" http://deb.debian.org/debian >"$log" 2>&1; then
        tail -5 "$log" >&2
        echo "tests/with-new-mesa.sh: $unpacked could not be filled; $log has all of it" >&2
        exit 3
    fi
    # The driver by its whole path: the system's loader knows nothing of this Debian.
    sed "s#\"library_path\": *\"[^\"]*\"#\"library_path\": \"$libraries/libvulkan_lvp.so\"#" \
        "$unpacked"/usr/share/vulkan/icd.d/lvp_icd*.json >"$unpacked/lavapipe.json"
    mv -T "$unpacked" "$root"
fi

# Programs run under that Debian's own loader and C library, which are newer than what they were built against.
loader=$(echo "$libraries"/ld-linux-*.so.*)
export VK_DRIVER_FILES="$root/lavapipe.json" XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
case ${1-} in
'') ;;
cargo)
    target=$(echo "$architecture" | tr '[:lower:]' '[:upper:]')_UNKNOWN_LINUX_GNU
    export "CARGO_TARGET_${target}_RUNNER=$loader --library-path $libraries"
    exec "$@"
    ;;
*) exec "$loader" --library-path "$libraries" "$@" ;;
esac
