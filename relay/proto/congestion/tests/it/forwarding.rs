//! What a relay has that an encoder has not: streams of fixed layers, that do not grow with the estimate.

use crate::world::Direction::Forward;
use crate::world::World;

const LAYERS: [u64; 3] = [150, 500, 1_200];

fn world(rates: &[(u64, u64)]) -> World {
    let rates: Vec<_> = rates.iter().map(|&(at_s, kbps)| (at_s, Forward, kbps)).collect();
    let mut world = World::new(300, &rates);
    world.forwarded(50, &LAYERS);
    world
}

#[test]
fn padding_finds_out_that_the_highest_layer_fits() {
    let mut world = world(&[(0, 2_500)]);
    world.run(30);
    let flow = &world.flows[0];
    let (at_ms, layer) = *flow.switches.last().unwrap();
    assert_eq!(layer, Some(2), "{:?}", flow.switches);
    assert!(at_ms <= 5_000 && flow.padding_octets > 0, "{:?}", flow.switches);
    assert!(flow.padding_octets < 60_000, "{} octets of padding", flow.padding_octets);
}

#[test]
fn a_layer_that_does_not_fit_is_not_sent_for_long_or_often() {
    let mut world = world(&[(0, 1_000)]);
    world.run(120);
    let flow = &world.flows[0];
    assert_eq!(flow.forwarded.as_ref().unwrap().layer(), Some(1), "{:?}", flow.switches);
    assert!(flow.switches.len() <= 6, "{:?}", flow.switches);
    assert!(flow.wait_ms(10, 120, 95) <= 60 && flow.lost_permille(10, 120) <= 5);
}

#[test]
fn when_the_path_narrows_the_layer_falls_within_a_second_and_rises_again_after() {
    let mut world = world(&[(0, 2_500), (30, 700), (60, 2_500)]);
    world.run(100);
    let flow = &world.flows[0];
    let fell = flow.switches.iter().find(|(ms, layer)| *ms > 30_000 && *layer <= Some(1)).unwrap();
    assert!(fell.0 <= 31_000, "{:?}", flow.switches);
    // Probes that found nothing are up to 20 s apart.
    let rose = flow.switches.iter().find(|(ms, layer)| *ms > 60_000 && *layer == Some(2)).unwrap();
    assert!(rose.0 <= 85_000, "{:?}", flow.switches);
    assert!(flow.drains(60, 30) <= 5, "{}", flow.drains(60, 30));
    assert_eq!(flow.forwarded.as_ref().unwrap().layer(), Some(2), "{:?}", flow.switches);
}

#[test]
fn when_nothing_fits_it_is_paused_until_it_does() {
    let mut world = world(&[(0, 100), (30, 2_500)]);
    world.run(90);
    let flow = &world.flows[0];
    let paused = flow.switches.iter().any(|(ms, layer)| *ms < 30_000 && layer.is_none());
    assert!(paused, "{:?}", flow.switches);
    assert!(flow.forwarded.as_ref().unwrap().layer() >= Some(1), "{:?}", flow.switches);
}
