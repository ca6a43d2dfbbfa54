use std::time::Duration;

use tonic::transport::{Channel, Endpoint, Error};

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
