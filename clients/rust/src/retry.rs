//! One call until it succeeds, fails for good, or has taken [`TOTAL`]. tonic has no retries of its own, takes no service
//! config, and does not wait for a gateway that is not there.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::{sleep_until, Instant};
use tonic::{Request, Response, Status};

use crate::{within, Failure, Stop};

/// For an operation, all attempts included: a gateway that restarts is back within seconds.
pub const TOTAL: Duration = Duration::from_secs(20);

const ATTEMPT: Duration = Duration::from_secs(5);
const AFTER_STOP: Duration = Duration::from_secs(10);
const SHORTEST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);

/// A call has failed for good, or for longer than anybody waits.
#[derive(Debug, Clone)]
pub struct RetryError {
    /// How the last attempt has ended.
    pub failure: Failure,
    /// Whether any of the attempts may have been carried out: then a commit may be stored.
    pub outcome_unknown: bool,
    is_commit: bool,
}

impl fmt::Display for RetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_commit, self.outcome_unknown) {
            (false, _) => {}
            (true, true) => write!(f, "it may be committed: ")?,
            (true, false) => write!(f, "it is not committed: ")?,
        }
        write!(f, "{}", self.failure.explain())
    }
}

impl Error for RetryError {}

/// Makes a call that is not worth waiting for when the program shall end: it is cancelled then, and the result is
/// `None`.
///
/// # Errors
/// The call has failed.
pub async fn read<Q, A, F>(stop: &Stop, request: &Q, call: impl Fn(Request<Q>) -> F) -> Result<Option<A>, RetryError>
where
    Q: Clone,
    F: Future<Output = Result<Response<A>, Status>>,
{
    tokio::select! {
        biased;
        () = stop.wait() => Ok(None), // dropping the call cancels it
        answer = repeat(stop, request, call) => answer.map(Some),
    }
}

/// Makes a commit. When the program shall end it goes on, for ten seconds. If the outcome is unknown it is sent again
/// with the same number: that is safe, whether the first one was stored or not.
///
/// # Errors
/// It has failed; the text says whether it may be stored.
pub async fn commit<Q, A, F>(stop: &Stop, request: &Q, call: impl Fn(Request<Q>) -> F) -> Result<A, RetryError>
where
    Q: Clone,
    F: Future<Output = Result<Response<A>, Status>>,
{
    repeat(stop, request, call).await.map_err(|error| RetryError { is_commit: true, ..error })
}

async fn repeat<Q, A, F>(stop: &Stop, request: &Q, call: impl Fn(Request<Q>) -> F) -> Result<A, RetryError>
where
    Q: Clone,
    F: Future<Output = Result<Response<A>, Status>>,
{
    let began = Instant::now();
    let mut outcome_unknown = false;
    let mut backoff = SHORTEST_WAIT;
    loop {
        let limit = ATTEMPT.min(end(stop, began).saturating_duration_since(Instant::now()));
        let mut attempt = Request::new(request.clone());
        attempt.set_timeout(limit);
        let failure = match within(limit, call(attempt)).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => Failure::from(status),
        };
        outcome_unknown |= failure.outcome_unknown();
        let delay = failure.retry_delay.map_or_else(|| jittered(backoff), |delay| delay.max(SHORTEST_WAIT));
        if !failure.retryable() || !pause(stop, began, delay).await {
            return Err(RetryError { failure, outcome_unknown, is_commit: false });
        }
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}

fn end(stop: &Stop, began: Instant) -> Instant {
    let end = began + TOTAL;
    stop.requested_at().map_or(end, |at| end.min(at.max(began) + AFTER_STOP))
}

/// Waits, if there is time for another attempt after that. A stop, which may come meanwhile, leaves less of it.
async fn pause(stop: &Stop, began: Instant, delay: Duration) -> bool {
    if delay > end(stop, began).saturating_duration_since(Instant::now()) {
        return false;
    }
    let wake = Instant::now() + delay;
    if !stop.is_requested() {
        tokio::select! {
            () = sleep_until(wake) => return true,
            () = stop.wait() => {}
        }
    }
    if wake > end(stop, began) {
        return false;
    }
    sleep_until(wake).await;
    true
}

fn jittered(backoff: Duration) -> Duration {
    // A hasher's seed is random: enough for this, without a crate.
    let percent = 80 + RandomState::new().hash_one(0) as u32 % 41;
    backoff * percent / 100
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::sleep;
    use tonic::Code;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;
    use crate::{reason, DOMAIN};

    /// What a gateway answers, one after the other; the last one stands for all that follow.
    struct Gateway {
        answers: RefCell<Vec<Result<(), Status>>>,
        takes: Duration,
        calls: RefCell<Vec<Instant>>,
    }

    impl Gateway {
        fn new(answers: Vec<Result<(), Status>>, takes: Duration) -> Self {
            Self { answers: RefCell::new(answers), takes, calls: RefCell::default() }
        }

        async fn call(&self) -> Result<Response<()>, Status> {
            self.calls.borrow_mut().push(Instant::now());
            sleep(self.takes).await;
            let mut answers = self.answers.borrow_mut();
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            answer.map(Response::new)
        }

        async fn read(&self, stop: &Stop) -> Result<Option<()>, RetryError> {
            read(stop, &(), |_| self.call()).await
        }

        async fn commit(&self, stop: &Stop) -> Result<(), RetryError> {
            commit(stop, &(), |_| self.call()).await
        }

        fn waits(&self) -> Vec<f64> {
            self.calls.borrow().windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
        }
    }

    fn broken() -> Result<(), Status> {
        Err(Status::unavailable("no connection"))
    }

    fn refused(reason: &str, delay: Option<Duration>) -> Result<(), Status> {
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, []);
        if delay.is_some() {
            details.set_retry_info(delay);
        }
        Err(Status::with_error_details(Code::ResourceExhausted, "why", details))
    }

    fn stop_after(seconds: u64) -> Stop {
        let stop = Stop::default();
        let requested = stop.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(seconds)).await;
            requested.request();
        });
        stop
    }

    const NONE: Duration = Duration::ZERO;

    #[tokio::test(start_paused = true)]
    async fn succeeds_after_failures() {
        let gateway = Gateway::new(vec![broken(), broken(), broken(), broken(), broken(), Ok(())], NONE);
        assert_eq!(gateway.read(&Stop::default()).await.unwrap(), Some(()));
        for (wait, expected) in gateway.waits().into_iter().zip([0.25, 0.5, 1.0, 2.0, 2.0]) {
            assert!((wait - expected).abs() <= expected * 0.21, "waited {wait} s, not {expected}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_after_twenty_seconds() {
        // Answers take longer than an attempt may.
        let gateway = Gateway::new(vec![Ok(())], Duration::from_secs(6));
        let began = Instant::now();
        let error = gateway.commit(&Stop::default()).await.unwrap_err();
        assert!(error.outcome_unknown);
        assert!(error.to_string().starts_with("it may be committed: DeadlineExceeded"), "{error}");
        let took = began.elapsed();
        assert!((TOTAL - LONGEST_BACKOFF..=TOTAL + Duration::from_millis(5)).contains(&took), "{took:?}");
        assert_eq!(gateway.calls.borrow().len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_as_the_gateway_says() {
        for (delay, expected) in [(Duration::from_secs(4), 4.0), (NONE, 0.25)] {
            let gateway = Gateway::new(vec![refused("UPSTREAM_THROTTLED", Some(delay)), Ok(())], NONE);
            gateway.commit(&Stop::default()).await.unwrap();
            assert!((gateway.waits()[0] - expected).abs() < 0.01);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_at_once_if_the_wait_is_too_long() {
        for seconds in [21, 300_000_000_000] {
            let delay = Some(Duration::from_secs(seconds));
            let gateway = Gateway::new(vec![refused("UPSTREAM_THROTTLED", delay)], NONE);
            let began = Instant::now();
            let error = gateway.commit(&Stop::default()).await.unwrap_err();
            assert!(error.to_string().starts_with("it is not committed: "), "{error}");
            assert!(gateway.read(&Stop::default()).await.is_err());
            assert!(began.elapsed() < Duration::from_secs(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn remembers_that_a_commit_may_be_stored() {
        let gateway = Gateway::new(vec![broken(), refused(reason::CHECKPOINT_REGRESSION, None)], NONE);
        let error = gateway.commit(&Stop::default()).await.unwrap_err();
        assert!(error.outcome_unknown);
        assert_eq!(error.failure.reason, reason::CHECKPOINT_REGRESSION);
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_repeat_what_cannot_succeed() {
        let gateway = Gateway::new(vec![refused(reason::CONSUMER_FENCED, None)], NONE);
        let error = gateway.commit(&Stop::default()).await.unwrap_err();
        assert!(error.to_string().starts_with("it is not committed: another consumer"), "{error}");
        assert_eq!(gateway.calls.borrow().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_ends_when_the_program_shall_end() {
        for takes in [NONE, Duration::from_secs(4)] {
            let gateway = Gateway::new(vec![broken()], takes);
            let began = Instant::now();
            assert_eq!(gateway.read(&stop_after(3)).await.unwrap(), None);
            assert_eq!(began.elapsed().as_secs(), 3);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_goes_on_for_ten_seconds() {
        let gateway = Gateway::new(vec![broken()], NONE);
        let stop = stop_after(3);
        let began = Instant::now();
        gateway.commit(&stop).await.unwrap_err();
        assert!((10..=13).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());

        // The last commit, which begins after that.
        sleep(Duration::from_secs(60)).await;
        let began = Instant::now();
        gateway.commit(&stop).await.unwrap_err();
        assert!((7..=10).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_ends_when_the_program_shall_end() {
        let gateway = Gateway::new(vec![refused("UPSTREAM_THROTTLED", Some(Duration::from_secs(15)))], NONE);
        let began = Instant::now();
        gateway.commit(&stop_after(1)).await.unwrap_err();
        assert_eq!(began.elapsed().as_secs(), 1);
    }
}
