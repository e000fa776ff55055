//! Namespaces: networks to work in, and file systems that vanish with this process.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

/// Runs `work` on a thread of its own inside the named namespace; sockets and links made there stay there.
pub fn within<T: Send>(namespace: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        scope
            .spawn(|| {
                enter(namespace)?;
                work()
            })
            .join()
            .map_err(|_| anyhow!("a thread in namespace {namespace} panicked"))?
    })
}

/// Moves the calling thread into the named namespace.
pub fn enter(namespace: &str) -> Result<()> {
    let path = format!("/run/netns/{namespace}");
    let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
    // SAFETY: the descriptor is open for the length of the call; setns takes no pointers.
    if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
        bail!("cannot enter {path}: {}", std::io::Error::last_os_error());
    }
    Ok(())
}

/// Binds a thread or process (0: the calling thread) to one core.
pub fn pin(tid: i32, core: usize) -> Result<()> {
    // SAFETY: cpu_set_t is plain bits, and the kernel reads exactly the size given.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(tid, size_of::<libc::cpu_set_t>(), &set) != 0
    };
    if failed {
        bail!("cannot bind {tid} to core {core}: {}", std::io::Error::last_os_error());
    }
    Ok(())
}

/// Where programs under test have their files; see [`isolate`].
pub const DIRECTORY: &str = "/run/raceway-bench";

/// Moves this process, while it has one thread, to a mount namespace of its own, in which names of network namespaces,
/// pinned maps and files of the programs under test are. However the process ends, all of it ends with it.
pub fn isolate() -> Result<()> {
    // SAFETY: takes no pointers.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        bail!("cannot make a mount namespace: {} (the benchmarks need root)", std::io::Error::last_os_error());
    }
    run("mount --make-rprivate /")?;
    for directory in ["/run/netns", DIRECTORY] {
        fs::create_dir_all(directory).with_context(|| directory.to_owned())?;
        run(&format!("mount -t tmpfs -o mode=755 tmpfs {directory}"))?;
    }
    let maps = maps();
    fs::create_dir(&maps)?;
    run(&format!("mount -t bpf bpf {maps}"))
}

/// Where maps can be pinned.
#[must_use]
pub fn maps() -> String {
    format!("{DIRECTORY}/bpf")
}

/// Runs a command and fails with what it said.
pub fn run(line: &str) -> Result<()> {
    run_with(line, "")
}

/// Runs a command with an input and fails with what it said.
pub fn run_with(line: &str, input: &str) -> Result<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (program, arguments) = words.split_first().context("empty command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    // One that ends before it has read everything says why below.
    let _ = child.stdin.take().context("no input")?.write_all(input.as_bytes());
    let out = child.wait_with_output()?;
    if !out.status.success() {
        bail!("{line}: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}

/// What a command printed, to either output; nothing if it could not be run.
#[must_use]
pub fn said(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).output();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
    out.map(|out| text(&out.stdout) + &text(&out.stderr)).unwrap_or_default()
}
