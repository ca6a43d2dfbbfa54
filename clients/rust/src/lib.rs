//! Client of the DIS Checkpoint Gateway.
//!
//! [`v1`] is generated from the proto. [`connect`] opens a channel over TCP or a unix socket, [`Failure`] reads what an
//! error says, [`patiently`] calls until there is an answer that stands. See the README of this folder.

mod channel;
mod failure;
mod patience;

pub use channel::connect;
pub use failure::{reason, Failure, DOMAIN};
pub use patience::{patiently, PATIENCE};

/// The stubs.
pub mod v1 {
    #![allow(clippy::doc_lazy_continuation)]
    tonic::include_proto!("disgateway.v1");
}
