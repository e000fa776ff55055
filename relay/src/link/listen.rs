//! The socket that control connects to.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use socket2::{Domain, SockAddr, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4;

/// Locks a directory for the life of this process.
fn lock(path: &Path) -> io::Result<fs::File> {
    let directory = fs::File::open(path)?;
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(fs::TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another raceway-relay runs there"))
        }
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Whether `peer` may command a relay that runs as `us`. Members of a group may not: on many machines one is everybody's.
fn may_command(us: u32, owner: Option<u32>, peer: u32) -> bool {
    peer == 0 || peer == us || owner == Some(peer)
}

/// Lets anyone connect to the socket at `path`: who may come in is decided by the credentials of the peer. The owner of
/// the directory may have put something else in its place, so that no link is followed and nothing else is changed.
fn let_anyone_knock(path: &Path) -> io::Result<()> {
    let place =
        fs::OpenOptions::new().read(true).custom_flags((OFlag::O_PATH | OFlag::O_NOFOLLOW).bits()).open(path)?;
    let found = place.metadata()?;
    if !found.file_type().is_socket() || found.nlink() != 1 {
        return Err(io::Error::other("something else was put in the place of the socket"));
    }
    fs::set_permissions(format!("/proc/self/fd/{}", place.as_raw_fd()), PermissionsExt::from_mode(0o666))
}

/// Whether `us` may serve in a directory of `owner`, who may command the relay. Root decides who that is; anybody else
/// must not find another user's directory in the place of an own one, which in `/tmp` anyone can make.
const fn may_serve(us: u32, owner: u32) -> bool {
    us == 0 || owner == us || owner == 0
}

/// Listens at `RUN_DIR/relay.sock`; removes the socket when dropped.
pub struct Door {
    socket: Socket,
    path: PathBuf,
    /// Held by the relay that owns the directory, whatever becomes of the socket in it.
    _lock: fs::File,
}

impl Door {
    /// Makes the directory if it is missing, and listens. Others may pass through it (mode 0711) but not open it: they
    /// could hold its lock.
    ///
    /// # Errors
    /// Another relay listens there already (`AddrInUse`), the directory is another user's (`PermissionDenied`), or what
    /// the kernel says.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o711).create(directory)?;
            if !may_serve(geteuid().as_raw(), fs::metadata(directory)?.uid()) {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the directory belongs to another user"));
            }
        }
        let lock = lock(path.parent().unwrap_or(Path::new(".")))?;
        let address = SockAddr::unix(path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        socket.bind(&address)?;
        let_anyone_knock(path)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.to_owned(), _lock: lock })
    }

    /// The next control that may come in.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, `PermissionDenied` for one that may not.
    pub fn accept(&self) -> io::Result<Socket> {
        let (socket, _) = self.socket.accept()?;
        let peer = getsockopt(&socket, PeerCredentials)?;
        let directory = self.path.parent().map(fs::metadata).transpose()?;
        let welcome = may_command(geteuid().as_raw(), directory.map(|owner| owner.uid()), peer.uid());
        if welcome { Ok(socket) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // Left behind it would only refuse connections; the next relay removes it.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_serves_in_the_directory_of_another_ordinary_user() {
        assert!(may_serve(0, 7) && may_serve(7, 7) && may_serve(7, 0));
        assert!(!may_serve(7, 8));
    }

    #[test]
    fn root_the_own_account_and_the_owner_of_the_directory_may_command() {
        let welcome: Vec<u32> = (0..4).filter(|peer| may_command(1, Some(2), *peer)).collect();
        assert_eq!(welcome, [0, 1, 2]);
    }

    #[test]
    fn only_the_socket_itself_is_opened_to_all() {
        let directory = std::env::temp_dir().join(format!("raceway-knock-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a temporary directory");
        let [socket, other, link, second] = ["socket", "other", "link", "second"].map(|name| directory.join(name));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("an own directory");
        fs::write(&other, "").expect("an own directory");
        fs::set_permissions(&other, PermissionsExt::from_mode(0o600)).expect("an own file");
        std::os::unix::fs::symlink(&other, &link).expect("an own directory");
        let mode = |path: &Path| fs::metadata(path).expect("made").mode() & 0o777;
        let_anyone_knock(&socket).expect("the socket");
        assert_eq!(mode(&socket), 0o666);
        for place in [&link, &other] {
            let_anyone_knock(place).expect_err("not the socket");
        }
        assert_eq!(mode(&other), 0o600);
        fs::hard_link(&socket, &second).expect("an own directory");
        let_anyone_knock(&second).expect_err("somebody's socket under another name");
        fs::remove_dir_all(directory).expect("an own directory");
    }

    #[test]
    fn others_pass_through_the_directory_and_cannot_open_it() {
        let parent = std::env::temp_dir().join(format!("raceway-door-{}", std::process::id()));
        let door = Door::open(&parent.join("run/relay.sock")).expect("an own directory");
        let mode = fs::metadata(parent.join("run")).expect("made").mode() & 0o777;
        assert_eq!(mode, 0o711);
        drop(door);
        fs::remove_dir_all(parent).expect("an own directory");
    }
}
