//! The transcript: one conversation with a gateway that has the emulator of DIS behind it. `clients/TRANSCRIPT.md` says
//! what is said, and what must come back.

mod check;
mod conversation;
mod emulator;

use std::process::ExitCode;

use check::{Mismatch, Step};
use conversation::Conversation;

const USAGE: &str = "transcript --target TARGET --emulator URL --stream NAME --app NAME
It first resets the emulator: everything in it is forgotten.
  --target    the gateway: host:port, or unix:///path
  --emulator  the emulator behind it, such as http://127.0.0.1:9552";

/// Prints how a step has ended; the first that fails ends the conversation.
macro_rules! step {
    ($id:literal, $name:literal, $does:expr) => {
        match $does {
            Ok(()) => println!("ok {} {}", $id, $name),
            Err(Mismatch(mismatch)) => {
                println!("FAILED {} {}: {mismatch}", $id, $name);
                return ExitCode::FAILURE;
            }
        }
    };
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = pico_args::Arguments::from_env();
    if args.clone().contains("--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let mut client = match open(args) {
        Ok(client) => client,
        Err(Mismatch(mismatch)) => {
            eprintln!("transcript: {mismatch}");
            return ExitCode::from(2);
        }
    };
    step!(1, "get nothing", client.get_nothing().await);
    step!(2, "commit", client.commit_first().await);
    step!(3, "read back by the other spelling", client.read_back().await);
    step!(4, "regression refused", client.regression().await);
    step!(5, "rewind", client.rewind().await);
    step!(6, "metadata with astral characters", client.astral_metadata().await);
    step!(7, "invalid field", client.invalid_field().await);
    step!(8, "batch with one failing item", client.batch().await);
    step!(9, "stream of 1,000 commits", client.stream().await);
    step!(10, "watch sees a change", client.watch().await);
    step!(11, "list with lag", client.list().await);
    step!(12, "delete", client.delete().await);
    step!(13, "deadline passes", client.deadline().await);
    step!(14, "upstream outage", client.outage().await);
    step!(15, "lost answer", client.lost_answer().await);
    step!(16, "fenced consumer", client.fenced().await);
    step!(17, "resume after reconnecting", client.reconnect().await);
    ExitCode::SUCCESS
}

fn open(mut args: pico_args::Arguments) -> Step<Conversation> {
    let mut value = |flag| args.value_from_str(flag).map_err(|error| Mismatch(format!("{error}\n{USAGE}")));
    Conversation::open(value("--target")?, value("--emulator")?, value("--stream")?, value("--app")?)
}
