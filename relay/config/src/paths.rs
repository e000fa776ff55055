//! Where files are when the configuration does not say.

use std::path::PathBuf;

use crate::Node;

/// What [`Paths`] depends on besides the configuration.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Effective user identifier; 0 is root.
    pub uid: u32,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub state_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
}

/// Directories and sockets at run time; the same for relay, control and racewayctl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// What outlives the process: `/var/lib/raceway` for root, else `raceway` in `XDG_STATE_HOME` or
    /// `~/.local/state`.
    pub state_dir: PathBuf,
    /// Sockets: `/run/raceway` for root, else `raceway` in `XDG_RUNTIME_DIR`, else `/tmp/raceway-UID`.
    pub run_dir: PathBuf,
}

impl Paths {
    /// What `node` says, else what fits the user.
    #[must_use]
    pub fn new(node: &Node, surroundings: &Surroundings) -> Self {
        let state_dir = node.state_dir.clone().unwrap_or_else(|| default_state_dir(surroundings));
        let run_dir = node.run_dir.clone().unwrap_or_else(|| default_run_dir(surroundings));
        Self { state_dir, run_dir }
    }

    /// Where the relay listens for control.
    #[must_use]
    pub fn relay_socket(&self) -> PathBuf {
        self.run_dir.join("relay.sock")
    }

    /// Where control listens for racewayctl.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.run_dir.join("admin.sock")
    }

    /// What control makes on first start.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.state_dir.join("credentials.toml")
    }
}

fn absolute(path: Option<&PathBuf>) -> Option<&PathBuf> {
    path.filter(|path| path.is_absolute())
}

fn default_state_dir(surroundings: &Surroundings) -> PathBuf {
    if surroundings.uid == 0 {
        return "/var/lib/raceway".into();
    }
    if let Some(state_home) = absolute(surroundings.state_home.as_ref()) {
        return state_home.join("raceway");
    }
    match absolute(surroundings.home.as_ref()) {
        Some(home) => home.join(".local/state/raceway"),
        None => format!("/tmp/raceway-{}/state", surroundings.uid).into(),
    }
}

fn default_run_dir(surroundings: &Surroundings) -> PathBuf {
    if surroundings.uid == 0 {
        return "/run/raceway".into();
    }
    match absolute(surroundings.runtime_dir.as_ref()) {
        Some(runtime) => runtime.join("raceway"),
        None => format!("/tmp/raceway-{}", surroundings.uid).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(node: Node, surroundings: &Surroundings) -> (String, String) {
        let paths = Paths::new(&node, surroundings);
        (paths.state_dir.display().to_string(), paths.run_dir.display().to_string())
    }

    #[test]
    fn root_user_and_bare_user_each_have_their_places() {
        let node = Node { state_dir: None, run_dir: None, user: None };
        let root = Surroundings { home: Some("/root".into()), ..Surroundings::default() };
        assert_eq!(paths(node.clone(), &root), ("/var/lib/raceway".into(), "/run/raceway".into()));
        let mut user = Surroundings { uid: 7, home: Some("/home/u".into()), ..Surroundings::default() };
        assert_eq!(paths(node.clone(), &user), ("/home/u/.local/state/raceway".into(), "/tmp/raceway-7".into()));
        user.runtime_dir = Some("/run/user/7".into());
        user.state_home = Some("relative".into());
        assert_eq!(paths(node, &user), ("/home/u/.local/state/raceway".into(), "/run/user/7/raceway".into()));
    }

    #[test]
    fn the_configuration_wins() {
        let node = Node { state_dir: Some("/a".into()), run_dir: Some("/b".into()), user: None };
        assert_eq!(paths(node, &Surroundings::default()), ("/a".into(), "/b".into()));
    }
}
