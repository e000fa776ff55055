//! Processes under test: in the relay's namespace, on the relay's core, ended on drop.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::stand::netns::{DIRECTORY, pin};
use crate::stand::topology::Topology;

/// How long a program may take to answer first, or to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(10);
/// Octets at the end of a log that a complaint quotes.
const QUOTE: usize = 600;

/// Processes of one subject.
pub struct Processes {
    namespace: String,
    core: usize,
    members: Vec<Member>,
}

struct Member {
    program: PathBuf,
    arguments: Vec<String>,
    child: Child,
}

impl Processes {
    /// None yet.
    #[must_use]
    pub fn new(topology: &Topology) -> Self {
        Self { namespace: topology.relay.clone(), core: topology.relay_core, members: Vec::new() }
    }

    /// Their ids.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        self.members.iter().map(|member| member.child.id().cast_signed()).collect()
    }

    /// Starts a program.
    pub fn start(&mut self, program: impl Into<PathBuf>, arguments: &[String]) -> Result<()> {
        let (program, arguments) = (program.into(), arguments.to_vec());
        let child = self.spawn(&program, &arguments)?;
        self.members.push(Member { program, arguments, child });
        Ok(())
    }

    /// By way of `ip netns exec`, which becomes the program: besides the network, /sys is that of the namespace.
    fn spawn(&self, program: &Path, arguments: &[String]) -> Result<Child> {
        let core = self.core;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program).args(arguments);
        // SAFETY: between fork and exec this only makes two system calls.
        unsafe {
            command.pre_exec(move || {
                pin(0, core).map_err(std::io::Error::other)?;
                // Not to outlive the bench.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(log_of(program))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        child.with_context(|| format!("cannot start {}", program.display()))
    }

    /// Kills the member of a name and returns once it is gone.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        let child = &mut self.member(name)?.child;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Starts the member of a name again, after [`kill`](Self::kill).
    pub fn start_again(&mut self, name: &str) -> Result<()> {
        let Member { program, arguments, .. } = self.member(name)?;
        let (program, arguments) = (program.clone(), arguments.clone());
        let child = self.spawn(&program, &arguments)?;
        self.member(name)?.child = child;
        Ok(())
    }

    fn member(&mut self, name: &str) -> Result<&mut Member> {
        self.members.iter_mut().find(|member| member.program.ends_with(name)).with_context(|| format!("no {name}"))
    }

    /// Asks until there is an answer.
    pub fn wait_for(&mut self, mut answers: impl FnMut() -> Result<bool>) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if answers()? {
                return Ok(());
            }
            for member in &mut self.members {
                if let Some(status) = member.child.try_wait()? {
                    bail!("{} ended ({status}): {}", member.program.display(), quote(&member.program));
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let logs: Vec<_> = self.members.iter().map(|member| quote(&member.program)).collect();
        bail!("no answer from the relay within {PATIENCE:?}: {}", logs.join("\n"))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for Member { child, .. } in self.members.iter_mut().rev() {
            // SAFETY: our own child, not yet waited for, so the id is still its.
            unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
            let asked = Instant::now();
            while asked.elapsed() < Duration::from_secs(1) && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn log_of(program: &Path) -> PathBuf {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    Path::new(DIRECTORY).join(format!("{name}.log"))
}

/// The end of a program's log.
fn quote(program: &Path) -> String {
    let log = fs::read(log_of(program)).unwrap_or_default();
    String::from_utf8_lossy(&log[log.len().saturating_sub(QUOTE)..]).into_owned()
}
