//! How it looks: what the watch knows, as the cells of a terminal of any size.

use std::env;
use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row as Cells, Table};

use super::columns::{self, Column};
use super::format;
use super::model::Model;
use super::rows::Row;
use super::verdict::Grade;

/// All that is to be seen.
pub(crate) struct Scene<'a> {
    /// Whose table it is.
    pub(crate) title: &'a str,
    pub(crate) model: &'a Model,
    pub(crate) rows: &'a [Row],
    /// How many rows are above the first one that shows.
    pub(crate) first: usize,
    pub(crate) is_paused: bool,
    pub(crate) is_leaving: bool,
    pub(crate) help: &'a str,
    pub(crate) palette: Palette,
    /// Since the start of the watch.
    pub(crate) now: Duration,
}

/// Whether there are colours. Bold and reversed letters are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Palette {
    Coloured,
    Plain,
}

impl Palette {
    /// As <https://no-color.org> has it.
    pub(crate) fn of_environment() -> Self {
        match env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
            true => Self::Plain,
            false => Self::Coloured,
        }
    }

    fn style(self, grade: Grade) -> Style {
        let style = match grade {
            Grade::Bad => Style::new().add_modifier(Modifier::BOLD),
            _ => Style::new(),
        };
        let colour = match grade {
            Grade::Good => Color::Green,
            Grade::Idle => Color::DarkGray,
            Grade::Warning => Color::Yellow,
            Grade::Bad => Color::Red,
        };
        match self {
            Self::Coloured => style.fg(colour),
            Self::Plain => style,
        }
    }
}

/// Where everything goes. What there is no room for has no height.
struct Places {
    header: Rect,
    table: Rect,
    events: Rect,
    help: Rect,
    is_headed: bool,
}

impl Places {
    /// The rows come first, then what happened lately: a table of a few rows leaves it the rest.
    fn of(area: Rect, rows: usize) -> Self {
        let (header, help) = (u16::from(area.height >= 3), u16::from(area.height >= 6));
        let rest = area.height - header - help;
        let least = match rest {
            ..6 => 0,
            6..12 => 3,
            _ => 5,
        };
        let heading = 1;
        let rows = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(heading);
        let table = rows.min(rest - least);
        let is_headed = table > heading && (table == rows || table > 2);
        let heights = [header, table, rest - table, help].map(Constraint::Length);
        let [header, table, events, help] = Layout::vertical(heights).areas(area);
        Self { header, table, events, help, is_headed }
    }

    /// Where there is so little room, the rows tell it without a heading.
    fn heading(&self) -> u16 {
        u16::from(self.is_headed)
    }

    fn rows(&self) -> usize {
        usize::from(self.table.height - self.heading())
    }
}

/// Draws the scene, and returns how many rows are above the first one that shows: fewer than asked
/// for where the last one would not be the lowest.
pub(crate) fn draw(frame: &mut Frame, scene: &Scene) -> usize {
    let places = Places::of(frame.area(), scene.rows.len());
    let first = scene.first.min(scene.rows.len().saturating_sub(places.rows()));
    let shown = &scene.rows[first..scene.rows.len().min(first + places.rows())];
    frame.render_widget(header(scene, first, shown.len(), places.header.width), places.header);
    frame.render_widget(table(scene, shown, &places), places.table);
    frame.render_widget(events(scene), places.events);
    frame.render_widget(Line::raw(scene.help).style(reversed()), places.help);
    first
}

fn reversed() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

/// What cannot be overlooked stands first, since the end may not fit.
fn header<'a>(scene: &'a Scene, first: usize, shown: usize, width: u16) -> Paragraph<'a> {
    let all = scene.rows.len();
    let troubled = scene.rows.iter().filter(|row| row.is_in_trouble()).count();
    let mut parts = Vec::new();
    if scene.is_paused {
        parts.push("PAUSED".to_owned());
    }
    if scene.is_leaving {
        parts.push("leaving; Ctrl-C ends at once".to_owned());
    }
    if width >= 30 {
        parts.push(scene.title.to_owned());
    }
    parts.push(match troubled {
        0 => format!("{all} fine"),
        _ => format!("{troubled} of {all} in trouble"),
    });
    if shown < all {
        parts.push(format!("rows {} to {}, scroll by arrow keys", first + 1, first + shown));
    }
    parts.push(format::age(scene.now));
    Paragraph::new(parts.join(" | ")).style(reversed())
}

fn table<'a>(scene: &Scene, shown: &[Row], places: &Places) -> Table<'a> {
    let columns = columns::fitting(places.table.width);
    let rows = shown.iter().map(|row| {
        let cells = columns.iter().map(|&(column, width)| cell(scene, row, column, width));
        Cells::new(cells.collect::<Vec<_>>())
    });
    let widths = columns.iter().map(|&(_, width)| Constraint::Length(width));
    let table = Table::new(rows, widths).column_spacing(1);
    if places.heading() == 0 {
        return table;
    }
    let headings = columns.iter().map(|(column, _)| aligned(column.heading().into(), *column));
    table.header(Cells::new(headings.map(Cell::from).collect::<Vec<_>>()).style(bold()))
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn cell<'a>(scene: &Scene, row: &Row, column: Column, width: u16) -> Cell<'a> {
    let cell = Cell::from(aligned(column.text(row, width), column));
    match column {
        Column::Name | Column::State | Column::Hint => {
            cell.style(scene.palette.style(row.verdict.grade))
        }
        _ => cell,
    }
}

fn aligned<'a>(text: String, column: Column) -> Text<'a> {
    Text::raw(text).alignment(match column.is_number() {
        true => Alignment::Right,
        false => Alignment::Left,
    })
}

/// The latest stands first, since those below may not fit.
fn events<'a>(scene: &'a Scene) -> Paragraph<'a> {
    let title = match scene.model.unshown {
        0 => " events ".to_owned(),
        unshown => format!(" events ({unshown} came too fast to be shown) "),
    };
    let message = scene.model.message.iter().map(|text| Line::raw(format!("lately: {text}")));
    let events = scene.model.events.iter().rev().map(|(time, text)| {
        let ago = format::age(scene.now.saturating_sub(*time));
        Line::from(vec![Span::raw(format!("{ago:>7} ago  ")), Span::raw(text.as_str())])
    });
    let lines: Vec<_> = message.chain(events).collect();
    Paragraph::new(lines).block(Block::new().borders(Borders::TOP).title(title))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;

    use super::*;
    use crate::watch::rows::{self, Details};

    fn draw_all(width: u16, height: u16, first: usize, palette: Palette) -> (Buffer, usize) {
        let mut model = rows::tests::third_is_stalled();
        model.event("peer 3 takes no more".into(), Duration::from_secs(1));
        model.message = Some("peer 2 to all: hello there".into());
        let now = Duration::from_secs(2);
        let rows = rows::of_servers(&model, Details::Shown, now);
        let (title, help) = ("3 servers", "q leaves");
        let scene = Scene {
            title,
            model: &model,
            rows: &rows,
            first,
            is_paused: true,
            is_leaving: false,
            help,
            palette,
            now,
        };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let mut above = 0;
        terminal.draw(|frame| above = draw(frame, &scene)).unwrap();
        (terminal.backend().buffer().clone(), above)
    }

    fn lines(buffer: &Buffer) -> Vec<String> {
        let cells = buffer.content().chunks(buffer.area.width.into());
        let line = |cells: &[ratatui::buffer::Cell]| {
            cells.iter().map(ratatui::buffer::Cell::symbol).collect()
        };
        cells.map(line).map(|line: String| line.trim_end().to_owned()).collect()
    }

    #[test]
    fn a_wide_terminal_has_it_all() {
        let lines = lines(&draw_all(160, 24, 0, Palette::Coloured).0);
        assert_eq!(lines[0], "PAUSED | 3 servers | 3 of 9 in trouble | 2 s");
        for heading in ["PEER", "SINCE", "HINT", "RTT", "WINDOW", "OLDEST", "RESENT", "TREND"] {
            assert!(lines[1].contains(heading), "{lines:#?}");
        }
        for part in ["3     up", "! stalled 2/2", "100%", "200", "1.0 ms"] {
            assert!(lines[8].contains(part), "{part} is not in {lines:#?}");
        }
        assert!(lines[11].contains(" events "), "{lines:#?}");
        assert_eq!(lines[12], "lately: peer 2 to all: hello there");
        assert_eq!(lines[13], "    1 s ago  peer 3 takes no more");
        assert_eq!(lines[23], "q leaves");
    }

    #[test]
    fn a_narrow_terminal_still_tells_who_is_in_trouble() {
        let lines = lines(&draw_all(40, 24, 0, Palette::Coloured).0);
        assert_eq!(lines[1], "PEER  STATE   HINT                WAITS");
        assert_eq!(lines[8], "3     up      ! stalled 2/2         200");
    }

    #[test]
    fn no_size_is_too_small() {
        for (width, height) in [(10, 3), (1, 1), (3, 2), (10, 1), (200, 1), (1, 200), (40, 6)] {
            let (buffer, _) = draw_all(width, height, 0, Palette::Coloured);
            assert!(lines(&buffer).concat().contains('1'), "{width} x {height}: {buffer:?}");
        }
        let lines = lines(&draw_all(10, 3, 6, Palette::Coloured).0);
        assert_eq!(lines, ["PAUSED | 3", "3", "3>1"]);
    }

    #[test]
    fn the_last_row_is_as_far_as_it_scrolls() {
        let (buffer, above) = draw_all(80, 9, 100, Palette::Coloured);
        let lines = lines(&buffer);
        assert_eq!(above, 6);
        assert!(lines[0].contains("rows 7 to 9"), "{lines:#?}");
        assert!(lines[2].starts_with("3 ") && lines[4].starts_with("3>2"), "{lines:#?}");
    }

    #[test]
    fn without_colours_there_are_none() {
        let colours = |palette| {
            let (buffer, _) = draw_all(160, 24, 0, palette);
            let is_coloured =
                |cell: &&ratatui::buffer::Cell| (cell.fg, cell.bg) != Default::default();
            buffer.content().iter().filter(is_coloured).count()
        };
        assert_eq!(colours(Palette::Plain), 0);
        assert!(colours(Palette::Coloured) > 0);
    }
}
