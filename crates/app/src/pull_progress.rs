//! How far the fetch of a model has come: a bar on a terminal, elsewhere a line for each tenth.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use ports::HubModel;

/// What is shown of one fetch, on standard error.
pub(crate) struct PullProgress {
    name: String,
    shown: Shown,
}

enum Shown {
    /// For a person who watches.
    Bar(ProgressBar),
    /// For a log: the tenths that were told.
    Lines(Tenths),
}

impl PullProgress {
    /// Shows nothing before there is anything to show.
    pub(crate) fn of(model: &HubModel) -> Self {
        let shown =
            if std::io::stderr().is_terminal() { Shown::Bar(ProgressBar::hidden()) } else { Shown::Lines(Tenths::default()) };
        Self { name: model.repository.clone(), shown }
    }

    /// So many bytes of all files are here; this one is being fetched.
    pub(crate) fn show(&mut self, file: &str, fetched_bytes: u64, total_bytes: u64) {
        match &mut self.shown {
            Shown::Bar(bar) => {
                if bar.length().is_none() || bar.is_hidden() {
                    *bar = visible_bar(&self.name, fetched_bytes, total_bytes);
                }
                bar.set_message(file.to_owned());
                bar.set_position(fetched_bytes);
            }
            Shown::Lines(tenths) => {
                if let Some(percent) = tenths.next(fetched_bytes, total_bytes) {
                    let (name, total) = (&self.name, HumanBytes(total_bytes));
                    let _ = writeln!(std::io::stderr(), "fetching {name}: {percent} % of {total}");
                }
            }
        }
    }
}

impl Drop for PullProgress {
    /// What follows begins on a line of its own.
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn visible_bar(name: &str, begun_at: u64, total_bytes: u64) -> ProgressBar {
    let template = "{prefix} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left  {msg}";
    // The template is fixed; the plain bar stands in should it be wrong.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(total_bytes), ProgressDrawTarget::stderr()).with_style(style);
    bar.set_prefix(name.to_owned());
    // What an earlier fetch left did not come this fast.
    bar.set_position(begun_at);
    bar.reset_eta();
    bar
}

/// The tenths of a fetch that were told already.
#[derive(Default)]
struct Tenths {
    told: Option<u64>,
}

impl Tenths {
    /// The percentage to tell now, if there is a new one.
    fn next(&mut self, done: u64, total: u64) -> Option<u64> {
        let tenth = u128::from(done) * 10 / u128::from(total.max(1));
        let tenth = u64::try_from(tenth).unwrap_or(10).min(10);
        let is_new = self.told.is_none_or(|told| told < tenth);
        is_new.then(|| {
            self.told = Some(tenth);
            tenth * 10
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenth_is_told_once_wherever_the_fetch_begins() {
        let told = |steps: &[u64]| {
            let mut tenths = Tenths::default();
            steps.iter().filter_map(|done| tenths.next(*done, 1000)).collect::<Vec<_>>()
        };
        assert_eq!(told(&[0, 50, 99, 100, 101, 350, 1000, 1000]), [0, 10, 30, 100]);
        assert_eq!(told(&[730, 740, 1000]), [70, 100], "an earlier fetch left that much");
    }

    #[test]
    fn nothing_at_all_is_no_reason_to_divide_by_it() {
        assert_eq!(Tenths::default().next(0, 0), Some(0));
    }
}
