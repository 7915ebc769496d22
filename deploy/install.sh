#!/bin/sh
# Installs the binary of a release: downloads it, checks its SHA-256, and puts it into ~/.local/bin.
#
#   sh install.sh                       the newest release
#   THREADLINE_VERSION=v0.1.0 sh install.sh
#   THREADLINE_DIR=/usr/local/bin sh install.sh
#
# THREADLINE_RELEASES is the address of the releases. The release workflow writes it into the copy that it publishes.
set -eu

RELEASES="${THREADLINE_RELEASES:-@RELEASES@}"
VERSION="${THREADLINE_VERSION:-latest}"
DIRECTORY="${THREADLINE_DIR:-$HOME/.local/bin}"

fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

case "$RELEASES" in
    @*) fail "set THREADLINE_RELEASES to the address of the releases, such as https://github.com/OWNER/NAME/releases" ;;
esac

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) target=x86_64-unknown-linux-musl ;;
    Linux-aarch64 | Linux-arm64) target=aarch64-unknown-linux-musl ;;
    Darwin-x86_64) target=x86_64-apple-darwin ;;
    Darwin-arm64) target=aarch64-apple-darwin ;;
    *) fail "there is no binary for $(uname -s) on $(uname -m): build it with cargo install --path . --locked" ;;
esac

if [ "$VERSION" = latest ]; then
    base="$RELEASES/latest/download"
else
    base="$RELEASES/download/$VERSION"
fi

if command -v curl >/dev/null 2>&1; then
    download() { curl --fail --silent --show-error --location --retry 3 --output "$2" "$1"; }
elif command -v wget >/dev/null 2>&1; then
    download() { wget --quiet --tries=3 --output-document="$2" "$1"; }
else
    fail "install curl or wget"
fi

if command -v sha256sum >/dev/null 2>&1; then
    sha256() { sha256sum "$1"; }
elif command -v shasum >/dev/null 2>&1; then
    sha256() { shasum -a 256 "$1"; }
else
    fail "install sha256sum or shasum, to check the download"
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
archive="threadline-$target.tar.gz"
download "$base/$archive" "$work/$archive" || fail "$base/$archive cannot be downloaded"
download "$base/SHA256SUMS" "$work/SHA256SUMS" || fail "$base/SHA256SUMS cannot be downloaded"

wanted="$(awk -v file="$archive" '$2 == file || $2 == "*" file { print $1 }' "$work/SHA256SUMS")"
[ -n "$wanted" ] || fail "SHA256SUMS does not name $archive"
found="$(sha256 "$work/$archive" | cut -d ' ' -f 1)"
[ "$wanted" = "$found" ] || fail "the SHA-256 of $archive is $found, and SHA256SUMS says $wanted: nothing was installed"

tar -xzf "$work/$archive" -C "$work"
mkdir -p "$DIRECTORY"
# Renamed into its place, so that a running server keeps its file.
cp "$work/threadline-$target/threadline" "$DIRECTORY/.threadline.new"
chmod 755 "$DIRECTORY/.threadline.new"
mv "$DIRECTORY/.threadline.new" "$DIRECTORY/threadline"

printf 'Installed %s as %s.\n' "$("$DIRECTORY/threadline" --version)" "$DIRECTORY/threadline"
case ":$PATH:" in
    *":$DIRECTORY:"*) ;;
    *) printf 'Add %s to your PATH.\n' "$DIRECTORY" ;;
esac
