//! Links and sockets in the network namespaces that a test made.

use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

/// Runs a program in the network namespace of the calling thread; its output.
pub fn command(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Two ends of a veth link, both up. They go with the namespace.
pub struct Pair {
    pub ours: String,
    pub theirs: String,
}

impl Pair {
    /// Both ends in this namespace, both polling, so that frames from XDP arrive.
    pub fn here(ours: &str, theirs: &str) -> Self {
        command(&["ip", "link", "add", "name", ours, "type", "veth", "peer", "name", theirs]);
        for name in [ours, theirs] {
            command(&["ip", "link", "set", name, "up"]);
            command(&["ethtool", "-K", name, "gro", "on"]);
        }
        Self { ours: ours.to_owned(), theirs: theirs.to_owned() }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread with a network namespace of its own.
pub struct Host {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    id: i32,
}

impl Host {
    pub fn new() -> Self {
        let (jobs, to_do): (Sender<Job>, Receiver<Job>) = channel();
        let (tell, told) = channel();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("root");
            command(&["ip", "link", "set", "lo", "up"]);
            tell.send(gettid().as_raw()).expect("somebody waits");
            to_do.iter().for_each(|job| job());
        });
        let id = told.recv().expect("the thread lives");
        Self { jobs: Some(jobs), thread: Some(thread), id }
    }

    /// Runs a job over there and gives back what it returns.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        let job = Box::new(move || {
            // Nobody listens any more only when the test is over.
            let _ = tell.send(job());
        });
        self.jobs.as_ref().expect("until dropped").send(job).expect("the thread lives");
        told.recv().expect("the job did not panic")
    }

    /// Links an interface here to one over there, with addresses, neighbours known on both sides, and GRO on over
    /// there, without which veth does not take frames that XDP sends. Checksums stay unfinished, as veth has it.
    pub fn link(&self, ours: &str, theirs: &'static str, addresses: &[(&str, &'static str)]) {
        command(&[
            "ip",
            "link",
            "add",
            "name",
            ours,
            "type",
            "veth",
            "peer",
            "name",
            theirs,
            "netns",
            &self.id.to_string(),
        ]);
        self.run(move || {
            command(&["ip", "link", "set", theirs, "up"]);
            command(&["ethtool", "-K", theirs, "gro", "on"]);
        });
        command(&["ip", "link", "set", ours, "up"]);
        for &(here, there) in addresses {
            self.address(ours, theirs, here, there);
        }
    }

    /// Gives two linked interfaces addresses of one network.
    pub fn address(&self, ours: &str, theirs: &'static str, here: &str, there: &'static str) {
        let nodad = if here.contains(':') { &["nodad"][..] } else { &[] };
        command(&[&["ip", "addr", "add", here, "dev", ours][..], nodad].concat());
        let mut over_there = vec!["ip", "addr", "add", there, "dev", theirs];
        over_there.extend(nodad);
        self.run(move || command(&over_there));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
