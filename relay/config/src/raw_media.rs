//! What the file says of ng, media, recordings and call records.

use core::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::config::PortRange;
use crate::limits;
use crate::media::{MediaInterface, Notice, Url};
use crate::read;
use crate::read_media;
use crate::reader::{Reader, Section};

#[derive(Default)]
pub(crate) struct RawMedia {
    pub(crate) ng_listen: Option<Vec<SocketAddr>>,
    pub(crate) ng_http_listen: Option<Option<SocketAddr>>,
    pub(crate) ng_https_listen: Option<Option<SocketAddr>>,
    pub(crate) ng_https_certificate: Option<PathBuf>,
    pub(crate) ng_https_key: Option<PathBuf>,
    pub(crate) ng_allow: Option<Vec<IpNet>>,
    pub(crate) ng_dtmf_log_dest: Option<Option<SocketAddr>>,
    pub(crate) ng_notify: Option<Option<Url>>,
    pub(crate) ng_notify_of: Option<Vec<Notice>>,
    pub(crate) interfaces: Option<Vec<(String, Vec<MediaInterface>)>>,
    pub(crate) port_range: Option<PortRange>,
    pub(crate) timeout_s: Option<u32>,
    pub(crate) silent_timeout_s: Option<u32>,
    pub(crate) recording_directory: Option<PathBuf>,
    pub(crate) recording_public_key: Option<[u8; 32]>,
    pub(crate) recording_max_mb: Option<u32>,
    pub(crate) recording_keep_free_mb: Option<u32>,
    pub(crate) cdr_file: Option<PathBuf>,
    pub(crate) cdr_retention_days: Option<u32>,
    pub(crate) cdr_redact: Option<bool>,
}

impl RawMedia {
    /// Reads the four sections.
    pub(crate) fn read(reader: &mut Reader, root: &mut Section<'_, '_>) -> Self {
        let mut raw = Self::default();
        let mut ng = root.table(reader, "ng", "ng");
        let right = "write a list, as in [\"127.0.0.1:2223\"], or [] for none";
        raw.ng_listen = ng.list(reader, "listen", limits::NG_LISTEN_MAX, right, read::socket_address);
        raw.ng_http_listen = ng.value(reader, "http_listen", read::http_listen);
        raw.ng_https_listen = ng.value(reader, "https_listen", read::http_listen);
        raw.ng_https_certificate = ng.value(reader, "https_certificate", read::absolute_path);
        raw.ng_https_key = ng.value(reader, "https_key", read::absolute_path);
        raw.ng_allow = ng.list(reader, "allow", limits::NG_NETWORKS_MAX, read::NETWORKS_RIGHT, read::network);
        raw.ng_dtmf_log_dest = ng.value(reader, "dtmf_log_dest", read_media::destination);
        raw.ng_notify = ng.value(reader, "notify", read_media::url);
        raw.ng_notify_of =
            ng.list(reader, "notify_of", Notice::ALL.len(), read_media::NOTICES_RIGHT, read_media::notice);
        ng.end(reader);
        let mut media = root.table(reader, "media", "media");
        let right = "write a table, as in { int = \"10.0.0.1\" }";
        raw.interfaces =
            media.pairs(reader, "interfaces", limits::MEDIA_INTERFACES_MAX, right, read_media::media_interface);
        raw.port_range = media.value(reader, "port_range", read::port_range);
        let seconds = |value: &_| read::number_u32(value, limits::MEDIA_TIMEOUT_S, " seconds");
        raw.timeout_s = media.value(reader, "timeout_s", seconds);
        raw.silent_timeout_s = media.value(reader, "silent_timeout_s", seconds);
        media.end(reader);
        let mut recording = root.table(reader, "recording", "recording");
        raw.recording_directory = recording.value(reader, "directory", read::absolute_path);
        raw.recording_public_key = recording.value(reader, "public_key", read_media::public_key);
        let megabytes = |value: &_| read::number_u32(value, limits::RECORDING_MB, " MB");
        raw.recording_max_mb = recording.value(reader, "max_mb", megabytes);
        let megabytes = |value: &_| read::number_u32(value, limits::KEEP_FREE_MB, " MB");
        raw.recording_keep_free_mb = recording.value(reader, "keep_free_mb", megabytes);
        recording.end(reader);
        let mut cdr = root.table(reader, "cdr", "cdr");
        raw.cdr_file = cdr.value(reader, "file", read::absolute_path);
        raw.cdr_retention_days =
            cdr.value(reader, "retention_days", |value| read::number_u32(value, limits::RETENTION_DAYS, " days"));
        raw.cdr_redact = cdr.value(reader, "redact", read::boolean);
        cdr.end(reader);
        raw
    }
}
