//! Compares what came back with what the transcript says.

use std::fmt::{Debug, Display};

use disgateway::Failure;
use tonic::{Code, Response, Status};

/// What came back is not what the transcript says: how, in words.
pub struct Mismatch(pub String);

pub type Step<T = ()> = Result<T, Mismatch>;

impl From<Status> for Mismatch {
    fn from(status: Status) -> Self {
        Self(format!("the call failed: {}", Failure::from(status)))
    }
}

impl From<ureq::Error> for Mismatch {
    fn from(error: ureq::Error) -> Self {
        Self(format!("the emulator: {error}"))
    }
}

impl From<tonic::transport::Error> for Mismatch {
    fn from(error: tonic::transport::Error) -> Self {
        Self(format!("the target: {error}"))
    }
}

pub fn expect_eq<T, U>(what: impl Display, got: &T, want: &U) -> Step
where
    T: Debug + PartialEq<U> + ?Sized,
    U: Debug + ?Sized,
{
    if got == want {
        Ok(())
    } else {
        Err(Mismatch(format!("{what} is {got:?}, not {want:?}")))
    }
}

pub fn ensure(what: impl Display, is_so: bool) -> Step {
    if is_so {
        Ok(())
    } else {
        Err(Mismatch(what.to_string()))
    }
}

/// The message must be there.
pub fn require<T>(what: impl Display, message: Option<T>) -> Step<T> {
    message.ok_or_else(|| Mismatch(format!("there is no {what}")))
}

/// The failure that must come back; what it says nothing of is not looked at.
pub struct Refusal {
    code: Code,
    reason: &'static str,
    metadata: Vec<(&'static str, &'static str)>,
    retry: Option<bool>,
    fields: Option<Vec<&'static str>>,
}

impl Refusal {
    pub fn new(code: Code, reason: &'static str) -> Self {
        Self { code, reason, metadata: Vec::new(), retry: None, fields: None }
    }

    pub fn with(mut self, key: &'static str, value: &'static str) -> Self {
        self.metadata.push((key, value));
        self
    }

    pub fn retry(mut self, retry: bool) -> Self {
        self.retry = Some(retry);
        self
    }

    pub fn fields(mut self, fields: &[&'static str]) -> Self {
        self.fields = Some(fields.to_vec());
        self
    }

    /// A call must have ended with it.
    pub fn is<T>(&self, answer: Result<Response<T>, Status>) -> Step {
        match answer {
            Ok(_) => Err(Mismatch(format!("the call went well, and should fail with {:?}", self.code))),
            Err(status) => self.matches(&Failure::from(status)),
        }
    }

    pub fn matches(&self, failure: &Failure) -> Step {
        if failure.code != self.code {
            return Err(Mismatch(format!("code is {:?}, not {:?} ({failure})", failure.code, self.code)));
        }
        expect_eq("reason", &*failure.reason, self.reason)?;
        for (key, value) in &self.metadata {
            let got = failure.metadata.get(*key).map_or("", String::as_str);
            expect_eq(format!("metadata {key}"), got, *value)?;
        }
        match self.retry {
            Some(true) => {
                ensure("there is no RetryInfo with a delay", failure.retry_delay.is_some_and(|d| !d.is_zero()))?
            }
            Some(false) => ensure("there is a RetryInfo", failure.retry_delay.is_none())?,
            None => {}
        }
        match &self.fields {
            Some(fields) => {
                let got: Vec<_> = failure.field_violations.iter().map(|violation| violation.field.as_str()).collect();
                expect_eq("fields", &got, fields)
            }
            None => Ok(()),
        }
    }
}
