//! Which account control runs as.

use std::ffi::CString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{self, Gid, Group, Uid, User};
use raceway_config::Node;

/// The account that is taken if it exists and none is configured.
const USUAL: &str = "raceway";

/// Identifiers for services that have no account: those that systemd gives to units with `DynamicUser=`. No person and
/// no package has them.
const UNLISTED: RangeInclusive<u32> = 61184..=65519;

/// Where systemd keeps a file for each of them that it has given away.
const GIVEN_BY_SYSTEMD: &str = "/run/systemd/dynamic-uid";

/// An ordinary user to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name, if the machine has such an account.
    pub name: Option<String>,
    /// Its user identifier.
    pub uid: Uid,
    /// Its group.
    pub gid: Gid,
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "user {}", self.uid),
        }
    }
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
    /// Every identifier for services without an account is in use.
    #[error("no user identifier from {} to {} is free; create an account (`useradd --system {USUAL}`)", UNLISTED.start(), UNLISTED.end())]
    NoneFree,
    /// The system refused.
    #[error("cannot become {account}: {error}")]
    Refused {
        /// The account.
        account: Account,
        /// Why.
        error: io::Error,
    },
}

/// The account to become: none unless root started us; `node.user`, else `raceway` if it exists, else an identifier
/// that nobody else has: the owner of the state directory, or a free one that hangs on its name, so that it is the same
/// at each start. Never `nobody`, whom other programs share.
///
/// # Errors
/// [`AccountError::Unknown`], [`AccountError::Root`], [`AccountError::NoneFree`].
pub fn choose(node: &Node, state_dir: &Path) -> Result<Option<Account>, AccountError> {
    if !unistd::geteuid().is_root() {
        return Ok(None);
    }
    let name = node.user.as_deref();
    match (User::from_name(name.unwrap_or(USUAL)).ok().flatten(), name) {
        (Some(user), _) if user.uid.is_root() => Err(AccountError::Root(user.name)),
        (Some(user), _) => Ok(Some(Account { name: Some(user.name), uid: user.uid, gid: user.gid })),
        (None, Some(name)) => Err(AccountError::Unknown(name.to_owned())),
        (None, None) => unlisted(state_dir).map(Some).ok_or(AccountError::NoneFree),
    }
}

fn unlisted(state_dir: &Path) -> Option<Account> {
    let owner = fs::metadata(state_dir).ok().map(|metadata| metadata.uid());
    let running = running();
    let id = pick(owner, candidates(state_dir), is_known, |id| running.contains(&id))?;
    Some(Account { name: None, uid: Uid::from_raw(id), gid: Gid::from_raw(id) })
}

/// The owner of the state directory may run: it is another control, which is dealt with later.
fn pick(
    owner: Option<u32>,
    mut candidates: impl Iterator<Item = u32>,
    is_known: impl Fn(u32) -> bool,
    runs: impl Fn(u32) -> bool,
) -> Option<u32> {
    let kept = owner.filter(|id| UNLISTED.contains(id) && !is_known(*id));
    kept.or_else(|| candidates.find(|id| !is_known(*id) && !runs(*id)))
}

/// All of them, from a place that hangs on the directory's name.
fn candidates(state_dir: &Path) -> impl Iterator<Item = u32> + use<> {
    let mut hasher = DefaultHasher::new();
    state_dir.hash(&mut hasher);
    let count = UNLISTED.count() as u64;
    let first = hasher.finish() % count;
    (0..count).map(move |step| UNLISTED.start() + ((first + step) % count) as u32)
}

/// Whether an account, a group or a unit of systemd has it.
fn is_known(id: u32) -> bool {
    User::from_uid(Uid::from_raw(id)).is_ok_and(|user| user.is_some())
        || Group::from_gid(Gid::from_raw(id)).is_ok_and(|group| group.is_some())
        || Path::new(GIVEN_BY_SYSTEMD).join(id.to_string()).exists()
}

/// Users of the processes that run here.
fn running() -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let status = processes.filter_map(|process| fs::read_to_string(process.path().join("status")).ok());
    status.flat_map(|status| users(&status)).collect()
}

/// Real, effective, saved and file system user of a process, from its `status`.
fn users(status: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.into_iter().flat_map(str::split_whitespace).filter_map(|id| id.parse().ok()).collect()
}

/// Becomes the account for good: no capability is left, none can come back.
///
/// # Errors
/// [`AccountError::Refused`]; the caller must then end, as only a part may have been given up.
pub fn give_up_rights(account: &Account) -> Result<(), AccountError> {
    let refused = |error: nix::Error| AccountError::Refused { account: account.clone(), error: error.into() };
    match &account.name {
        Some(name) => {
            let name = CString::new(name.as_str()).map_err(|_| AccountError::Unknown(name.clone()))?;
            unistd::initgroups(&name, account.gid).map_err(refused)?;
        }
        None => unistd::setgroups(&[account.gid]).map_err(refused)?,
    }
    unistd::setresgid(account.gid, account.gid, account.gid).map_err(refused)?;
    unistd::setresuid(account.uid, account.uid, account.uid).map_err(refused)?;
    nix::sys::prctl::set_no_new_privs().map_err(refused)?;
    if unistd::setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok() {
        let error = io::Error::other("root can still be had");
        return Err(AccountError::Refused { account: account.clone(), error });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Directory;

    fn node(user: Option<&str>) -> Node {
        Node { state_dir: None, run_dir: None, user: user.map(str::to_owned) }
    }

    #[test]
    fn only_ordinary_accounts_will_do_for_root() {
        let choose = |user| choose(&node(Some(user)), Path::new("/nonexistent"));
        if !unistd::geteuid().is_root() {
            assert_eq!(choose("root").expect("not asked"), None);
            return;
        }
        let root = choose("root").expect_err("root");
        assert_eq!(root.to_string(), "root is root, and control must not run as root; name an ordinary account");
        assert!(matches!(choose("no-such-account"), Err(AccountError::Unknown(_))));
        assert!(choose("nobody").expect("exists").is_some());
    }

    #[test]
    fn without_an_account_an_identifier_is_taken_that_nobody_has_and_always_the_same() {
        let directory = Directory::new("account");
        let first = unlisted(directory.path()).expect("thousands are free");
        assert_eq!(unlisted(directory.path()), Some(first.clone()));
        assert!(UNLISTED.contains(&first.uid.as_raw()) && first.uid.as_raw() == first.gid.as_raw());
        assert!(!is_known(first.uid.as_raw()) && !running().contains(&first.uid.as_raw()));
        let elsewhere = Directory::new("account");
        assert_ne!(unlisted(elsewhere.path()), Some(first), "two appliances do not share one");
    }

    #[test]
    fn every_identifier_is_tried_once() {
        let all: std::collections::BTreeSet<u32> = candidates(Path::new("/var/lib/raceway")).collect();
        assert!(all.into_iter().eq(UNLISTED));
    }

    #[test]
    fn what_others_have_is_passed_over_and_the_owner_of_the_state_directory_kept() {
        let pick = |owner| pick(owner, 61_200..61_300, |id| id == 61_200 || id == 61_210, |id| id == 61_201);
        assert_eq!(pick(None), Some(61_202), "neither known nor running");
        assert_eq!(pick(Some(61_201)), Some(61_201), "another control may run as the owner");
        assert_eq!(pick(Some(61_210)), Some(61_202), "somebody has been given it since");
        for other in [0, 1000, 65_534] {
            assert_eq!(pick(Some(other)), Some(61_202), "somebody's directory");
        }
        let none = super::pick(None, 61_200..61_300, |_| false, |_| true);
        assert_eq!(none, None);
    }

    #[test]
    fn accounts_and_processes_of_this_machine_are_seen() {
        assert!(is_known(0), "root has an account");
        assert!(running().contains(&unistd::geteuid().as_raw()), "this process runs");
        assert_eq!(users("Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\n"), [1, 2, 3, 4]);
    }
}
