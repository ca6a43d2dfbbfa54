use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, Instant};
use tonic::{Request, Response, Status};

use crate::Failure;

/// How long [`patiently`] tries: less than the 30 s that Kubernetes leaves after SIGTERM.
pub const PATIENCE: Duration = Duration::from_secs(22);

/// Of one attempt.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Calls until there is an answer that stands, or for [`PATIENCE`]: a gateway that restarts is back within seconds. A
/// commit whose outcome is unknown is sent again with the same number: that is safe, whether the first one was stored
/// or not. tonic has no retries of its own and takes no service config.
///
/// # Errors
/// The last failure.
pub async fn patiently<Q, A, F>(request: &Q, call: impl Fn(Request<Q>) -> F) -> Result<A, Failure>
where
    Q: Clone,
    F: Future<Output = Result<Response<A>, Status>>,
{
    let give_up = Instant::now() + PATIENCE;
    let mut wait = Duration::from_millis(100);
    loop {
        let mut attempt = Request::new(request.clone());
        attempt.set_timeout(CALL_TIMEOUT);
        let failure = match call(attempt).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => Failure::from(status),
        };
        if !failure.retryable() || Instant::now() >= give_up {
            return Err(failure);
        }
        sleep(wait.max(failure.retry_after.unwrap_or_default())).await;
        wait = (wait * 2).min(Duration::from_secs(1)); // a sidecar is back within seconds
    }
}
