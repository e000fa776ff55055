//! Whatever is wanted and whatever is lost, what a subscriber gets is one stream that holds together.

use proptest::prelude::*;
use raceway_units::Random;

use crate::publisher::Model;
use crate::world::{Link, World};

/// A run with so many changes of mind, which are made of the seed.
fn run(model: Model, encodings: u8, link: Link, seed: u64) -> World {
    let mut world = World::new(model, encodings, link, seed);
    let mut wishes = Random::of(seed, 77);
    world.reports = wishes.below(2) == 0;
    let (spatial, temporal) = model.layers();
    for _ in 0..12 {
        let layer = |wishes: &mut Random, count: u8| wishes.below(u64::from(count) + 1) as u8;
        match wishes.below(10) {
            0 => world.subscription.pause(),
            _ => {
                let source = wishes.below(encodings.into()) as u8;
                let (spatial, temporal) = (layer(&mut wishes, spatial), layer(&mut wishes, temporal));
                world.select(source, spatial, temporal);
            }
        }
        world.steps(1 + wishes.below(25) as u32);
        // Encoders make key frames when they like to.
        if wishes.below(4) == 0 {
            world.encoders[wishes.below(encodings.into()) as usize].wants_key = true;
        }
    }
    world
}

fn model() -> impl Strategy<Value = Model> {
    prop::sample::select(Model::VIDEO.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn switches_alone_leave_one_stream_without_gaps(model in model(), encodings in 1..=3_u8, seed in any::<u64>()) {
        let record = run(model, encodings, Link::default(), seed).finish();
        prop_assert!(record.sent.iter().all(|sent| !sent.fill));
    }

    #[test]
    fn reordered_packets_get_the_numbers_that_were_left_for_them(
        model in model(), encodings in 1..=3_u8, late in 1..300_u64, seed in any::<u64>(),
    ) {
        run(model, encodings, Link { late, ..Link::default() }, seed).finish();
    }

    #[test]
    fn lost_reordered_and_doubled_packets_leave_one_stream(
        model in model(), encodings in 1..=3_u8, loss in 0..150_u64, loss_again in 0..1_001_u64,
        late in 0..150_u64, twice in 0..100_u64, seed in any::<u64>(),
    ) {
        run(model, encodings, Link { loss, loss_again, late, twice }, seed).finish();
    }

    #[test]
    fn audio_loses_nothing_but_what_was_lost(loss in 0..100_u64, late in 0..100_u64, seed in any::<u64>()) {
        run(Model::Audio, 3, Link { loss, late, loss_again: 200, twice: 50 }, seed).finish();
    }
}
