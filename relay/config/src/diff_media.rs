//! Changes of `[ng]`, `[media]`, `[recording]` and `[cdr]`.

use std::path::PathBuf;

use crate::diff::{Changes, Effect, debug, list, optional};
use crate::{Config, MediaInterface};

pub(crate) fn diff(changes: &mut Changes, old: &Config, new: &Config) {
    let (a, b) = (&old.ng, &new.ng);
    changes.compare("ng.listen", Effect::RestartControl, (&a.listen, &b.listen), |l| list(l));
    changes.compare("ng.http_listen", Effect::RestartControl, (&a.http_listen, &b.http_listen), |l| {
        l.map_or_else(|| "off".to_owned(), |l| l.to_string())
    });
    changes.compare("ng.allow", Effect::Live, (&a.allow, &b.allow), |n| list(n));
    let (a, b) = (&old.media, &new.media);
    changes.compare("media.interfaces", Effect::NewCalls, (&a.interfaces, &b.interfaces), |interfaces| {
        optional(interfaces.as_ref(), |interfaces| list(&interfaces.iter().map(interface).collect::<Vec<_>>()))
    });
    changes.compare("media.port_range", Effect::NewCalls, (&a.port_range, &b.port_range), |range| {
        range.map_or_else(|| "none".to_owned(), |range| range.to_string())
    });
    let seconds = |duration: &core::time::Duration| duration.as_secs().to_string();
    changes.compare("media.timeout_s", Effect::Live, (&a.timeout, &b.timeout), seconds);
    changes.compare("media.silent_timeout_s", Effect::Live, (&a.silent_timeout, &b.silent_timeout), seconds);
    let path = |path: &Option<PathBuf>| optional(path.as_ref(), |path| path.display().to_string());
    let (a, b) = (&old.recording, &new.recording);
    changes.compare("recording.directory", Effect::RestartRelay, (&a.directory, &b.directory), path);
    changes.compare("recording.public_key", Effect::RestartRelay, (&a.public_key, &b.public_key), |key| {
        key.as_ref().map_or_else(|| "none".to_owned(), crate::read_media::write_public_key)
    });
    changes.compare("recording.max_mb", Effect::RestartRelay, (&a.max_mb, &b.max_mb), debug);
    changes.compare("recording.keep_free_mb", Effect::RestartRelay, (&a.keep_free_mb, &b.keep_free_mb), debug);
    let (a, b) = (&old.cdr, &new.cdr);
    changes.compare("cdr.file", Effect::Live, (&a.file, &b.file), path);
    changes.compare("cdr.retention_days", Effect::Live, (&a.retention_days, &b.retention_days), debug);
    changes.compare("cdr.redact", Effect::Live, (&a.redact, &b.redact), debug);
}

fn interface(interface: &MediaInterface) -> String {
    let MediaInterface { name, address, advertised } = interface;
    if address == advertised { format!("{name} = {address}") } else { format!("{name} = {address} as {advertised}") }
}
