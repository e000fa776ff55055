//! A place for one test: its own network namespace, its own pin directory, or the word that there is none.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;
use raceway_relay::xdp::{Xdp, XdpError, XdpModeWish, XdpOptions, detach};

/// Pins of one test; removed when it ends, however it ends.
pub struct Place {
    pub options: XdpOptions,
}

impl Place {
    /// A fresh one, without interfaces.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("raceway-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let pin_dir = PathBuf::from("/sys/fs/bpf").join(name);
        let interfaces = vec!["no-such-device".to_owned()];
        Self { options: XdpOptions { pin_dir, interfaces, mode: XdpModeWish::Auto, flows_max: 1024 } }
    }

    pub fn open(&self) -> Result<Xdp, XdpError> {
        Xdp::open(&self.options)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = detach(&self.options.pin_dir);
        let _ = std::fs::remove_dir(&self.options.pin_dir);
    }
}

/// Runs a test in a thread with a network namespace of its own, or says why not.
pub fn with_bpf(name: &str, test: impl FnOnce(&mut Place) + Send + 'static) {
    if let Err(why) = able() {
        assert!(std::env::var_os("RACEWAY_REQUIRE_BPF").is_none_or(|value| value != "1"), "{name}: {why}");
        // Past the capture of the test harness: somebody should see it.
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
        return;
    }
    let run = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("able() says so");
        test(&mut Place::new());
    });
    if let Err(panic) = run.join() {
        std::panic::resume_unwind(panic);
    }
}

fn able() -> Result<(), String> {
    if !Uid::effective().is_root() {
        return Err("not root".to_owned());
    }
    std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("no network namespace: {error}"))?;
        let place = Place::new();
        match place.open() {
            Ok(_) => Ok(()),
            // A program that the kernel refuses is a failure of the tests, not of the place.
            Err(XdpError::Program(_) | XdpError::Load(_)) if bpf_works() => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    })
    .join()
    .map_err(|_| "the attempt panicked".to_owned())?
}

/// Whether the kernel makes BPF maps for us.
fn bpf_works() -> bool {
    aya::maps::Array::<_, u32>::create(1, 0).is_ok()
}
