//! The outcomes as a picture: deliveries per second over the size of the message, and over the
//! number of peers.

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::measure::{Chapter, Outcome};
use super::rows::{PEERS, RAW, SIZES, bytes};
use crate::support::Result;

const EXTENT: (u32, u32) = (1_000, 380);
const FONT: &str = "sans-serif";
const LIBRARY: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const LIBZMQ: RGBColor = RGBColor(0xd9, 0x6a, 0x1c);

/// How much further than its first and last tick an axis goes, as a part of its length.
const MARGIN: f64 = 0.05;

/// One half of the picture.
struct Panel {
    title: &'static str,
    x: Vec<Tick>,
    y: Vec<Tick>,
    library: Line,
    libzmq: Line,
}

/// The points of one contender.
type Line = Vec<(f64, f64)>;

/// A label on an axis.
struct Tick {
    at: f64,
    label: String,
}

/// Whether a picture can be drawn: both chapters must have been measured in full.
pub fn is_complete(outcomes: &[Outcome]) -> bool {
    let rows = |chapter| outcomes.iter().filter(|outcome| outcome.chapter == chapter).count();
    rows(Chapter::Sizes) == SIZES.len() && rows(Chapter::Peers) == PEERS.len()
}

/// Draws the picture as SVG.
pub fn draw(path: &Path, outcomes: &[Outcome]) -> Result<()> {
    let root = SVGBackend::new(path, EXTENT).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(EXTENT.0 / 2);
    Panel::by_size(outcomes).draw(&left)?;
    Panel::by_peers(outcomes).draw(&right)?;
    Ok(root.present()?)
}

impl Panel {
    /// Sizes and rates lie so far apart that either axis is logarithmic.
    fn by_size(outcomes: &[Outcome]) -> Self {
        let place = |size: usize, rate: f64| ((size as f64).log2(), rate.log10());
        let (library, libzmq) = lines(outcomes, Chapter::Sizes, place);
        let decades = 3..=8;
        Self {
            title: "Broadcast to 4 peers: deliveries over message size",
            x: SIZES.map(|size| Tick { at: (size as f64).log2(), label: bytes(size) }).into(),
            y: decades.map(|decade| Tick::rate(f64::from(decade), 10_f64.powi(decade))).collect(),
            library,
            libzmq,
        }
    }

    fn by_peers(outcomes: &[Outcome]) -> Self {
        let place = |peers: usize, rate: f64| ((peers as f64).log2(), rate);
        let (library, libzmq) = lines(outcomes, Chapter::Peers, place);
        let best = library.iter().chain(&libzmq).map(|point| point.1).fold(1.0, f64::max);
        // A fifth of the best, rounded up to one digit: of six steps the last is free for the
        // names.
        let digit = 10_f64.powf((best / 5.0).log10().floor());
        let step = (best / 5.0 / digit).ceil() * digit;
        Self {
            title: "Broadcast of 64 B: deliveries over number of peers",
            x: PEERS.map(|n| Tick { at: (n as f64).log2(), label: n.to_string() }).into(),
            y: [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(|n| Tick::rate(n * step, n * step)).into(),
            library,
            libzmq,
        }
    }

    fn draw(&self, area: &DrawingArea<SVGBackend, Shift>) -> Result<()> {
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FONT, 16))
            .margin(12)
            .x_label_area_size(30)
            .y_label_area_size(70)
            .build_cartesian_2d(Axis::new(&self.x), Axis::new(&self.y))?;
        chart.configure_mesh().light_line_style(TRANSPARENT).label_style((FONT, 13)).draw()?;
        let lines = [("raft-cluster", &self.library, LIBRARY), (RAW, &self.libzmq, LIBZMQ)];
        for (name, points, color) in lines {
            let style = color.stroke_width(2);
            let line = LineSeries::new(points.iter().copied(), style).point_size(4);
            chart
                .draw_series(line)?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .border_style(TRANSPARENT)
            .label_font((FONT, 14))
            .draw()?;
        Ok(())
    }
}

impl Tick {
    fn rate(at: f64, rate: f64) -> Self {
        let label = match rate {
            ..1e3 => rate.to_string(),
            1e3..1e6 => format!("{} k", (rate / 1e2).round() / 1e1),
            _ => format!("{} M", (rate / 1e5).round() / 1e1),
        };
        Self { at, label: label + "/s" }
    }
}

/// The points of the library and of libzmq, each where `place` puts it.
fn lines(
    outcomes: &[Outcome],
    chapter: Chapter,
    place: impl Fn(usize, f64) -> (f64, f64),
) -> (Line, Line) {
    let outcomes = outcomes.iter().filter(|outcome| outcome.chapter == chapter);
    let points = outcomes.filter_map(|outcome| {
        let libzmq = outcome.others.iter().find(|other| other.name == RAW)?;
        let (library, libzmq) = (outcome.library.median, libzmq.samples.median);
        Some((place(outcome.at, library), place(outcome.at, libzmq)))
    });
    points.unzip()
}

/// An axis on which ticks stand just where they were put.
struct Axis<'a> {
    ticks: &'a [Tick],
    range: Range<f64>,
}

impl<'a> Axis<'a> {
    fn new(ticks: &'a [Tick]) -> Self {
        let ends = ticks.first().zip(ticks.last());
        let (first, last) = ends.map_or((0.0, 1.0), |(first, last)| (first.at, last.at));
        let margin = MARGIN * (last - first);
        Self { ticks, range: first - margin..last + margin }
    }
}

impl Ranged for Axis<'_> {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|tick| tick.at).collect()
    }
}

impl ValueFormatter<f64> for Axis<'_> {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|tick| (tick.at - value).abs() < f64::EPSILON);
        tick.map(|tick| tick.label.clone()).unwrap_or_default()
    }
}
