//! The log: text or JSON on standard error, with a level that can be changed.

use std::fmt;

use raceway_config::{Log, LogFormat, LogLevel};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Changes the level while the program runs.
#[derive(Clone)]
pub struct LevelHandle(reload::Handle<Targets, Registry>);

impl fmt::Debug for LevelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LevelHandle")
    }
}

impl LevelHandle {
    /// Writes this level and what is more serious.
    pub fn set(&self, level: LogLevel) {
        // Fails only when the subscriber is gone, which lives as long as the program.
        let _ = self.0.reload(targets(level));
    }
}

/// Starts logging.
#[must_use]
pub fn start(log: &Log) -> LevelHandle {
    let (filter, handle) = reload::Layer::new(targets(log.level));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    // Fails only when logging was started before; then that goes on.
    let _ = match log.format {
        LogFormat::Text => registry.with(layer.with_ansi(false)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    LevelHandle(handle)
}

/// Libraries speak only of what is serious: their lower levels may hold keys (stun-types) or noise.
fn targets(level: LogLevel) -> Targets {
    let ours = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    Targets::new()
        .with_default(ours.min(LevelFilter::WARN))
        .with_target("raceway", ours)
        .with_target("stun_types", LevelFilter::OFF)
}
