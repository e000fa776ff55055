use proptest::prelude::*;

use super::*;

fn config(text: &str) -> Config {
    text.parse().unwrap()
}

fn us(us: u64) -> Instant {
    Instant::from_ns(us * 1000)
}

/// Sends so many datagrams, so many microseconds apart, and gives what arrives in order, with the counters.
fn run(config: Config, seed: u64, datagrams: u64, apart_us: u64) -> (Vec<Delivery<u64>>, Counters) {
    let mut link = Link::new(config, seed);
    let mut delivered = Vec::new();
    for number in 0..datagrams {
        let now = us(number * apart_us);
        delivered.extend(std::iter::from_fn(|| link.poll(now)));
        link.handle(number, 200, now);
    }
    while let Some(at) = link.poll_timeout() {
        delivered.push(link.poll(at).unwrap());
    }
    (delivered, link.counters())
}

fn near(value: u64, of: u64, share: f64) {
    let expected = of as f64 * share;
    assert!((value as f64 - expected).abs() <= expected * 0.1, "{value} of {of} is not {share}");
}

#[test]
fn a_perfect_link_gives_everything_at_once() {
    let (delivered, counters) = run(Config::default(), 1, 100, 20);
    assert!(delivered.iter().enumerate().all(|(i, one)| one.payload == i as u64 && one.at == us(i as u64 * 20)));
    assert_eq!(counters, Counters { offered: 100, delivered: 100, ..Counters::default() });
}

#[test]
fn nothing_arrives_before_its_time() {
    let mut link = Link::new(config("delay=20ms"), 1);
    assert_eq!(link.handle('a', 200, us(0)), Fate::Held);
    assert_eq!(link.poll_timeout(), Some(us(20_000)));
    assert_eq!(link.poll(us(19_999)), None);
    assert_eq!(link.poll(us(20_500)), Some(Delivery { payload: 'a', at: us(20_000), damaged_bit: None }));
    assert_eq!((link.poll(us(90_000)), link.poll_timeout()), (None, None));
}

#[test]
fn shares_are_what_was_asked_for() {
    let text = "delay=30ms,loss=2%,reorder=3%,reorder-by=5ms,duplicate=1.5%,corrupt=4%";
    let (delivered, counters) = run(config(text), 7, 100_000, 1000);
    near(counters.lost, counters.offered, 0.02);
    near(counters.held_back, counters.offered, 0.03 * 0.98);
    near(counters.duplicated, counters.offered, 0.015 * 0.98);
    near(counters.damaged, counters.offered, 0.04 * 0.98);
    let overtaken = delivered.windows(2).filter(|pair| pair[1].payload < pair[0].payload).count() as u64;
    near(overtaken, counters.offered, 0.03 * 0.98);
    assert!(delivered.iter().filter_map(|one| one.damaged_bit).all(|bit| bit < 1600));
}

#[test]
fn the_bottleneck_spaces_datagrams_and_loses_what_would_wait_too_long() {
    // 200 octets at 1.6 Mbit/s take 1 ms; they come every 500 us.
    let (delivered, counters) = run(config("rate=1.6mbit,queue=20ms"), 1, 1000, 500);
    assert!(delivered.windows(2).all(|pair| pair[1].at.since(pair[0].at) >= Duration::from_millis(1)));
    let last = delivered.last().unwrap().at;
    assert_eq!(last, us(delivered.len() as u64 * 1000));
    near(counters.overflowed, counters.offered, 0.48);
    let waited = delivered.iter().map(|one| one.at.since(us(one.payload * 500))).max().unwrap();
    assert_eq!(waited, Duration::from_millis(21));
}

#[test]
fn a_burst_within_the_queue_is_delayed_and_not_lost() {
    let (delivered, counters) = run(config("rate=1.6mbit,queue=20ms"), 1, 20, 0);
    assert_eq!((counters.overflowed, delivered.len()), (0, 20));
    assert_eq!(delivered[19].at, us(20_000));
}

#[test]
fn a_rate_that_changes_holds_for_what_waits_too() {
    // 200 octets at 1.6 Mbit/s take 1 ms.
    let mut link = Link::new(config("rate=1.6mbit"), 1);
    assert!((0..10).all(|number| link.handle(number, 200, us(0)) == Fate::Held));
    link.set_rate(Some(400_000), us(2_000));
    link.handle(10, 200, us(2_000));
    let arrived: Vec<_> = std::iter::from_fn(|| link.poll(us(1_000_000))).map(|one| one.at).collect();
    assert_eq!(arrived[9], us(10_000), "it was settled");
    assert_eq!(arrived[10], us(2_000 + 8 * 4_000 + 4_000), "eight waited, at a quarter of the rate");
    link.set_rate(None, us(50_000));
    link.handle(11, 200, us(50_000));
    assert_eq!(link.poll_timeout(), Some(us(50_000)));
}

#[test]
fn a_rate_that_rises_keeps_the_order() {
    let mut link = Link::new(config("rate=400kbit"), 1);
    assert!((0..10).all(|number| link.handle(number, 200, us(0)) == Fate::Held));
    link.set_rate(Some(1_600_000), us(0));
    link.handle(10, 200, us(0));
    let arrived: Vec<_> = std::iter::from_fn(|| link.poll(us(1_000_000))).map(|one| one.payload).collect();
    assert_eq!(arrived, (0..11).collect::<Vec<_>>());
}

#[test]
fn one_option_does_not_change_the_luck_of_another() {
    let lost = |text| {
        let (delivered, _) = run(config(text), 5, 2000, 1000);
        delivered.iter().map(|one| one.payload).collect::<Vec<_>>()
    };
    assert_eq!(lost("loss=5%"), lost("loss=5%,delay=20ms,jitter=10ms,corrupt=10%"));
}

#[test]
fn what_is_held_has_a_limit() {
    let mut link = Link::new(config("delay=1s"), 1);
    let fates: Vec<Fate> = (0..HELD_MAX + 1).map(|_| link.handle((), 1, us(0))).collect();
    assert_eq!((fates[HELD_MAX - 1], fates[HELD_MAX], link.held()), (Fate::Held, Fate::Overflowed, HELD_MAX));
    let mut link = Link::new(config("delay=1s,duplicate=100%"), 1);
    for _ in 0..HELD_MAX {
        link.handle((), 1, us(0));
    }
    assert_eq!((link.held(), link.counters().duplicated), (HELD_MAX, HELD_MAX as u64 / 2));
}

prop_compose! {
    fn any_config()(
        times in prop::array::uniform4(0..100_000u64), shares in prop::array::uniform6(0.0..1.0f64),
        rate_bps in prop::option::of(1_000..1_000_000_000u64), distribution in 0..3usize,
    ) -> Config {
        let [delay, jitter, reorder_by, queue] = times.map(Duration::from_micros);
        let [to_bad, to_good, in_bad, reorder, duplicate, corrupt] = shares;
        let loss = crate::Loss { to_bad, to_good, in_bad, in_good: 0.1 };
        let distribution = crate::delay::Distribution::ALL[distribution];
        Config { delay, jitter, distribution, loss, reorder, reorder_by, duplicate, corrupt, rate_bps, queue }
    }
}

proptest! {
    #[test]
    fn every_datagram_is_accounted_for(config in any_config(), seed: u64, apart_us in 0..5000u64) {
        let (delivered, counters) = run(config, seed, 300, apart_us);
        prop_assert_eq!(delivered.len() as u64, counters.delivered);
        let Counters { offered, duplicated, delivered, lost, overflowed, .. } = counters;
        prop_assert_eq!(offered + duplicated, delivered + lost + overflowed);
    }

    #[test]
    fn the_same_seed_gives_the_same(config in any_config(), seed: u64, apart_us in 0..5000u64) {
        prop_assert_eq!(run(config, seed, 200, apart_us), run(config, seed, 200, apart_us));
    }

    #[test]
    fn without_reorder_the_order_is_kept_whatever_the_jitter(config in any_config(), seed: u64, apart_us in 0..5000u64) {
        let (delivered, _) = run(Config { reorder: 0.0, ..config }, seed, 300, apart_us);
        prop_assert!(delivered.windows(2).all(|pair| pair[0].payload <= pair[1].payload && pair[0].at <= pair[1].at));
    }

    #[test]
    fn nothing_is_faster_than_the_bottleneck(config in any_config(), seed: u64, rate in 100_000..10_000_000u64) {
        let config = Config { rate_bps: Some(rate), jitter: Duration::ZERO, duplicate: 0.0, reorder: 0.0, ..config };
        let (delivered, _) = run(config, seed, 300, 100);
        let least = Duration::from_nanos(1_600_000_000_000 / rate);
        prop_assert!(delivered.windows(2).all(|pair| pair[1].at.since(pair[0].at) >= least));
    }
}
