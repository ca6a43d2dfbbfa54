//! What a program that reads one partition of a DIS stream looks like with the gateway. It resumes after its
//! checkpoint, processes, commits now and then, and finishes with a last commit on SIGTERM. The record stream is
//! simulated.
//!
//!     cargo run --example consumer -- --stream orders --app billing --partition 0

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use disgateway::v1::checkpoint_service_client::CheckpointServiceClient;
use disgateway::v1::{CheckpointKey, CommitCheckpointRequest, GetCheckpointRequest, ReadMode};
use disgateway::{connect, patiently, reason};
use tokio::signal::unix::{signal, SignalKind};
use tokio::time::{interval, sleep_until, Instant};
use tonic::transport::Channel;

struct Consumer {
    gateway: CheckpointServiceClient<Channel>,
    key: CheckpointKey,
    commit_every: u64,
    commit_after: Duration,
    interval: Duration,
}

impl Consumer {
    async fn run(&self, mut stop: impl Future<Output = ()> + Unpin) -> Result<(), Box<dyn Error>> {
        // An error never means that there is no checkpoint: starting over here would repeat the whole stream.
        let mut last = tokio::select! {
            resumed = self.resume() => resumed?,
            () = &mut stop => {
                println!("asked to stop before the first record");
                return Ok(());
            }
        };
        let (mut processed, mut uncommitted) = (0, 0);
        let mut due = Instant::now();
        // Stands for the DIS stream: a cursor of type AFTER_SEQUENCE_NUMBER at the checkpoint, TRIM_HORIZON without
        // one.
        let mut records = interval(self.interval);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = sleep_until(due), if uncommitted > 0 => {}
                _ = records.tick() => {
                    // Here a real consumer works on the record, and goes on when it has finished.
                    last += 1;
                    processed += 1;
                    uncommitted += 1;
                    if uncommitted == 1 {
                        due = Instant::now() + self.commit_after;
                    }
                }
            }
            if uncommitted >= self.commit_every || (uncommitted > 0 && Instant::now() >= due) {
                self.commit(last).await?;
                uncommitted = 0;
            }
        }
        if uncommitted > 0 {
            self.commit(last).await?;
        }
        println!("processed {processed} records");
        Ok(())
    }

    /// Gives the number of the last record that an earlier run has finished, or -1.
    async fn resume(&self) -> Result<i64, Box<dyn Error>> {
        // Fresh, as whoever had the partition before may have committed through another gateway.
        let request = GetCheckpointRequest {
            key: Some(self.key.clone()),
            read_mode: ReadMode::Fresh.into(),
            ..Default::default()
        };
        let ask = |request| async move { self.gateway.clone().get_checkpoint(request).await };
        let Some(checkpoint) = patiently(&request, ask).await?.checkpoint else {
            println!("no checkpoint: starting at the oldest record");
            return Ok(-1);
        };
        println!("resuming after {}", checkpoint.sequence_number);
        Ok(checkpoint.sequence_number.parse()?)
    }

    /// Stores the number of the LAST record that is finished.
    async fn commit(&self, number: i64) -> Result<(), String> {
        let request = CommitCheckpointRequest {
            key: Some(self.key.clone()),
            sequence_number: number.to_string(),
            ..Default::default()
        };
        let store = |request| async move { self.gateway.clone().commit_checkpoint(request).await };
        // In every case of failure the consumer stops: the next start reads what stands.
        patiently(&request, store).await.map_err(|failure| match failure.reason.as_str() {
            reason::CHECKPOINT_REGRESSION | reason::CONSUMER_FENCED => {
                format!("stopped at {number}: another consumer reads this partition ({failure})")
            }
            _ if failure.retryable() => format!("stopped at {number}: it may be committed or not ({failure})"),
            _ => format!("stopped at {number}: it is not committed ({failure})"),
        })?;
        println!("committed {number}");
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match consume().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("consumer: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn consume() -> Result<(), Box<dyn Error>> {
    let mut args = pico_args::Arguments::from_env();
    let target = args.opt_value_from_str("--target")?.unwrap_or("127.0.0.1:50551".to_owned());
    let consumer = Consumer {
        gateway: CheckpointServiceClient::new(connect(&target)?),
        key: CheckpointKey {
            stream_name: args.value_from_str("--stream")?,
            app_name: args.value_from_str("--app")?,
            partition_id: args.opt_value_from_str("--partition")?.unwrap_or("0".to_owned()),
            ..Default::default()
        },
        commit_every: args.opt_value_from_str("--commit-every")?.unwrap_or(10),
        commit_after: Duration::from_secs_f64(args.opt_value_from_str("--commit-seconds")?.unwrap_or(1.0)),
        interval: Duration::from_millis(args.opt_value_from_str("--interval-ms")?.unwrap_or(100)),
    };
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    };
    consumer.run(pin!(stop)).await
}
