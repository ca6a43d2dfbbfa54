use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::{pb, ErrorDetails, RpcStatusExt};

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
    /// The call had too little time left: nothing was sent.
    pub const DEADLINE_TOO_SHORT: &str = "DEADLINE_TOO_SHORT";
}

/// A field of the request that is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Such as `key.partition_id`.
    pub field: String,
    pub description: String,
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
    pub retry_delay: Option<Duration>,
    /// What is wrong with the request.
    pub field_violations: Vec<FieldViolation>,
}

impl Failure {
    /// Whether the very same call may succeed later. Every call of the gateway may be sent twice.
    ///
    /// Without a reason the error is from tonic or from something in between, which may make any of these codes of a
    /// connection that broke.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.retry_delay.is_some()
            || match self.reason.as_str() {
                reason::COMMIT_OUTCOME_UNKNOWN | reason::DELETE_OUTCOME_UNKNOWN | reason::DEADLINE_TOO_SHORT => true,
                "" => matches!(
                    self.code,
                    Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal
                ),
                _ => false,
            }
    }

    /// Whether a write may have been carried out all the same: the gateway says so, or the error is not from it.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        self.code != Code::Ok
            && matches!(self.reason.as_str(), "" | reason::COMMIT_OUTCOME_UNKNOWN | reason::DELETE_OUTCOME_UNKNOWN)
    }

    /// The line for a log, after what it means to a consumer where that is more than a failed call.
    #[must_use]
    pub fn explain(&self) -> String {
        match self.reason.as_str() {
            reason::CHECKPOINT_REGRESSION => format!("another consumer has committed a higher number: {self}"),
            reason::CONSUMER_FENCED => format!("another consumer has taken over this partition: {self}"),
            reason::CONSUMER_GROUP_REBALANCING => format!("the consumer group is rebalancing: {self}"),
            _ => self.to_string(),
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
            retry_delay: details.retry_info().map(|retry| retry.retry_delay.unwrap_or_default()),
            field_violations: violations
                .into_iter()
                .map(|violation| FieldViolation { field: violation.field, description: violation.description })
                .collect(),
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
        // What cannot be read, or is of another status, is worth nothing.
        let details = match pb::Status::decode(status.details()) {
            Ok(rich) if rich.code == i32::from(status.code()) => rich.get_error_details(),
            _ => ErrorDetails::default(),
        };
        Self::new(code, status.message(), details)
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
        write!(f, ": {}", self.message.replace(['\r', '\n'], " "))?;
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
