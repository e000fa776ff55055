//! The pin directory: what is in it, whose it is, and how it goes away.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::maps::{Array, Map, MapData};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::statfs;
use raceway_abi::limits::{EGRESS_MAX, STUN_BUDGET_CELLS};
use raceway_abi::{ABI_VERSION, COUNTERS, Egress, Flow, FlowKey, Policer, Settings, map_name};
use raceway_sys::bpf::{detach_link, open_pinned};

use super::XdpError;

/// Where systemd mounts the BPF file system, and where we do if nobody has.
const BPF_MOUNT_POINT: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FILE_SYSTEM: i64 = 0xcafe_4a11;

/// A map as this version wants it.
pub(super) struct PinnedMap {
    pub(super) name: &'static str,
    key_octets: usize,
    value_octets: usize,
    /// Entries; nothing means `flows_max`.
    entries: Option<u32>,
}

const fn map(name: &'static str, key_octets: usize, value_octets: usize, entries: Option<u32>) -> PinnedMap {
    PinnedMap { name, key_octets, value_octets, entries }
}

/// Every pinned map. [`map_name::SETTINGS`] is last: it is pinned when the others are, so its presence says that
/// they are whole.
pub(super) const MAPS: [PinnedMap; 7] = [
    map(map_name::SLOTS, size_of::<FlowKey>(), 4, None),
    map(map_name::FLOWS, 4, size_of::<Flow>(), None),
    map(map_name::POLICERS, 4, size_of::<Policer>(), None),
    map(map_name::COUNTERS, 4, 8 * COUNTERS as usize, Some(1)),
    map(map_name::EGRESS, 4, size_of::<Egress>(), Some(EGRESS_MAX)),
    map(map_name::STUN_BUDGET, 4, 8, Some(STUN_BUDGET_CELLS)),
    map(map_name::SETTINGS, 4, size_of::<Settings>(), Some(1)),
];

/// The directory of this version.
pub(super) fn version_directory(pin_dir: &Path) -> PathBuf {
    pin_dir.join(format!("v{ABI_VERSION}"))
}

/// Fails when another version has anything pinned.
pub(super) fn refuse_other_versions(pin_dir: &Path) -> Result<(), XdpError> {
    for (version, directory) in versions(pin_dir)? {
        if version != ABI_VERSION && !list(&directory)?.is_empty() {
            return Err(XdpError::OtherVersion { found: version, directory });
        }
    }
    Ok(())
}

/// Mounts the BPF file system if it is not there, and makes the directory of this version.
pub(super) fn prepare(pin_dir: &Path) -> Result<(), XdpError> {
    let existing = pin_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let kind = statfs(existing).map_err(|error| failed("cannot look at", existing, error.into()))?.filesystem_type().0;
    if kind != BPF_FILE_SYSTEM {
        let root = Path::new(BPF_MOUNT_POINT);
        let point = if pin_dir.starts_with(root) { root } else { pin_dir };
        fs::create_dir_all(point).map_err(|error| failed("cannot make", point, error))?;
        mount(Some("bpf"), point, Some("bpf"), MsFlags::empty(), Some("mode=0700"))
            .map_err(|error| failed("cannot mount a BPF file system on", point, error.into()))?;
    }
    let directory = version_directory(pin_dir);
    fs::create_dir_all(&directory).map_err(|error| failed("cannot make", &directory, error))
}

/// Whether a relay of this version and size has left its maps. False: nothing, or what a crash at first start left.
pub(super) fn are_whole(directory: &Path, flows_max: u32) -> Result<bool, XdpError> {
    if MAPS.iter().any(|map| !directory.join(map.name).exists()) {
        return Ok(false);
    }
    check_version(directory)?;
    for map in &MAPS {
        let pinned = MapData::from_pin(directory.join(map.name))?.info()?;
        if pinned.key_size() as usize != map.key_octets || pinned.value_size() as usize != map.value_octets {
            return Err(XdpError::OtherVersion { found: ABI_VERSION, directory: directory.to_owned() });
        }
        let wanted = map.entries.unwrap_or(flows_max);
        if pinned.max_entries() != wanted {
            let directory = directory.to_owned();
            return Err(XdpError::OtherSize { map: map.name, found: pinned.max_entries(), wanted, directory });
        }
    }
    Ok(true)
}

/// Compares the version inside [`Settings`], its first field.
fn check_version(directory: &Path) -> Result<(), XdpError> {
    let data = MapData::from_pin(directory.join(map_name::SETTINGS))?;
    let settings: Array<_, [u8; size_of::<Settings>()]> = Array::try_from(Map::Array(data))?;
    let [a, b, c, d, ..] = settings.get(&0, 0)?;
    match u32::from_ne_bytes([a, b, c, d]) {
        ABI_VERSION => Ok(()),
        found => Err(XdpError::OtherVersion { found, directory: directory.to_owned() }),
    }
}

/// Pins every map of a fresh object.
pub(super) fn pin(directory: &Path, object: &Ebpf) -> Result<(), XdpError> {
    for map in &MAPS {
        let path = directory.join(map.name);
        let data = object.map(map.name).ok_or(XdpError::Object(map.name))?;
        data.pin(&path).map_err(|error| failed("cannot pin", &path, io::Error::other(error)))?;
    }
    Ok(())
}

/// Removes what a version has pinned: its links first, so that nothing is relayed with half of the maps.
pub(super) fn clear(directory: &Path) -> Result<(), XdpError> {
    let is_map = |path: &PathBuf| MAPS.iter().any(|map| path.ends_with(map.name));
    let (maps, links): (Vec<_>, Vec<_>) = list(directory)?.into_iter().partition(is_map);
    links.iter().try_for_each(|path| unpin_link(path))?;
    maps.iter().try_for_each(|path| unpin(path))
}

/// Takes a link off its interface and removes its pin.
pub(super) fn unpin_link(path: &Path) -> Result<(), XdpError> {
    if let Ok(link) = open_pinned(path) {
        // One that is off already, because the interface is gone, cannot be detached.
        let _ = detach_link(link.as_fd());
    }
    unpin(path)
}

fn unpin(path: &Path) -> Result<(), XdpError> {
    fs::remove_file(path).map_err(|error| failed("cannot remove", path, error))
}

/// Removes the program from every interface and its maps, of every version: flows in XDP end. Nothing if nothing
/// is pinned.
///
/// # Errors
///
/// A pin cannot be removed; for want of rights, mostly.
pub fn detach(pin_dir: &Path) -> Result<(), XdpError> {
    for (_, directory) in versions(pin_dir)? {
        clear(&directory)?;
        fs::remove_dir(&directory).map_err(|error| failed("cannot remove", &directory, error))?;
    }
    // What is not ours in there stays, and the directory with it.
    let _ = fs::remove_dir(pin_dir);
    Ok(())
}

/// Files in a directory that may not exist.
pub(super) fn list(directory: &Path) -> Result<Vec<PathBuf>, XdpError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("cannot read", directory, error)),
    };
    let paths: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
    paths.map_err(|error| failed("cannot read", directory, error))
}

fn versions(pin_dir: &Path) -> Result<Vec<(u32, PathBuf)>, XdpError> {
    let version = |path: &Path| path.file_name()?.to_str()?.strip_prefix('v')?.parse().ok();
    Ok(list(pin_dir)?.into_iter().filter_map(|path| Some((version(&path)?, path))).collect())
}

fn failed(what: &'static str, path: &Path, error: io::Error) -> XdpError {
    XdpError::Pins { what, path: path.to_owned(), error }
}
