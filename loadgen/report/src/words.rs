//! Figures as people read them.

/// A number with its thousands apart: `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 stream`, `2,000 streams`.
#[must_use]
pub fn of(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(number))
}

/// A rate, whole unless it is small.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if per_second != 0.0 && per_second < 10.0 { format!("{per_second:.1}") } else { count(per_second.round() as u64) }
}

/// Bits a second in the unit that suits: `13.8 Mbit/s`.
#[must_use]
pub fn bits(per_second: f64) -> String {
    let units = [("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)];
    match units.into_iter().find(|(_, size)| per_second >= *size) {
        Some((unit, size)) => format!("{} {unit}", three_digits(per_second / size)),
        None => format!("{per_second:.0} bit/s"),
    }
}

/// A number of milliseconds, to a thousandth where it is small.
#[must_use]
pub fn ms(ms: f64) -> String {
    if ms.abs() < 1.0 { format!("{ms:.3}") } else { three_digits(ms) }
}

fn three_digits(value: f64) -> String {
    match value.abs() {
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => count(value.round() as u64),
    }
}

/// A share of packets in percent; never zero unless it is.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0 %".to_owned(),
        _ if percent >= 9.995 => format!("{percent:.1} %"),
        _ if percent >= 0.9995 => format!("{percent:.2} %"),
        _ if percent >= 0.0005 => format!("{percent:.3} %"),
        _ => format!("{percent:.1e} %"),
    }
}

/// Seconds as hours, minutes and seconds, of which the smallest may have a fraction.
#[must_use]
pub fn time(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) if seconds.fract() == 0.0 => format!("{whole} s"),
        (0, 0, _) => format!("{seconds:.1} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, rest) => format!("{minutes} min {rest} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// Seconds since 1970 as a date and time of day: `2026-11-27 14:09:48 UTC`.
#[must_use]
pub fn date(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day of a number of days since 1970 (Gregorian, in eras of 400 years that begin in March).
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as u64;
    (year, month, day)
}

/// Text of somebody else without what a terminal would obey.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.25, 9.99, 10.4, 12_345.6].map(rate), ["0", "0.2", "10.0", "10", "12,346"]);
    }

    #[test]
    fn one_thing_is_not_several() {
        assert_eq!(
            [0, 1, 2, 2_000].map(|number| of(number, "stream")),
            ["0 streams", "1 stream", "2 streams", "2,000 streams"]
        );
    }

    #[test]
    fn figures_have_three_digits_and_their_unit() {
        assert_eq!(
            [999.0, 64_000.0, 13_760_000.0, 2.5e9].map(bits),
            ["999 bit/s", "64.0 kbit/s", "13.8 Mbit/s", "2.50 Gbit/s"]
        );
        assert_eq!(
            [0.0, 0.0314, 0.9994, 1.0, 12.34, 99.96, 1234.5].map(ms),
            ["0.000", "0.031", "0.999", "1.00", "12.3", "100", "1,235"]
        );
    }

    #[test]
    fn a_share_is_zero_only_if_it_is() {
        let shares = [0.0, 1e-8, 0.000_01, 0.01, 0.1234, 1.0].map(percent);
        assert_eq!(shares, ["0 %", "1.0e-6 %", "0.001 %", "1.00 %", "12.3 %", "100.0 %"]);
    }

    #[test]
    fn times_are_in_two_units_at_most() {
        let times = [0.0, 5.0, 5.25, 60.0, 125.0, 3600.0, 11_000.0].map(time);
        assert_eq!(times, ["0 s", "5 s", "5.2 s", "1 min", "2 min 5 s", "1 h", "3 h 3 min"]);
    }

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(date(1_795_788_588), "2026-11-27 14:09:48 UTC");
        assert_eq!(date(4_107_542_399), "2100-02-28 23:59:59 UTC");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00:00 UTC");
    }

    proptest! {
        #[test]
        fn days_follow_each_other(days in 0..1_000_000u64) {
            let ((year, month, day), next) = (civil(days), civil(days + 1));
            let first_of_next = if month == 12 { (year + 1, 1, 1) } else { (year, month + 1, 1) };
            prop_assert!(next == (year, month, day + 1) || (day >= 28 && next == first_of_next));
        }

        #[test]
        fn nothing_that_a_terminal_obeys_is_left(text: String) {
            prop_assert!(!clean(&text).contains(char::is_control));
        }
    }
}
