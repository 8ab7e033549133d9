//! How much fits on the screen.

/// Columns of the terminal that reads the output; without one a hundred, unless `COLUMNS` says otherwise.
pub(super) fn columns() -> usize {
    of_terminal(&std::io::stdout()).unwrap_or_else(assumed)
}

/// The same for what goes to standard error.
pub(super) fn columns_of_errors() -> usize {
    of_terminal(&std::io::stderr()).unwrap_or_else(assumed)
}

fn assumed() -> usize {
    let told = std::env::var("COLUMNS").ok();
    told.and_then(|told| told.parse().ok()).unwrap_or(100)
}

#[cfg(unix)]
fn of_terminal(stream: &impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(not(unix))]
fn of_terminal<T>(_: &T) -> Option<usize> {
    None
}
