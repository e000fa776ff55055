//! Cores that do not halt while something is measured.
//!
//! A virtual processor that has nothing to do halts, and the hypervisor takes it off its core; to have it back takes long, and is
//! charged as stolen time and to whoever waits. A thread of idle priority on each core keeps that from happening: it runs when
//! nobody else wants to, gives way at once, and its own time is nobody's cost.

use std::fs;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};
use std::thread;

use anyhow::{Result, bail};

use super::netns::pin;

/// One core's thread.
struct Waker {
    core: usize,
    tid: i32,
}

/// Those of all cores, once [`start`] was called.
static WAKERS: OnceLock<Vec<Waker>> = OnceLock::new();
/// Who measures just now.
static HOLDERS: AtomicU32 = AtomicU32::new(0);
static SLEEPING: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());

/// While it lives, cores do not halt.
pub struct Awake;

/// Starts a thread for each core; they sleep until [`hold`].
pub fn start(cores: &[usize]) -> Result<()> {
    let wakers = cores.iter().map(|core| {
        let core = *core;
        let (sender, tid) = std::sync::mpsc::channel();
        thread::Builder::new().name("awake".to_owned()).spawn(move || {
            let ready = pin(0, core).and_then(|()| give_way());
            // SAFETY: takes no arguments.
            let _ = sender.send(ready.map(|()| unsafe { libc::gettid() }));
            stay_awake();
        })?;
        Ok(Waker { core, tid: tid.recv()?? })
    });
    let wakers = wakers.collect::<Result<Vec<_>>>()?;
    if WAKERS.set(wakers).is_err() {
        bail!("cores are kept awake already");
    }
    Ok(())
}

/// Keeps cores awake, if [`start`] was called, until the answer is dropped.
pub fn hold() -> Awake {
    let _guard = SLEEPING.0.lock();
    HOLDERS.fetch_add(1, Ordering::Relaxed);
    SLEEPING.1.notify_all();
    Awake
}

impl Drop for Awake {
    fn drop(&mut self) {
        HOLDERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Time that a core was kept awake so far, nanoseconds.
pub fn ran_ns(core: usize) -> u64 {
    let of = WAKERS.get().into_iter().flatten().filter(|waker| waker.core == core);
    of.filter_map(|waker| {
        let stat = fs::read_to_string(format!("/proc/self/task/{}/schedstat", waker.tid)).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    })
    .sum()
}

/// The calling thread runs only where nobody else wants to.
fn give_way() -> Result<()> {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads one sched_param, which lives here.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) } != 0 {
        bail!("no idle priority: {}", std::io::Error::last_os_error());
    }
    Ok(())
}

fn stay_awake() -> ! {
    loop {
        while HOLDERS.load(Ordering::Relaxed) > 0 {
            spin_loop();
        }
        let Ok(guard) = SLEEPING.0.lock() else { continue };
        let waited = SLEEPING.1.wait_while(guard, |()| HOLDERS.load(Ordering::Relaxed) == 0);
        drop(waited);
    }
}
