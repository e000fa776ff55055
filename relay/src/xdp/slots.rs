//! The table by which the program finds flows.

use std::os::fd::AsFd;

use aya::maps::{HashMap, Map, MapData};
use raceway_abi::{FlowKey, map_name};
use raceway_sys::bpf::WordMap;

use super::XdpError;

const KEY_OCTETS: usize = size_of::<FlowKey>();

/// Keys and the slots that they lead to.
pub struct Slots {
    map: HashMap<MapData, [u8; KEY_OCTETS], u32>,
    /// The same map, for many entries at a time.
    in_batches: WordMap<KEY_OCTETS>,
    batch: (Vec<[u8; KEY_OCTETS]>, Vec<u32>),
}

impl Slots {
    pub(super) fn new(map: Map) -> Result<Self, XdpError> {
        let Map::HashMap(data) = &map else { return Err(XdpError::Object(map_name::SLOTS)) };
        let in_batches = data.fd().as_fd().try_clone_to_owned().and_then(WordMap::new).map_err(XdpError::Batch)?;
        Ok(Self { in_batches, batch: (Vec::new(), Vec::new()), map: HashMap::try_from(map)? })
    }

    /// Every key that is in the table now, with its slot.
    #[must_use]
    pub fn entries(&self) -> Vec<(FlowKey, u32)> {
        self.map.iter().filter_map(Result::ok).map(|(key, slot)| (key_from_octets(key), slot)).collect()
    }

    /// Makes `key` lead to `slot`, in place of the slot that it led to before.
    ///
    /// # Errors
    ///
    /// The table is full, or the kernel refuses.
    pub fn insert(&mut self, key: &FlowKey, slot: u32) -> Result<(), XdpError> {
        Ok(self.map.insert(key_to_octets(key), slot, 0)?)
    }

    /// Makes each key lead to its slot, as [`insert`](Self::insert) does, in order and by one system call.
    ///
    /// # Errors
    ///
    /// As there, and for which entry: those before it are in the table, those behind it are not.
    pub fn insert_all(&mut self, entries: &[(FlowKey, u32)]) -> Result<(), (usize, XdpError)> {
        let (keys, slots) = &mut self.batch;
        keys.clear();
        slots.clear();
        for (key, slot) in entries {
            keys.push(key_to_octets(key));
            slots.push(*slot);
        }
        self.in_batches.update(keys, slots).map_err(|(at, error)| (at, XdpError::Batch(error)))
    }

    /// Makes `key` lead nowhere.
    ///
    /// # Errors
    ///
    /// It led nowhere before, or the kernel refuses.
    pub fn remove(&mut self, key: &FlowKey) -> Result<(), XdpError> {
        Ok(self.map.remove(&key_to_octets(key))?)
    }
}

/// A key as the map has it: the fields in order, integers in the machine's own octet order.
fn key_to_octets(key: &FlowKey) -> [u8; KEY_OCTETS] {
    let mut octets = [0; KEY_OCTETS];
    octets[..16].copy_from_slice(&key.remote);
    octets[16..32].copy_from_slice(&key.local);
    octets[32..34].copy_from_slice(&key.remote_port.to_ne_bytes());
    octets[34..36].copy_from_slice(&key.local_port.to_ne_bytes());
    octets[36..38].copy_from_slice(&key.channel.to_ne_bytes());
    octets
}

fn key_from_octets(octets: [u8; KEY_OCTETS]) -> FlowKey {
    let field = |at: usize| u16::from_ne_bytes([octets[at], octets[at + 1]]);
    let mut key = FlowKey { remote_port: field(32), local_port: field(34), channel: field(36), ..FlowKey::default() };
    key.remote.copy_from_slice(&octets[..16]);
    key.local.copy_from_slice(&octets[16..32]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_octets() {
        let key = FlowKey {
            remote: [1; 16],
            local: [2; 16],
            remote_port: 0x0304,
            local_port: 0x0506,
            channel: 0x4007,
            reserved: 0,
        };
        assert_eq!(key_from_octets(key_to_octets(&key)), key);
    }
}
