use std::io::{self, Write};
use std::time::Instant;

use jiff::Timestamp;

use crate::platform;
use crate::spool::Home;
use crate::stages::session_log::Statistics;
use crate::state::Totals;

/// Writes `logs/daemon_stats.json` when its numbers changed.
pub(super) struct StatisticsFile {
    home: Home,
    started: Instant,
    start_time: String,
    last: Option<(Totals, u64, u64)>,
}

impl StatisticsFile {
    pub(super) fn new(home: Home) -> Self {
        StatisticsFile { home, started: Instant::now(), start_time: Timestamp::now().to_string(), last: None }
    }

    /// `queue` and `retrying` are files now.
    pub(super) fn write(&mut self, totals: Totals, queue: u64, retrying: u64) -> io::Result<()> {
        if self.last == Some((totals, queue, retrying)) {
            return Ok(());
        }
        let statistics = Statistics {
            sessions_processed: totals.sessions,
            total_messages: totals.messages,
            total_memory_items: totals.memory_items,
            total_fine_tunes: totals.fine_tunes,
            uptime_hours: (self.started.elapsed().as_secs_f64() / 3600.0 * 1000.0).round() / 1000.0,
            last_updated: Timestamp::now().to_string(),
            start_time: self.start_time.clone(),
            sessions_failed: totals.failed,
            duplicates: totals.duplicates,
            filtered: totals.filtered,
            revisions: totals.revisions,
            queue,
            retrying,
        };
        let aside = self.home.logs().join(".daemon_stats.json.tmp");
        platform::create_private(&aside)?.write_all(&serde_json::to_vec_pretty(&statistics)?)?;
        std::fs::rename(aside, self.home.logs().join("daemon_stats.json"))?;
        self.last = Some((totals, queue, retrying));
        Ok(())
    }
}
