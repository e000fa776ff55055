//! Work inside another network namespace.

use std::fs::File;
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

/// Runs a command and fails with what it said.
pub fn run(line: &str) -> Result<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (program, arguments) = words.split_first().context("empty command")?;
    let out = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !out.status.success() {
        bail!("{line}: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}
