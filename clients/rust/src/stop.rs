use std::io;
use std::sync::Arc;

use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::watch;
use tokio::time::Instant;

/// Says, once and to all tasks, that the program shall end. Cloning it is cheap.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<watch::Sender<Option<Instant>>>);

impl Stop {
    pub fn request(&self) {
        self.0.send_if_modified(|at| at.replace(at.unwrap_or_else(Instant::now)).is_none());
    }

    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested_at().is_some()
    }

    /// Waits until it is requested.
    pub async fn wait(&self) {
        // It fails only without a sender, which is here.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    pub(crate) fn requested_at(&self) -> Option<Instant> {
        *self.0.borrow()
    }
}

/// A stop that SIGTERM or SIGINT (Ctrl-C) requests. From here on they do not end the program.
///
/// # Errors
/// The signals cannot be listened for.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn shutdown_signal() -> io::Result<Stop> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = Stop::default();
    let requested = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        requested.request();
    });
    Ok(stop)
}
