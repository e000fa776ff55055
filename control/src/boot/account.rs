//! Which account control runs as.

use std::ffi::CString;
use std::io;

use nix::unistd::{self, Gid, Uid, User};
use raceway_config::Node;

/// An ordinary user to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its user identifier.
    pub uid: Uid,
    /// Its group.
    pub gid: Gid,
}

/// Why rights cannot be given up.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// `node.user` names nobody.
    #[error("{0} is not an account of this machine; create it (`useradd --system {0}`) or name another")]
    Unknown(String),
    /// `node.user` is root.
    #[error("{0} is root, and control must not run as root; name an ordinary account")]
    Root(String),
    /// The system refused.
    #[error("cannot become {name}: {error}")]
    Refused {
        /// The account.
        name: String,
        /// Why.
        error: io::Error,
    },
}

/// The account to become: none unless root started us; `node.user`, else `raceway` if it exists, else `nobody`.
///
/// # Errors
/// [`AccountError::Unknown`], [`AccountError::Root`].
pub fn choose(node: &Node) -> Result<Option<Account>, AccountError> {
    if !unistd::geteuid().is_root() {
        return Ok(None);
    }
    let named = node.user.as_deref();
    let candidates = named.map_or_else(|| vec!["raceway", "nobody"], |name| vec![name]);
    let found = candidates.iter().find_map(|name| User::from_name(name).ok().flatten());
    let user = found.ok_or_else(|| AccountError::Unknown(named.unwrap_or("nobody").to_owned()))?;
    if user.uid.is_root() {
        return Err(AccountError::Root(user.name));
    }
    Ok(Some(Account { name: user.name, uid: user.uid, gid: user.gid }))
}

/// Becomes the account for good: no capability is left, none can come back.
///
/// # Errors
/// [`AccountError::Refused`]; the caller must then end, as only a part may have been given up.
pub fn give_up_rights(account: &Account) -> Result<(), AccountError> {
    let refused = |error: nix::Error| AccountError::Refused { name: account.name.clone(), error: error.into() };
    let name = CString::new(account.name.as_str()).map_err(|_| AccountError::Unknown(account.name.clone()))?;
    unistd::initgroups(&name, account.gid).map_err(refused)?;
    unistd::setresgid(account.gid, account.gid, account.gid).map_err(refused)?;
    unistd::setresuid(account.uid, account.uid, account.uid).map_err(refused)?;
    nix::sys::prctl::set_no_new_privs().map_err(refused)?;
    if unistd::setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok() {
        let error = io::Error::other("root can still be had");
        return Err(AccountError::Refused { name: account.name.clone(), error });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(user: &str) -> Node {
        Node { state_dir: None, run_dir: None, user: Some(user.to_owned()) }
    }

    #[test]
    fn only_ordinary_accounts_will_do_for_root() {
        if !unistd::geteuid().is_root() {
            assert_eq!(choose(&node("root")).expect("not asked"), None);
            return;
        }
        let root = choose(&node("root")).expect_err("root");
        assert_eq!(root.to_string(), "root is root, and control must not run as root; name an ordinary account");
        assert!(matches!(choose(&node("no-such-account")), Err(AccountError::Unknown(_))));
        assert!(choose(&node("nobody")).expect("exists").is_some());
    }
}
