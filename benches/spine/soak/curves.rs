//! Curves over the sessions, one small picture under the other, as SVG.

use std::fmt::Write;

/// One picture: some curves over the same numbers of sessions.
pub(super) struct Panel<'a> {
    pub(super) title: &'a str,
    /// Each with its name and its points, (sessions, value).
    pub(super) curves: Vec<(&'a str, Vec<(f64, f64)>)>,
}

const COLOURS: [&str; 4] = ["#06c", "#c50", "#080", "#808"];
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 20.0;

/// All panels on one page. The value axis begins at zero, so that a curve looks as flat as it is.
pub(super) fn page(title: &str, panels: &[Panel<'_>]) -> String {
    let last = panels
        .iter()
        .flat_map(|panel| panel.curves.iter().flat_map(|(_, points)| points))
        .fold(1.0_f64, |last, (at, _)| last.max(*at));
    let height = 40.0 + panels.len() as f64 * HEIGHT;
    let mut page = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{}</text>\n",
        escaped(title)
    );
    for (number, panel) in panels.iter().enumerate() {
        draw(panel, 40.0 + number as f64 * HEIGHT, last, &mut page);
    }
    page + "</svg>\n"
}

fn draw(panel: &Panel<'_>, top: f64, last: f64, page: &mut String) {
    let high = panel.curves.iter().flat_map(|(_, points)| points).fold(0.0_f64, |high, (_, y)| high.max(*y));
    let high = round_up(high);
    let (upper, lower) = (top + 22.0, top + HEIGHT - 24.0);
    let x = |at: f64| LEFT + (WIDTH - LEFT - RIGHT) * at / last;
    let y = |value: f64| lower - (lower - upper) * value / high;
    let _ = writeln!(
        page,
        "<text x=\"{LEFT}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>",
        top + 12.0,
        escaped(panel.title)
    );
    for part in 0..=2 {
        let value = high * f64::from(part) / 2.0;
        let _ = writeln!(
            page,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{1:.1}\" y2=\"{1:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{2:.1}\" y=\"{3:.1}\" text-anchor=\"end\">{value}</text>",
            WIDTH - RIGHT,
            y(value),
            LEFT - 6.0,
            y(value) + 4.0
        );
    }
    for part in 0..=4 {
        let at = last * f64::from(part) / 4.0;
        let _ = writeln!(
            page,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{:.0}k</text>",
            x(at),
            lower + 14.0,
            at / 1000.0
        );
    }
    let mut legend = WIDTH - RIGHT;
    for ((name, points), colour) in panel.curves.iter().zip(COLOURS) {
        let line = points.iter().fold(String::new(), |mut line, (at, value)| {
            let _ = write!(line, "{:.1},{:.1} ", x(*at), y(*value));
            line
        });
        let _ = writeln!(
            page,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
             <text x=\"{legend:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
            line.trim_end(),
            top + 12.0,
            escaped(name)
        );
        legend -= 12.0 + 6.5 * name.len() as f64;
    }
}

/// The next round number.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let unit = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * unit)
        .find(|it| *it >= value)
        .unwrap_or(value)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
