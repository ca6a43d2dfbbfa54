use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::{pb, ErrorDetails, RpcStatusExt, StatusExt};

/// The domain of the gateway's own reasons.
pub const DOMAIN: &str = "disgateway.v1";

/// Reasons that a consumer has something to decide on. The comments of the proto name the others.
pub mod reason {
    /// DIS has a higher number: `effective_sequence_number` in the metadata.
    pub const CHECKPOINT_REGRESSION: &str = "CHECKPOINT_REGRESSION";
    /// Another consumer has taken over this partition.
    pub const CONSUMER_FENCED: &str = "CONSUMER_FENCED";
    /// Rejoin the group before the next commit.
    pub const CONSUMER_GROUP_REBALANCING: &str = "CONSUMER_GROUP_REBALANCING";
    /// The commit may be stored or not. Committing the same number again is safe.
    pub const COMMIT_OUTCOME_UNKNOWN: &str = "COMMIT_OUTCOME_UNKNOWN";
    /// The checkpoint may be gone or not. Deleting it again is safe.
    pub const DELETE_OUTCOME_UNKNOWN: &str = "DELETE_OUTCOME_UNKNOWN";
}

/// Everything that an error says.
#[derive(Debug, Clone)]
pub struct Failure {
    pub code: Code,
    pub message: String,
    /// Empty where the error is not from the gateway: the connection broke, or the caller's own deadline has passed.
    pub reason: String,
    /// Has `dis_error_code`, `dis_request_id` and `http_status` where DIS has answered with an error.
    pub metadata: HashMap<String, String>,
    /// How long to wait before the same call again, where the gateway said so.
    pub retry_after: Option<Duration>,
    /// The fields of the request that are wrong, such as `key.partition_id`.
    pub fields: Vec<String>,
}

impl Failure {
    /// Whether the very same call may succeed later. Every call of the gateway may be sent twice.
    ///
    /// Without a reason the error is from tonic or from something in between. Of a connection that broke or a gateway
    /// that went away it may make any of these codes, and the outcome is not known.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.retry_after.is_some()
            || match self.code {
                Code::Unavailable | Code::DeadlineExceeded => true,
                Code::Cancelled | Code::Unknown | Code::Internal => self.reason.is_empty(),
                _ => false,
            }
    }

    fn new(code: Code, message: &str, details: ErrorDetails) -> Self {
        // Something in between may answer with reasons of its own.
        let info = details.error_info().filter(|info| info.domain == DOMAIN).cloned();
        let (reason, metadata) = info.map(|info| (info.reason, info.metadata)).unwrap_or_default();
        let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
        Self {
            code,
            message: message.to_owned(),
            reason,
            metadata,
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
            fields: violations.into_iter().map(|v| v.field).collect(),
        }
    }
}

impl From<&Status> for Failure {
    fn from(status: &Status) -> Self {
        // tonic calls a deadline that has passed CANCELLED; in every other language it is DEADLINE_EXCEEDED.
        let code = match status.code() {
            Code::Cancelled if timed_out(status) => Code::DeadlineExceeded,
            code => code,
        };
        Self::new(code, status.message(), status.get_error_details())
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::from(&status)
    }
}

/// The status of one element of a batch or a stream.
impl From<&pb::Status> for Failure {
    fn from(status: &pb::Status) -> Self {
        Self::new(Code::from_i32(status.code), &status.message, status.get_error_details())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " {}", self.reason)?;
        }
        write!(f, ": {}", self.message)?;
        for key in ["dis_error_code", "dis_request_id"] {
            if let Some(value) = self.metadata.get(key) {
                write!(f, " ({key} {value})")?;
            }
        }
        Ok(())
    }
}

impl Error for Failure {}

fn timed_out(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        source = error.source();
    }
    false
}
