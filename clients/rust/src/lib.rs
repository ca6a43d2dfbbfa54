//! Client of the DIS Checkpoint Gateway.
//!
//! [`v1`] is generated from the proto. [`connect`] opens a channel over TCP or a unix socket, [`Failure`] reads what an
//! error says, [`retry`] makes a call until it succeeds, [`shutdown_signal`] says when the program shall end. See the
//! README of this folder.

mod channel;
mod failure;
pub mod retry;
mod sequence_number;
mod stop;

pub use channel::{connect, within};
pub use failure::{reason, Failure, FieldViolation, DOMAIN};
pub use sequence_number::{parse_sequence_number, NoSequenceNumber};
pub use stop::{shutdown_signal, Stop};

/// The stubs.
pub mod v1 {
    #![allow(clippy::doc_lazy_continuation)]
    tonic::include_proto!("disgateway.v1");
}
