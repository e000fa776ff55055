//! The log: lines to standard error, their level changeable, addresses left out on request.

use std::fmt::{self, Display};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use raceway_config::{Log, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as lines, reload};

static REDACT: AtomicBool = AtomicBool::new(false);

/// Changes the level while the program runs.
pub struct LevelSwitch(reload::Handle<LevelFilter, Registry>);

impl LevelSwitch {
    /// Sets the level; false if it is none.
    pub fn set(&self, level: &str) -> bool {
        LogLevel::parse(level).is_some_and(|level| self.0.reload(filter(level)).is_ok())
    }
}

/// Starts the log.
#[must_use]
pub fn start(log: &Log) -> LevelSwitch {
    REDACT.store(log.redact, Ordering::Relaxed);
    let (level, handle) = reload::Layer::new(filter(log.level));
    let layer = lines::layer().with_writer(io::stderr).with_target(false).with_ansi(false);
    let layer = match log.format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    Registry::default().with(level).with(layer).init();
    LevelSwitch(handle)
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}

/// Something that names a person or their machine: shown as `-` when `[log] redact` is on.
pub struct Private<T>(pub T);

impl<T: Display> Display for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if REDACT.load(Ordering::Relaxed) { f.write_str("-") } else { self.0.fmt(f) }
    }
}
