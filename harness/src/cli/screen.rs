//! How much fits on the screen.

/// Columns of the terminal; without one a hundred, unless `COLUMNS` says otherwise.
pub(super) fn columns() -> usize {
    let told = || std::env::var("COLUMNS").ok()?.parse().ok();
    of_terminal().or_else(told).unwrap_or(100)
}

#[cfg(unix)]
fn of_terminal() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(not(unix))]
fn of_terminal() -> Option<usize> {
    None
}
