use std::error::Error;
use std::fmt;

/// What should be the number of a checkpoint is none. It never means that there is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSequenceNumber(String);

impl fmt::Display for NoSequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is no sequence number: {:?}", self.0)
    }
}

impl Error for NoSequenceNumber {}

/// Reads the number of a checkpoint, to compare it as an integer: as text, `"9"` comes after `"10"`.
///
/// # Errors
/// These are not just digits, or too many.
pub fn parse_sequence_number(digits: &str) -> Result<i64, NoSequenceNumber> {
    let error = || NoSequenceNumber(digits.to_owned());
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error()); // `parse` takes a sign, too
    }
    digits.parse().map_err(|_| error())
}
