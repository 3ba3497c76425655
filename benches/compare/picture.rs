//! The outcomes as pictures: deliveries per second over the size of the message, and over the number
//! of peers; and what round trips cost and how long they take, over how many there are in a second.

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::measure::{Chapter, Outcome};
use super::rates::{MEDIAN, WORKED};
use super::rows::{PEERS, RATES, RAW, SIZES, bytes};
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

/// Draws the picture of full speed as SVG, if it was measured in full.
pub fn draw_speed(path: &Path, outcomes: &[Outcome]) -> Result<()> {
    let (sizes, peers) = (Panel::by_size(outcomes), Panel::by_peers(outcomes));
    if sizes.library.len() < SIZES.len() || peers.library.len() < PEERS.len() {
        return Ok(());
    }
    draw(path, &sizes, &peers)
}

/// Draws the picture of fixed rates as SVG, if they were measured in full.
pub fn draw_rates(path: &Path, outcomes: &[Outcome]) -> Result<()> {
    let (took, cost) = (Panel::of_times(outcomes), Panel::of_cost(outcomes));
    if took.library.len() < RATES.len() || cost.library.len() < RATES.len() {
        return Ok(());
    }
    draw(path, &took, &cost)
}

fn draw(path: &Path, left: &Panel, right: &Panel) -> Result<()> {
    let root = SVGBackend::new(path, EXTENT).into_drawing_area();
    root.fill(&WHITE)?;
    let halves = root.split_horizontally(EXTENT.0 / 2);
    left.draw(&halves.0)?;
    right.draw(&halves.1)?;
    Ok(root.present()?)
}

impl Panel {
    /// Sizes and rates lie so far apart that either axis is logarithmic.
    fn by_size(outcomes: &[Outcome]) -> Self {
        let place = |size: usize, rate: f64| ((size as f64).log2(), rate.log10());
        let (library, libzmq) = lines(outcomes, |outcome| outcome.chapter == Chapter::Sizes, place);
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
        let (library, libzmq) = lines(outcomes, |outcome| outcome.chapter == Chapter::Peers, place);
        let step = step(&library, &libzmq);
        Self {
            title: "Broadcast of 64 B: deliveries over number of peers",
            x: PEERS.map(|n| Tick { at: (n as f64).log2(), label: n.to_string() }).into(),
            y: STEPS.map(|n| Tick::rate(n * step, n * step)).into(),
            library,
            libzmq,
        }
    }

    fn of_times(outcomes: &[Outcome]) -> Self {
        let place = |rate: usize, seconds: f64| ((rate as f64).log10(), seconds * 1e6);
        let (library, libzmq) = lines(outcomes, |outcome| outcome.is_at_rate(MEDIAN), place);
        let step = step(&library, &libzmq);
        Self {
            title: "Round trip of 64 B: median over round trips per second",
            x: rates(),
            y: STEPS.map(|n| Tick::micros(n * step, n * step)).into(),
            library,
            libzmq,
        }
    }

    fn of_cost(outcomes: &[Outcome]) -> Self {
        let place = |rate: usize, seconds: f64| ((rate as f64).log10(), (seconds * 1e6).log10());
        let (library, libzmq) = lines(outcomes, |outcome| outcome.is_at_rate(WORKED), place);
        let micros = [5.0_f64, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
        Self {
            title: "Processor time for each, at both ends together",
            x: rates(),
            y: micros.map(|micros| Tick::micros(micros.log10(), micros)).into(),
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

/// How many steps an axis has; the last is free for the names.
const STEPS: [f64; 7] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

/// A fifth of the best, rounded up to one digit.
fn step(library: &Line, libzmq: &Line) -> f64 {
    let best = library.iter().chain(libzmq).map(|point| point.1).fold(1.0, f64::max);
    let digit = 10_f64.powf((best / 5.0).log10().floor());
    (best / 5.0 / digit).ceil() * digit
}

/// The rates of round trips as ticks of a logarithmic axis.
fn rates() -> Vec<Tick> {
    RATES.map(|rate| Tick::rate(f64::from(rate).log10(), f64::from(rate))).into()
}

impl Tick {
    fn micros(at: f64, micros: f64) -> Self {
        Self { at, label: format!("{micros} µs") }
    }

    fn rate(at: f64, rate: f64) -> Self {
        let label = match rate {
            ..1e3 => rate.to_string(),
            1e3..1e6 => format!("{} k", (rate / 1e2).round() / 1e1),
            _ => format!("{} M", (rate / 1e5).round() / 1e1),
        };
        Self { at, label: label + "/s" }
    }
}

impl Outcome {
    /// Whether it is this figure at one of the rates from one server to another, of which the sender
    /// sleeps.
    fn is_at_rate(&self, figure: &str) -> bool {
        let name = format!("{} k round trips/s, {figure}", self.at / 1_000);
        self.chapter == Chapter::Rates && self.name == name
    }
}

/// The points of the library and of libzmq, each where `place` puts it.
fn lines(
    outcomes: &[Outcome],
    shown: impl Fn(&Outcome) -> bool,
    place: impl Fn(usize, f64) -> (f64, f64),
) -> (Line, Line) {
    let outcomes = outcomes.iter().filter(|outcome| shown(outcome));
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
