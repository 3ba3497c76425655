//! The columns of the table, and which of them a terminal has room for.

use super::format;
use super::rows::Row;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Name,
    State,
    Since,
    Hint,
    RoundTrip,
    Sent,
    Received,
    Window,
    Waiting,
    Oldest,
    Resent,
    BytesSent,
    BytesReceived,
    Trend,
}

/// In the order in which they stand, each with its width. The lower the number behind it, the longer
/// it stays while the terminal becomes narrower: what is the matter with whom stays to the last.
const COLUMNS: [(Column, u16, u8); 14] = [
    (Column::Name, 5, 0),
    (Column::State, 7, 1),
    (Column::Since, 8, 8),
    (Column::Hint, 19, 2),
    (Column::RoundTrip, 7, 5),
    (Column::Sent, 6, 6),
    (Column::Received, 6, 7),
    (Column::Window, 6, 4),
    (Column::Waiting, 5, 3),
    (Column::Oldest, 6, 9),
    (Column::Resent, 6, 10),
    (Column::BytesSent, 7, 12),
    (Column::BytesReceived, 7, 13),
    (Column::Trend, 12, 11),
];

/// The columns that a width has room for, and how wide each is.
pub(crate) fn fitting(width: u16) -> Vec<(Column, u16)> {
    let mut by_rank = COLUMNS;
    by_rank.sort_by_key(|&(.., rank)| rank);
    let mut used = 0;
    // A column that does not fit leaves no room for one that matters less.
    let fit = by_rank.iter().take_while(|(_, width_of_it, _)| {
        used += width_of_it + 1;
        used <= width + 1
    });
    let last = fit.last().map_or(0, |&(.., rank)| rank);
    COLUMNS
        .iter()
        .filter(|(.., rank)| *rank <= last)
        .map(|&(column, width, _)| (column, width))
        .collect()
}

impl Column {
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Name => "PEER",
            Self::State => "STATE",
            Self::Since => "SINCE",
            Self::Hint => "HINT",
            Self::RoundTrip => "RTT",
            Self::Sent => "SENT/s",
            Self::Received => "RECV/s",
            Self::Window => "WINDOW",
            Self::Waiting => "WAITS",
            Self::Oldest => "OLDEST",
            Self::Resent => "RESENT",
            Self::BytesSent => "OUT B/s",
            Self::BytesReceived => "IN B/s",
            Self::Trend => "TREND",
        }
    }

    /// Whether it stands at the right, as numbers do.
    pub(crate) fn is_number(self) -> bool {
        !matches!(self, Self::Name | Self::State | Self::Hint | Self::Trend)
    }

    pub(crate) fn text(self, row: &Row, width: u16) -> String {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        match self {
            Self::Name => row.name.clone(),
            Self::State => row.state.into(),
            Self::Since => or_dash(row.since.map(format::age)),
            Self::Hint if row.is_in_trouble() => format!("! {}", row.verdict.words),
            Self::Hint => row.verdict.words.clone(),
            Self::RoundTrip => or_dash(row.rtt.map(format::time)),
            Self::Sent => format::count(row.rates.sent),
            Self::Received => format::count(row.rates.received),
            Self::Window => format::share(row.window.0, row.window.1),
            Self::Waiting => format::count(row.waiting as f64),
            Self::Oldest => or_dash(row.oldest.map(format::age)),
            Self::Resent => format::count(row.resent as f64),
            Self::BytesSent => format::count(row.rates.bytes_sent),
            Self::BytesReceived => format::count(row.rates.bytes_received),
            Self::Trend => format::bars(row.history.iter(), width.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(width: u16) -> Vec<Column> {
        fitting(width).into_iter().map(|(column, _)| column).collect()
    }

    #[test]
    fn what_is_the_matter_stays_to_the_last() {
        use Column::{Hint, Name, State, Waiting};
        assert_eq!(names(0), [Name]);
        assert_eq!(names(10), [Name]);
        assert_eq!(names(33), [Name, State, Hint]);
        assert_eq!(names(40), [Name, State, Hint, Waiting]);
        assert_eq!(names(200).len(), COLUMNS.len());
    }

    #[test]
    fn the_columns_fit() {
        for width in 10..200 {
            let columns = fitting(width);
            let used: u16 = columns.iter().map(|(_, width)| width + 1).sum();
            assert!(used <= width + 1, "{width}: {columns:?}");
            assert_eq!(columns[0].0, Column::Name);
        }
    }
}
