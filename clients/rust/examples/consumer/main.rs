//! What a program that reads one partition of a DIS stream looks like with the gateway. It resumes after its
//! checkpoint, processes, commits now and then, and finishes with a last commit on SIGTERM. The record stream is
//! simulated.
//!
//!     cargo run --example consumer -- --stream orders --app billing --partition 0

mod args;

use std::error::Error;
use std::process::ExitCode;

use args::Args;
use disgateway::v1::checkpoint_service_client::CheckpointServiceClient;
use disgateway::v1::{CommitCheckpointRequest, GetCheckpointRequest, ReadMode};
use disgateway::{connect, parse_sequence_number, retry, shutdown_signal, Stop};
use tokio::time::{interval, sleep_until, Instant, MissedTickBehavior};
use tonic::transport::Channel;

type Gateway = CheckpointServiceClient<Channel>;

async fn consume(args: &Args) -> Result<(), Box<dyn Error>> {
    let stop = shutdown_signal()?;
    let gateway = Gateway::new(connect(&args.target)?);
    let Some(mut last) = resume(&gateway, args, &stop).await? else {
        println!("processed 0 records");
        return Ok(());
    };
    let (mut processed, mut uncommitted) = (0, 0);
    let mut due = Instant::now();
    // Stands for the DIS stream: a cursor of type AFTER_SEQUENCE_NUMBER at the checkpoint, TRIM_HORIZON without one.
    let mut records = interval(args.interval);
    records.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.wait() => break,
            () = sleep_until(due), if uncommitted > 0 => {}
            _ = records.tick() => {
                // Here a real consumer works on record `last + 1`, and goes on when it has finished.
                last += 1;
                processed += 1;
                uncommitted += 1;
                if uncommitted == 1 {
                    due = Instant::now() + args.commit_after;
                }
            }
        }
        if uncommitted >= args.commit_every || (uncommitted > 0 && Instant::now() >= due) {
            commit(&gateway, args, last, &stop).await?;
            uncommitted = 0;
        }
    }
    if uncommitted > 0 {
        commit(&gateway, args, last, &stop).await?;
    }
    println!("processed {processed} records");
    Ok(())
}

/// The number of the last record that an earlier run has finished, or -1; `None` if asked to stop.
async fn resume(gateway: &Gateway, args: &Args, stop: &Stop) -> Result<Option<i64>, Box<dyn Error>> {
    // Fresh, as whoever had the partition before may have committed through another gateway.
    let request =
        GetCheckpointRequest { key: Some(args.key.clone()), read_mode: ReadMode::Fresh.into(), ..Default::default() };
    let get = |request| async { gateway.clone().get_checkpoint(request).await };
    // An error never means that there is no checkpoint: starting over here would repeat the whole stream.
    let Some(answer) = retry::read(stop, &request, get).await? else {
        return Ok(None);
    };
    if !answer.found {
        println!("no checkpoint: starting at the oldest record");
        return Ok(Some(-1));
    }
    let last = parse_sequence_number(&answer.checkpoint.unwrap_or_default().sequence_number)?;
    println!("resuming after {last}");
    Ok(Some(last))
}

/// Stores the number of the LAST record that is finished. If it fails, the next start reads what stands.
async fn commit(gateway: &Gateway, args: &Args, number: i64, stop: &Stop) -> Result<(), Box<dyn Error>> {
    let request = CommitCheckpointRequest {
        key: Some(args.key.clone()),
        sequence_number: number.to_string(),
        client_id: args.client_id.clone(),
        generation_id: args.generation_id.clone(),
        ..Default::default()
    };
    let store = |request| async { gateway.clone().commit_checkpoint(request).await };
    let answer = retry::commit(stop, &request, store).await?;
    let effective = parse_sequence_number(&answer.effective.unwrap_or_default().sequence_number)?;
    if effective != number {
        return Err(format!("{number} is not what stands: another consumer has committed {effective}").into());
    }
    println!("committed {number}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = match Args::parse() {
        Ok(args) => args,
        Err(error) => {
            eprintln!("consumer: {error}");
            return ExitCode::from(2);
        }
    };
    match consume(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stopped: {error}");
            ExitCode::FAILURE
        }
    }
}
