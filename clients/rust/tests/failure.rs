//! The table of failures that all languages have, and details that cannot be read.

use std::time::Duration;

use disgateway::{reason, Failure, FieldViolation, DOMAIN};
use tonic::{Code, Status};
use tonic_types::{pb, ErrorDetails, StatusExt};

fn code(name: &str) -> Code {
    let codes = (0..=16).map(Code::from_i32);
    let upper = |code: &Code| format!("{code:?}").to_uppercase();
    codes.into_iter().find(|code| upper(code) == name.replace('_', "")).unwrap_or_else(|| panic!("{name}"))
}

#[test]
fn table_of_failures() {
    let table: serde_json::Value = serde_json::from_str(include_str!("../../failures.json")).unwrap();
    for case in table["cases"].as_array().unwrap() {
        let mut details = ErrorDetails::new();
        let reason = case["reason"].as_str().unwrap_or_default();
        if !reason.is_empty() {
            details.set_error_info(reason, DOMAIN, []);
        }
        let retry_delay = case["retry_delay_seconds"].as_u64().map(Duration::from_secs);
        if retry_delay.is_some() {
            details.set_retry_info(retry_delay);
        }
        let mut field_violations = Vec::new();
        if let Some(field) = case["field"].as_str() {
            details.add_bad_request_violation(field, "wrong");
            field_violations.push(FieldViolation { field: field.to_owned(), description: "wrong".to_owned() });
        }
        let code = code(case["code"].as_str().unwrap());
        let of_call = Status::with_error_details(code, "why", details);
        let of_element = tonic_types::pb::Status {
            code: code.into(),
            message: "why".to_owned(),
            details: prost::Message::decode(of_call.details()).map(|rich: pb::Status| rich.details).unwrap(),
        };
        for failure in [Failure::from(&of_call), Failure::from(&of_element)] {
            assert_eq!(failure.code, code, "{case}");
            assert_eq!(failure.message, "why", "{case}");
            assert_eq!(failure.reason, reason, "{case}");
            assert_eq!(failure.retry_delay, retry_delay, "{case}");
            assert_eq!(failure.field_violations, field_violations, "{case}");
            assert_eq!(Some(failure.retryable()), case["retryable"].as_bool(), "{case}");
            assert_eq!(Some(failure.outcome_unknown()), case["outcome_unknown"].as_bool(), "{case}");
        }
    }
}

#[test]
fn details_that_cannot_be_read_are_worth_nothing() {
    let other_code = Status::with_error_details(Code::Aborted, "", ErrorDetails::with_retry_info(Some(Duration::ZERO)));
    let broken = pb::Status {
        code: Code::Unavailable.into(),
        message: String::new(),
        details: vec![prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
            value: b"no protobuf".to_vec(),
        }],
    };
    for details in [b"no protobuf".to_vec(), other_code.details().to_vec(), prost::Message::encode_to_vec(&broken)] {
        let failure = Failure::from(Status::with_details(Code::Unavailable, "why", details.into()));
        assert_eq!(failure.to_string(), "Unavailable: why");
        assert_eq!(failure.retry_delay, None);
        assert!(failure.outcome_unknown());
    }
}

#[test]
fn a_retry_info_without_a_delay_is_there() {
    let details = ErrorDetails::with_retry_info(None);
    let failure = Failure::from(Status::with_error_details(Code::Aborted, "why", details));
    assert_eq!(failure.retry_delay, Some(Duration::ZERO));
}

#[test]
fn reasons_of_others_are_none() {
    let details = ErrorDetails::with_error_info(reason::CONSUMER_FENCED, "proxy.example", []);
    let failure = Failure::from(Status::with_error_details(Code::Unavailable, "why", details));
    assert_eq!(failure.reason, "");
}

#[test]
fn one_line() {
    let metadata = [("dis_request_id", "r1"), ("dis_error_code", "DIS.4702")];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let details = ErrorDetails::with_error_info(reason::CONSUMER_FENCED, DOMAIN, metadata);
    let failure = Failure::from(Status::with_error_details(Code::FailedPrecondition, "two\nlines", details));
    let line = "FailedPrecondition CONSUMER_FENCED: two lines (dis_error_code DIS.4702) (dis_request_id r1)";
    assert_eq!(failure.to_string(), line);
    assert_eq!(failure.explain(), format!("another consumer has taken over this partition: {line}"));
}

#[test]
fn sequence_numbers_are_digits() {
    assert_eq!(disgateway::parse_sequence_number("9223372036854775807"), Ok(i64::MAX));
    for text in ["", "-1", "+1", "41x", " 4", "9223372036854775808"] {
        assert!(disgateway::parse_sequence_number(text).is_err(), "{text}");
    }
}
