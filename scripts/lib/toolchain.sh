# shellcheck shell=bash
# A linker, the libraries that are linked and a Rust toolchain. Reads rust-version from Cargo.toml.

PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
readonly RUSTUP_FROM=https://static.rust-lang.org/rustup/dist

# ensure_toolchain: installs what is missing, says what and why.
ensure_toolchain() {
    have gcc || have cc || { say "No C compiler: Rust links with it"; apt_install build-essential; }
    local libraries=()
    have pkg-config || libraries+=(pkg-config)
    pkg-config --exists openssl 2>/dev/null || libraries+=(libssl-dev)
    [ ${#libraries[@]} = 0 ] || { say "DTLS-SRTP is OpenSSL's"; apt_install "${libraries[@]}"; }
    local wanted
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    if have cargo && rust_is_at_least "$wanted"; then
        return
    fi
    if have rustup; then
        say "No Rust $wanted: installing it with rustup"
        rustup toolchain install "$wanted" --profile minimal --component clippy,rustfmt || die "rustup failed"
    else
        say "No Rust $wanted: installing it for this user with rustup, from $RUSTUP_FROM"
        install_rustup "$wanted" || install_debian_rust || die "No Rust $wanted; see https://rustup.rs"
        hash -r
    fi
    ! have rustup || export RUSTUP_TOOLCHAIN=$wanted
    rust_is_at_least "$wanted" || die "Rust $(rust_version) ($(command -v cargo)) comes before the $wanted that Raceway needs"
}

# install_rustup VERSION: the installer, checked against its published hash, and a toolchain with what the tests need.
install_rustup() {
    local triple directory
    have curl || { say "No curl: it fetches rustup"; apt_install curl ca-certificates; }
    triple=$(uname -m)-unknown-linux-gnu
    directory=$(mktemp -d)
    (
        trap 'rm -rf "$directory"' EXIT
        cd "$directory" || exit 1
        for file in rustup-init rustup-init.sha256; do
            curl --proto '=https' --tlsv1.2 --fail --silent --show-error --retry 3 -o "$file" \
                "$RUSTUP_FROM/$triple/$file" || exit 1
        done
        echo "$(cut -c1-64 rustup-init.sha256)  rustup-init" | sha256sum --check --quiet || exit 1
        chmod +x rustup-init
        RUSTUP_INIT_SKIP_PATH_CHECK=yes ./rustup-init -y --no-modify-path --profile minimal \
            --default-toolchain "$1" --component clippy --component rustfmt
    )
}

# Debian keeps a newer Rust beside its own, for browsers. It has no clippy, so it comes second.
install_debian_rust() {
    is_root && have apt-get || return 1
    say "rust-lang.org cannot be reached; trying Debian's newer Rust"
    apt_install rustc-web cargo-web rustfmt-web
}

rust_version() { cargo --version 2>/dev/null | cut -d' ' -f2 | cut -d- -f1; }

rust_is_at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$(rust_version)" | sort -V | head -n 1)" = "$1" ]
}
