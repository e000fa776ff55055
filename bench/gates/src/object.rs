//! The XDP object: its size, and what the kernel makes of it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use aya::maps::Map;
use aya::{Ebpf, EbpfLoader};
use aya_obj::Object;
use aya_obj::generated::bpf_insn;
use raceway_abi::limits::FLOWS_DEFAULT;
use raceway_abi::map_name;
use raceway_sys::bpf::verifier_statistics;

use crate::figures::Table;

const OBJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ebpf/prebuilt/raceway.bpf.o");
const PROGRAM: &str = "raceway_xdp";

fn read() -> Result<Vec<u8>> {
    std::fs::read(Path::new(OBJECT)).context(OBJECT)
}

/// What holds for every kernel: instructions in the file.
///
/// # Errors
/// The file is missing or no BPF object.
pub fn size() -> Result<Table> {
    let object = Object::parse(&read()?)?;
    let instructions: usize = object.functions.values().map(|function| function.instructions.len()).sum();
    Ok([("instructions of all programs".to_owned(), instructions as f64)].into())
}

/// Whether the kernel makes BPF maps for this user.
///
/// # Errors
/// Why not, for people.
pub fn able() -> Result<(), String> {
    aya::maps::Array::<_, u32>::create(1, 0).map(drop).map_err(|error| format!("no BPF for this user: {error}"))
}

/// What this kernel says: the work of its verifier, and the memory of the maps with the default number of flows.
///
/// # Errors
/// No rights, no BPF, or a program that is refused.
pub fn in_kernel() -> Result<Table> {
    let octets = read()?;
    let mut loader = EbpfLoader::new();
    for name in [map_name::FLOWS, map_name::POLICERS, map_name::SLOTS] {
        loader.map_max_entries(name, FLOWS_DEFAULT);
    }
    let maps = loader.load(&octets).context("the kernel makes no maps for this user")?;
    let mut table = verified(&octets, &maps)?;
    let memory = maps.maps().map(|(name, map)| memory_of(descriptor(name, map)?)).sum::<Result<u64>>()?;
    table.insert("octets of all maps".to_owned(), memory as f64);
    Ok(table)
}

/// Has the verifier look at the program, as the loader library would give it.
fn verified(octets: &[u8], loaded: &Ebpf) -> Result<Table> {
    let mut object = Object::parse(octets)?;
    let sections = object.functions.keys().map(|(section, _)| *section).collect();
    let definitions = object.maps.clone();
    let descriptors = definitions
        .iter()
        .map(|(name, definition)| {
            let map = loaded.map(name).with_context(|| format!("map {name} was not made"))?;
            Ok((name.as_str(), descriptor(name, map)?.as_raw_fd(), definition))
        })
        .collect::<Result<Vec<_>>>()?;
    object.relocate_maps(descriptors.into_iter(), &sections)?;
    object.relocate_calls(&sections)?;
    let program = object.programs.get(PROGRAM).with_context(|| format!("no program {PROGRAM} in {OBJECT}"))?;
    let instructions: Vec<u64> = object.functions[&program.function_key()].instructions.iter().map(word).collect();
    let said = verifier_statistics(&instructions, &object.license).context("the verifier refuses the program")?;
    statistics(&said)
}

/// An instruction as the kernel reads it (linux/bpf.h, `struct bpf_insn`).
fn word(instruction: &bpf_insn) -> u64 {
    let registers = instruction.dst_reg() | instruction.src_reg() << 4;
    let [o0, o1] = instruction.off.to_ne_bytes();
    let [i0, i1, i2, i3] = instruction.imm.to_ne_bytes();
    u64::from_ne_bytes([instruction.code, registers, o0, o1, i0, i1, i2, i3])
}

/// Reads `processed 19 insns (limit 1000000) max_states_per_insn 1 total_states 2 peak_states 2 mark_read 1`.
fn statistics(said: &str) -> Result<Table> {
    let words: Vec<&str> = said.lines().rfind(|line| line.starts_with("processed ")).unwrap_or("").split(' ').collect();
    let after = |name: &str| {
        let at = words.iter().position(|word| *word == name).with_context(|| format!("no {name} in {said:?}"))?;
        words.get(at + 1).and_then(|word| word.parse::<f64>().ok()).with_context(|| format!("no number in {said:?}"))
    };
    Ok([
        ("verifier: instructions looked at".to_owned(), after("processed")?),
        ("verifier: states in all".to_owned(), after("total_states")?),
        ("verifier: states at a time".to_owned(), after("peak_states")?),
    ]
    .into())
}

fn descriptor<'a>(name: &str, map: &'a Map) -> Result<BorrowedFd<'a>> {
    match map {
        Map::Array(map) | Map::HashMap(map) | Map::PerCpuArray(map) => Ok(map.fd().as_fd()),
        _ => anyhow::bail!("map {name} is of a kind that is not counted yet"),
    }
}

/// Octets of kernel memory, as the kernel says.
fn memory_of(map: BorrowedFd<'_>) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    let octets = line.context("the kernel does not say what a map takes")?.trim().parse()?;
    ensure!(octets > 0, "the kernel does not say what a map takes");
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_line_is_read() {
        let said = "verification time 52 usec\nstack depth 8\nprocessed 19 insns (limit 1000000) max_states_per_insn 1 \
                    total_states 3 peak_states 2 mark_read 1\n";
        let figures: Vec<f64> = statistics(said).unwrap().into_values().collect();
        assert_eq!(figures, [19.0, 2.0, 3.0]);
        assert!(statistics("").is_err());
    }

    #[test]
    fn the_object_has_instructions() {
        assert!(size().unwrap().values().all(|instructions| *instructions > 100.0));
    }
}
