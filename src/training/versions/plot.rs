//! The loss curve: a line of blocks for the terminal, an SVG file for everything else.

use std::fmt::Write;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The curve in at most `width` blocks, each the mean of its stretch.
pub fn sparkline(losses: &[f32], width: usize) -> String {
    let points = thinned(losses, width.max(1));
    let (low, high) = bounds(&points);
    let block = |value: f32| {
        let level = if high > low { (value - low) / (high - low) * 7.0 } else { 0.0 };
        BLOCKS.get(level.round() as usize).copied().unwrap_or('█')
    };
    points.into_iter().map(block).collect()
}

/// The curve as an SVG picture of 640 by 320: every step's loss in grey, its running mean above it.
pub fn svg(losses: &[f32], title: &str) -> String {
    let points: Vec<f32> = losses.iter().copied().filter(|loss| loss.is_finite()).collect();
    let (low, high) = bounds(&points);
    let span = if high > low { high - low } else { 1.0 };
    let x = |at: usize| 56.0 + 564.0 * at as f32 / points.len().saturating_sub(1).max(1) as f32;
    let y = |loss: f32| 280.0 - 236.0 * (loss - low) / span;
    let mut means = Vec::with_capacity(points.len());
    for loss in &points {
        let before = means.last().copied().unwrap_or(*loss);
        means.push(0.85 * before + 0.15 * loss);
    }
    let line = |values: &[f32]| {
        values.iter().enumerate().fold(String::new(), |mut line, (at, value)| {
            let _ = write!(line, "{:.1},{:.1} ", x(at), y(*value));
            line
        })
    };
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let mut page = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"320\" viewBox=\"0 0 640 320\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"640\" height=\"320\" fill=\"white\"/>\n",
    );
    let _ = writeln!(page, "<text x=\"56\" y=\"24\" font-size=\"14\">{title}</text>");
    for part in 0..=4 {
        let loss = low + span * part as f32 / 4.0;
        let _ = writeln!(
            page,
            "<line x1=\"56\" x2=\"620\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"#ddd\"/><text x=\"50\" y=\"{1:.1}\" \
             text-anchor=\"end\">{loss:.2}</text>",
            y(loss),
            y(loss) + 4.0
        );
    }
    let _ = writeln!(
        page,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#bbb\"/>\n<polyline points=\"{}\" fill=\"none\" \
         stroke=\"#06c\" stroke-width=\"2\"/>",
        line(&points).trim_end(),
        line(&means).trim_end()
    );
    let _ = writeln!(
        page,
        "<text x=\"338\" y=\"310\" text-anchor=\"middle\">step (1 to {}), loss per token</text>\n</svg>",
        points.len()
    );
    page
}

fn bounds(values: &[f32]) -> (f32, f32) {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let low = finite().fold(f32::INFINITY, f32::min);
    let high = finite().fold(f32::NEG_INFINITY, f32::max);
    if low <= high { (low, high) } else { (0.0, 0.0) }
}

fn thinned(losses: &[f32], width: usize) -> Vec<f32> {
    let size = losses.len().div_ceil(width).max(1);
    losses.chunks(size).map(|part| part.iter().sum::<f32>() / part.len() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_loss_falls_in_both_pictures() {
        let losses: Vec<f32> = (0..100).map(|n| 3.0 - n as f32 / 50.0).collect();
        assert_eq!(sparkline(&losses, 8), "█▇▆▅▄▃▂▁");
        assert_eq!(sparkline(&[], 8), "");
        assert_eq!(sparkline(&[1.0, f32::NAN], 8).chars().count(), 2);
        let picture = svg(&losses, "v0001 <&>");
        assert!(picture.contains("v0001 &lt;&amp;>") && picture.contains("56.0,44.0"), "{picture}");
        assert!(svg(&[], "none").ends_with("</svg>\n"));
    }
}
