//! The table against a model, and under readers.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::limits::QUARANTINE;

fn numbered(number: u16) -> FlowSpec {
    FlowSpec { id: u32::from(number), ..spec(key(v4([1, 1, 1, 1], number), PEER, 0), Action::Forward, PEER, PEER) }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u16),
    Replace(u16),
    Remove(u16),
    Collect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..40u16).prop_map(Step::Put),
        (0..40u16).prop_map(Step::Replace),
        (0..40u16).prop_map(Step::Remove),
        Just(Step::Collect),
    ]
}

proptest! {
    #[test]
    fn the_table_finds_what_a_map_would(steps in prop::collection::vec(step(), 0..200)) {
        const SLOTS: usize = 32;
        let (table, mut writer) = Table::new(records(SLOTS), 3, &[5, 6]);
        let quiescence = Quiescence::new(1);
        let mut model: HashMap<u16, u32> = HashMap::new();
        let (mut now, mut resting) = (NOW, 0);
        for step in steps {
            match step {
                Step::Put(n) if !model.contains_key(&n) => {
                    let filled = writer.fill(&numbered(n), LATER, [n.into(), 0]);
                    // Two slots were taken from the start.
                    prop_assert_eq!(filled.is_ok(), model.len() + resting < SLOTS - 2);
                    if let Ok(slot) = filled {
                        prop_assert!(slot != 5 && slot != 6);
                        writer.link(slot).unwrap();
                        model.insert(n, slot);
                    }
                }
                Step::Replace(n) => {
                    if let Some(old) = model.get(&n).copied()
                        && let Ok(new) = writer.fill(&numbered(n), LATER, [0, 0])
                    {
                        writer.swing(&quiescence, now, old, new);
                        model.insert(n, new);
                        resting += 1;
                    }
                }
                Step::Remove(n) => {
                    if let Some(slot) = model.remove(&n) {
                        writer.unlink(slot);
                        writer.rest(&quiescence, now, slot);
                        resting += 1;
                    }
                }
                Step::Collect => {
                    quiescence.pass(0);
                    now = now.after(QUARANTINE);
                    writer.collect(&quiescence, now);
                    prop_assert!(!writer.resting());
                    resting = 0;
                }
                Step::Put(_) => {}
            }
            for n in 0..40 {
                prop_assert_eq!(table.find(&numbered(n).key), model.get(&n).copied());
            }
        }
    }
}

#[test]
fn an_expired_flow_is_found_but_not_live() {
    let mut world = World::new();
    let spec = numbered(1);
    world.put(spec, [0, 0]);
    assert!(world.table.live(&spec.key, NOW).is_some());
    assert!(world.table.live(&spec.key, LATER).is_none());
    assert!(world.table.find(&spec.key).is_some());
}

#[test]
fn a_slot_in_use_by_a_slow_worker_is_not_reused() {
    let mut world = World::new();
    let (table, mut writer) = Table::new(records(1), 3, &[]);
    let slot = writer.fill(&numbered(1), LATER, [0, 0]).unwrap();
    writer.link(slot).unwrap();
    writer.unlink(slot);
    writer.rest(&world.quiescence, NOW, slot);
    writer.collect(&world.quiescence, NOW.after(Duration::from_secs(60)));
    assert!(writer.fill(&numbered(2), LATER, [0, 0]).is_err());
    assert_eq!(table.records()[slot as usize].action(), Action::Forward, "who still holds it can still use it");
    world.quiescence.pass(0);
    writer.collect(&world.quiescence, NOW.after(Duration::from_secs(60)));
    assert!(writer.fill(&numbered(2), LATER, [0, 0]).is_ok());
    world.put(numbered(3), [0, 0]);
}

/// Readers look for flows that are always there while the writer replaces them and churns others around them.
#[test]
fn readers_never_miss_a_flow_that_is_there() {
    const KEPT: u16 = 16;
    let (table, mut writer) = Table::new(records(256), 11, &[]);
    let quiescence = Quiescence::new(2);
    let done = AtomicBool::new(false);
    let mut slots: Vec<u32> = (0..KEPT)
        .map(|n| {
            let slot = writer.fill(&numbered(n), LATER, [n.into(), 0]).unwrap();
            writer.link(slot).unwrap();
            slot
        })
        .collect();
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (table, quiescence, done) = (&table, &quiescence, &done);
            scope.spawn(move || {
                while !done.load(Relaxed) {
                    for n in 0..KEPT {
                        let slot = table.find(&numbered(n).key).expect("always there");
                        assert_eq!(table.records()[slot as usize].spec().id, u32::from(n));
                        assert_eq!(table.egress(slot, 0), u32::from(n));
                    }
                    quiescence.pass(reader);
                }
            });
        }
        let mut now = NOW;
        let mut churned = Vec::new();
        for round in 0..20_000u16 {
            now = now.after(Duration::from_millis(10));
            let n = round % KEPT;
            if let Ok(new) = writer.fill(&numbered(n), LATER, [n.into(), 0]) {
                writer.swing(&quiescence, now, std::mem::replace(&mut slots[usize::from(n)], new), new);
            }
            if let Ok(slot) = writer.fill(&numbered(1000 + round), LATER, [0, 0]) {
                writer.link(slot).unwrap();
                churned.push(slot);
            }
            if churned.len() > 50 {
                let slot = churned.swap_remove(usize::from(round) % churned.len());
                writer.unlink(slot);
                writer.rest(&quiescence, now, slot);
            }
            writer.collect(&quiescence, now);
        }
        done.store(true, Relaxed);
    });
}
