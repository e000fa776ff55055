# shellcheck shell=bash
# A linker and a Rust toolchain. Reads rust-version from Cargo.toml.

PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

# ensure_toolchain: installs what is missing, says what and why.
ensure_toolchain() {
    have gcc || have cc || { say "No C compiler: Rust links with it"; apt_install build-essential; }
    local wanted
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    if have cargo && rust_is_at_least "$wanted"; then
        return
    fi
    if have rustup; then
        say "Rust is older than $wanted: installing the stable toolchain with rustup"
        rustup toolchain install stable --profile minimal --component clippy,rustfmt || die "rustup failed"
        export RUSTUP_TOOLCHAIN=stable
    else
        have curl || { say "No curl: it fetches rustup"; apt_install curl ca-certificates; }
        say "No Rust $wanted (Debian's own is older): installing it for this user from https://sh.rustup.rs"
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
            sh -s -- -y --quiet --no-modify-path --profile minimal --component clippy --component rustfmt ||
            die "rustup could not be installed; see https://rustup.rs"
        hash -r
    fi
    rust_is_at_least "$wanted" || die "Rust $(rust_version) is in the way; Raceway needs $wanted (which cargo: $(command -v cargo))"
}

rust_version() { cargo --version 2>/dev/null | cut -d' ' -f2 | cut -d- -f1; }

rust_is_at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$(rust_version)" | sort -V | head -n 1)" = "$1" ]
}
