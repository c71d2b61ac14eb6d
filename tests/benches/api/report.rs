//! A line of the report.

use std::fmt;

use crate::load::Load;

/// What one row measured.
pub(crate) struct Row<'a> {
    pub(crate) operation: &'a str,
    pub(crate) clients: usize,
    pub(crate) load: Load,
    /// The most that the server had resident meanwhile.
    pub(crate) server_mib: f64,
    /// Processor time that the server took.
    pub(crate) server_cpu_seconds: f64,
}

impl Row<'_> {
    pub(crate) const HEAD: &'static str =
        "OPERATION              CLIENTS     RATE/s    P50 ms    P99 ms    MAX ms  SERVER MiB  SERVER CPU us EACH";
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = &self.load;
        let ms = |part| load.quantile(part).as_secs_f64() * 1e3;
        let each_us = self.server_cpu_seconds * 1e6 / load.took.len().max(1) as f64;
        write!(
            f,
            "{:<22} {:>7} {:>10.0} {:>9.2} {:>9.2} {:>9.2} {:>11.1} {each_us:>19.0}",
            self.operation,
            self.clients,
            load.rate(),
            ms(0.5),
            ms(0.99),
            ms(1.0),
            self.server_mib,
        )
    }
}
