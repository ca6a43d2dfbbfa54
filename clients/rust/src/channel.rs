use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Error};
use tonic::Status;

/// Prepares a channel to `host:port` or `unix:///path`. It connects with the first call, and again by itself when the
/// gateway was away; a call that finds nobody there fails at once with `UNAVAILABLE`. Cloning it is cheap.
///
/// # Errors
/// The target is no address.
pub fn connect(target: &str) -> Result<Channel, Error> {
    let uri = if target.starts_with("unix:") { target.to_owned() } else { format!("http://{target}") };
    let endpoint = Endpoint::from_shared(uri)?.connect_timeout(Duration::from_secs(5));
    Ok(endpoint.connect_lazy())
}

/// Ends a call, or what reads a stream, when its time is over. tonic's own deadline (`Request::set_timeout`) tells the
/// gateway how much time there is, but it ends only the wait for the headers of the answer.
///
/// # Errors
/// That of the call, or `DEADLINE_EXCEEDED`.
pub async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    timeout(limit, call).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("the caller's deadline has passed")))
}
