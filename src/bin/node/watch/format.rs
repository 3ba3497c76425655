//! Numbers in a few columns.

use std::time::Duration;

/// A count or a rate: `0`, `9999`, `12k`, `1.5M`.
pub(crate) fn count(number: f64) -> String {
    if number > 0.0 && number < 9.95 && number.fract() > 0.05 {
        return format!("{number:.1}");
    }
    if number < 9_999.5 {
        return format!("{number:.0}");
    }
    let (mut number, mut unit) = (number / 1e3, "k");
    for larger in ["M", "G", "T"] {
        if number >= 999.5 {
            (number, unit) = (number / 1e3, larger);
        }
    }
    match number < 9.95 {
        true => format!("{number:.1}{unit}"),
        false => format!("{number:.0}{unit}"),
    }
}

/// A time that is short: `0.42 ms`, `12 ms`, `1.5 s`.
pub(crate) fn time(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    match millis {
        ..0.995 => format!("{millis:.2} ms"),
        ..9.95 => format!("{millis:.1} ms"),
        ..999.5 => format!("{millis:.0} ms"),
        ..9_950.0 => format!("{:.1} s", millis / 1e3),
        _ => age(time),
    }
}

/// A time that goes on: `4 s`, `1:10`, `2:03:04`, `3 d 4 h`.
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes}:{:02}", seconds % 60),
        3600..86400 => format!("{hours}:{:02}:{:02}", minutes % 60, seconds % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// How full something is: `0%`, `100%`. One that holds more than its limit is full.
pub(crate) fn share(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".into(),
        _ => format!("{}%", (part.saturating_mul(100) / whole).min(100)),
    }
}

/// Bars, as high as the numbers are beside the greatest of them, of which `width` are the latest.
pub(crate) fn bars<'a>(
    numbers: impl DoubleEndedIterator<Item = &'a u64> + Clone,
    width: usize,
) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut latest: Vec<u64> = numbers.rev().take(width).copied().collect();
    latest.reverse();
    let greatest = latest.iter().copied().max().unwrap_or(0).max(1);
    // What is not nothing shows.
    let bar = |number: u64| BARS[(number.saturating_mul(8).div_ceil(greatest)).min(8) as usize];
    latest.into_iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_takes_few_columns() {
        for (number, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (3.0, "3"),
            (9_999.0, "9999"),
            (9_999.9, "10k"),
            (12_345.0, "12k"),
            (1_500_000.0, "1.5M"),
            (999_999.0, "1.0M"),
            (7e12, "7.0T"),
        ] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn a_time_has_its_unit() {
        for (micros, text) in [
            (420, "0.42 ms"),
            (1_500, "1.5 ms"),
            (12_300, "12 ms"),
            (1_540_000, "1.5 s"),
            (12_000_000, "12 s"),
        ] {
            assert_eq!(time(Duration::from_micros(micros)), text);
        }
        for (seconds, text) in [(0, "0 s"), (70, "1:10"), (7_384, "2:03:04"), (273_600, "3 d 4 h")]
        {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_share_is_full_at_most() {
        assert_eq!(
            [share(0, 0), share(1, 3), share(9, 9), share(20, 9)],
            ["-", "33%", "100%", "100%"]
        );
    }

    #[test]
    fn bars_are_of_the_latest_and_none_hides() {
        assert_eq!(bars([].iter(), 5), "");
        assert_eq!(bars([0, 0].iter(), 5), "  ");
        assert_eq!(bars([800, 0, 1, 50, 100].iter(), 4), " ▁▄█");
    }
}
