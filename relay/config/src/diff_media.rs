//! Changes of `[ng]`, `[media]`, `[recording]` and `[cdr]`.

use std::path::PathBuf;

use crate::diff::{Changes, Effect, debug, list, optional};
use crate::{Config, Https, MediaInterface};

pub(crate) fn diff(changes: &mut Changes, old: &Config, new: &Config) {
    let (a, b) = (&old.ng, &new.ng);
    changes.compare("ng.listen", Effect::RestartControl, (&a.listen, &b.listen), |l| list(l));
    changes.compare("ng.http_listen", Effect::RestartControl, (&a.http_listen, &b.http_listen), |l| {
        l.map_or_else(|| "off".to_owned(), |l| l.to_string())
    });
    let listen = |https: &Option<Https>| https.as_ref().map(|https| https.listen);
    changes.compare("ng.https_listen", Effect::RestartControl, (&listen(&a.https), &listen(&b.https)), |listen| {
        listen.map_or_else(|| "off".to_owned(), |listen| listen.to_string())
    });
    if let (Some(a), Some(b)) = (&a.https, &b.https) {
        let path = |path: &PathBuf| path.display().to_string();
        changes.compare("ng.https_certificate", Effect::Live, (&a.certificate, &b.certificate), path);
        changes.compare("ng.https_key", Effect::Live, (&a.key, &b.key), path);
    }
    changes.compare("ng.allow", Effect::Live, (&a.allow, &b.allow), |n| list(n));
    let or_off = |text: Option<String>| text.unwrap_or_else(|| "off".to_owned());
    changes.compare("ng.dtmf_log_dest", Effect::Live, (&a.dtmf_log_dest, &b.dtmf_log_dest), |address| {
        or_off(address.map(|address| address.to_string()))
    });
    changes.compare("ng.notify", Effect::Live, (&a.notify, &b.notify), |url| {
        or_off(url.as_ref().map(ToString::to_string))
    });
    changes.compare("ng.notify_of", Effect::Live, (&a.notify_of, &b.notify_of), |notices| {
        list(&notices.iter().map(|notice| notice.name()).collect::<Vec<_>>())
    });
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
