//! Entry for fuzzing.

use raceway_units::Instant;

use crate::{BitRate, Bounds, Estimator, ccfb, remb, transport_wide};

/// Reads the octets as each kind of feedback, and gives what is transport-wide feedback to an estimator that has sent
/// 3,000 packets.
///
/// # Panics
/// What is counted is not what is told, or the estimate leaves its bounds.
pub fn fuzz(data: &[u8]) {
    if let Ok(feedback) = ccfb::Feedback::read(data) {
        let packets: usize = feedback.blocks().map(|block| block.packets().count()).sum();
        assert!(packets <= data.len() / 2);
    }
    if let Ok(remb) = remb::Remb::read(data) {
        assert!(remb.ssrcs().count() <= data.len() / 4);
    }
    let Ok(feedback) = transport_wide::Feedback::read(data) else { return };
    assert_eq!(feedback.packets().count(), usize::from(feedback.count));
    let [min, start, max] = [50, 300, 2_000].map(BitRate::from_kbps);
    let mut now = Instant::from_ns(1_000_000_000);
    let mut estimator = Estimator::new(Bounds { min, start, max }, now);
    for _ in 0..3_000 {
        now = Instant::from_ns(now.as_ns() + 1_000_000);
        estimator.sent(1200, None, now);
    }
    for _ in 0..3 {
        now = Instant::from_ns(now.as_ns() + 50_000_000);
        estimator.handle_feedback(&feedback, now);
        let target = estimator.estimate(now).target;
        assert!(min <= target && target <= max, "{target} is out of bounds");
    }
}
