//! The transcript: one conversation with a gateway that has the emulator of DIS behind it. `clients/TRANSCRIPT.md` says
//! what is said, and what must come back.

mod check;
mod conversation;
mod emulator;

use std::process::ExitCode;

use check::{Differs, Step};
use conversation::Conversation;

/// Prints how a step has ended; the first that fails ends the conversation.
macro_rules! step {
    ($id:literal, $name:literal, $does:expr) => {
        match $does {
            Ok(()) => println!("ok {} {}", $id, $name),
            Err(Differs(what)) => {
                println!("FAILED {} {}: {what}", $id, $name);
                return ExitCode::FAILURE;
            }
        }
    };
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut talk = match open() {
        Ok(talk) => talk,
        Err(Differs(what)) => {
            eprintln!("transcript: {what}");
            return ExitCode::from(2);
        }
    };
    step!(1, "get nothing", talk.get_nothing().await);
    step!(2, "commit", talk.commit_first().await);
    step!(3, "read back by the other spelling", talk.read_back().await);
    step!(4, "regression refused", talk.regression().await);
    step!(5, "rewind", talk.rewind().await);
    step!(6, "metadata with astral characters", talk.astral_metadata().await);
    step!(7, "invalid field", talk.invalid_field().await);
    step!(8, "batch with one failing item", talk.batch().await);
    step!(9, "stream of 1,000 commits", talk.stream().await);
    step!(10, "watch sees a change", talk.watch().await);
    step!(11, "list with lag", talk.list().await);
    step!(12, "delete", talk.delete().await);
    step!(13, "deadline passes", talk.deadline().await);
    step!(14, "upstream outage", talk.outage().await);
    step!(15, "lost answer", talk.lost_answer().await);
    step!(16, "fenced consumer", talk.fenced().await);
    step!(17, "resume after reconnecting", talk.reconnect().await);
    ExitCode::SUCCESS
}

fn open() -> Step<Conversation> {
    let mut args = pico_args::Arguments::from_env();
    let mut value = |flag| args.value_from_str(flag).map_err(|error| Differs(format!("{error}")));
    Conversation::open(value("--target")?, value("--emulator")?, value("--stream")?, value("--app")?)
}
