//! The steps, each what the transcript says of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use disgateway::v1::batch_commit_checkpoints_result::Result as Committed;
use disgateway::v1::batch_get_checkpoints_result::Result as Got;
use disgateway::v1::checkpoint_service_client::CheckpointServiceClient;
use disgateway::v1::stream_commits_response::Result as Streamed;
use disgateway::v1::{
    BatchCommitCheckpointsRequest, BatchGetCheckpointsRequest, Checkpoint, CheckpointKey, CheckpointSource,
    CommitCheckpointRequest, CommitCheckpointResponse, CommitResult, DeleteCheckpointRequest, GetCheckpointRequest,
    GetCheckpointResponse, ListCheckpointsRequest, ListCheckpointsResponse, PartitionState, ReadMode,
    StreamCommitsRequest, WatchCheckpointsRequest, WatchCheckpointsResponse,
};
use disgateway::{connect, reason, within, Failure};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::check::{ensure, expect_eq, require, Mismatch, Refusal, Step};
use crate::emulator::Emulator;

const CALL: Duration = Duration::from_secs(10);
const STREAM: Duration = Duration::from_secs(60);
const SNAKE: &str = "\u{1F40D}";

pub struct Conversation {
    target: String,
    gateway: CheckpointServiceClient<Channel>,
    emulator: Emulator,
    stream: String,
    app: String,
}

impl Conversation {
    /// Has the emulator make the stream and the app anew.
    pub fn open(target: String, emulator: String, stream: String, app: String) -> Step<Self> {
        let gateway = CheckpointServiceClient::new(connect(&target)?);
        let emulator = Emulator::new(emulator);
        emulator.post("reset", "")?;
        emulator.put(&format!("streams/{stream}"), r#"{"partitions": 4}"#)?;
        emulator.put(&format!("apps/{app}"), "")?;
        Ok(Self { target, gateway, emulator, stream, app })
    }

    pub async fn get_nothing(&mut self) -> Step {
        let got = self.get_fresh("0").await?;
        expect_eq("found", &got.found, &false)?;
        expect_eq("checkpoint", &got.checkpoint, &None)?;
        expect_eq("source", &got.source(), &CheckpointSource::Upstream)
    }

    pub async fn commit_first(&mut self) -> Step {
        let request = CommitCheckpointRequest { metadata: "first".to_owned(), ..self.commit_of("0", "41") };
        let effective = committed(self.commit(request).await?.into_inner())?;
        let key = CheckpointKey {
            partition_id: "shardId-0000000000".to_owned(),
            checkpoint_type: "LAST_READ".to_owned(),
            ..self.key("")
        };
        let want = Checkpoint { key: Some(key), sequence_number: "41".to_owned(), metadata: "first".to_owned() };
        expect_eq("effective", &effective, &want)
    }

    pub async fn read_back(&mut self) -> Step {
        let request = GetCheckpointRequest { key: Some(self.key("shardId-0000000000")), ..Default::default() };
        let checkpoint = found(self.get(request, CALL).await?.into_inner())?;
        expect_checkpoint(&checkpoint, "shardId-0000000000", "41", "first")?;
        expect_eq("checkpoint_type", &*checkpoint.key.unwrap_or_default().checkpoint_type, "LAST_READ")?;

        let got = self.get_fresh("0").await?;
        expect_eq("source", &got.source(), &CheckpointSource::Upstream)?;
        expect_checkpoint(&found(got)?, "shardId-0000000000", "41", "first")
    }

    pub async fn regression(&mut self) -> Step {
        let request = self.commit_of("0", "9");
        Refusal::new(Code::FailedPrecondition, reason::CHECKPOINT_REGRESSION)
            .with("effective_sequence_number", "41")
            .retry(false)
            .fields(&[])
            .is(self.commit(request).await)
    }

    pub async fn rewind(&mut self) -> Step {
        let request = CommitCheckpointRequest { allow_rewind: true, ..self.commit_of("0", "9") };
        expect_checkpoint(&committed(self.commit(request).await?.into_inner())?, "shardId-0000000000", "9", "")?;
        expect_checkpoint(&found(self.get_fresh("0").await?)?, "shardId-0000000000", "9", "")
    }

    pub async fn astral_metadata(&mut self) -> Step {
        let text = SNAKE.repeat(1000);
        let request = CommitCheckpointRequest { metadata: text.clone(), ..self.commit_of("0", "10") };
        committed(self.commit(request).await?.into_inner())?;
        expect_checkpoint(&found(self.get_fresh("0").await?)?, "shardId-0000000000", "10", &text)?;

        let too_long = CommitCheckpointRequest { metadata: SNAKE.repeat(1001), ..self.commit_of("0", "11") };
        invalid("metadata").is(self.commit(too_long).await)
    }

    pub async fn invalid_field(&mut self) -> Step {
        let request = self.commit_of("0", "1.5");
        invalid("sequence_number").is(self.commit(request).await)?;
        let request = GetCheckpointRequest { key: Some(self.key("shardId-7")), ..Default::default() };
        invalid("key.partition_id").is(self.get(request, CALL).await)
    }

    pub async fn batch(&mut self) -> Step {
        let commits = vec![self.commit_of("1", "20"), self.commit_of("0", "5"), self.commit_of("3", "30")];
        let request = with_timeout(CALL, BatchCommitCheckpointsRequest { commits });
        let answer = within(CALL, self.gateway.batch_commit_checkpoints(request)).await?;
        let results = answer.into_inner().results;
        expect_eq("number of results", &results.len(), &3)?;
        let mut results = results.into_iter().map(|result| result.result);
        for (partition, number) in [("shardId-0000000001", Some("20")), ("", None), ("shardId-0000000003", Some("30"))]
        {
            match (results.next().flatten(), number) {
                (Some(Committed::Response(response)), Some(number)) => {
                    expect_checkpoint(&committed(response)?, partition, number, "")?
                }
                (Some(Committed::Status(status)), None) => {
                    Refusal::new(Code::FailedPrecondition, reason::CHECKPOINT_REGRESSION)
                        .with("effective_sequence_number", "10")
                        .retry(false)
                        .fields(&[])
                        .matches(&Failure::from(&status))?;
                }
                (other, _) => return Err(Mismatch(format!("a result of the batch is {other:?}"))),
            }
        }

        let mut results = self.batch_get(&["3", "2", "nonsense"]).await?.into_iter();
        expect_checkpoint(&found(response(results.next())?)?, "shardId-0000000003", "30", "")?;
        let absent = response(results.next())?;
        expect_eq("found of partition 2", &absent.found, &false)?;
        expect_eq("checkpoint of partition 2", &absent.checkpoint, &None)?;
        match results.next().flatten() {
            Some(Got::Status(status)) => invalid("keys[2].partition_id").matches(&Failure::from(&status)),
            other => Err(Mismatch(format!("the third result is {other:?}, not a status"))),
        }
    }

    pub async fn stream(&mut self) -> Step {
        let requests: Vec<_> = (1..=1000u64)
            .map(|id| {
                let commit = self.commit_of(&(id % 4).to_string(), &(1000 + id).to_string());
                StreamCommitsRequest { id, commit: Some(commit) }
            })
            .collect();
        // The end of the iterator is the half-close.
        let request = with_timeout(STREAM, tokio_stream::iter(requests));
        let answers = within(STREAM, async {
            let mut answers = self.gateway.stream_commits(request).await?.into_inner();
            let mut received = Vec::new();
            while let Some(answer) = answers.message().await? {
                received.push(answer);
            }
            Ok(received)
        });
        let mut answered = BTreeSet::new();
        for answer in answers.await? {
            let id = answer.id;
            ensure(format!("id {id} was answered twice"), answered.insert(id))?;
            let response = match answer.result {
                Some(Streamed::Response(response)) => response,
                Some(Streamed::Status(status)) => return Err(Mismatch(format!("id {id}: {}", Failure::from(&status)))),
                None => return Err(Mismatch(format!("id {id} has no result"))),
            };
            let result = response.result();
            ensure(
                format!("the result of id {id} is {result:?}"),
                matches!(result, CommitResult::Committed | CommitResult::Superseded),
            )?;
            let effective = require("effective", response.effective)?;
            let partition = effective.key.unwrap_or_default().partition_id;
            expect_eq(format!("partition of id {id}"), &*partition, &*format!("shardId-{:010}", id % 4))?;
            let number: u64 = effective.sequence_number.parse().unwrap_or_default();
            ensure(format!("effective of id {id} is {number}"), number >= 1000 + id)?;
        }
        ensure(format!("{} ids were answered, not 1 to 1000", answered.len()), answered.into_iter().eq(1..=1000))?;

        let results = self.batch_get(&["0", "1", "2", "3"]).await?;
        for (partition, (result, number)) in results.into_iter().zip(["2000", "1997", "1998", "1999"]).enumerate() {
            expect_checkpoint(&found(response(Some(result))?)?, &format!("shardId-{partition:010}"), number, "")?;
        }
        Ok(())
    }

    pub async fn watch(&mut self) -> Step {
        let request = with_timeout(STREAM, WatchCheckpointsRequest { keys: vec![self.key("2")] });
        let mut changes = within(STREAM, self.gateway.watch_checkpoints(request)).await?.into_inner();
        expect_change(within(STREAM, changes.message()).await?, "1998", "")?;
        let request = CommitCheckpointRequest { metadata: "watched".to_owned(), ..self.commit_of("2", "2100") };
        committed(self.commit(request).await?.into_inner())?;
        expect_change(within(STREAM, changes.message()).await?, "2100", "watched")
        // Dropping the stream cancels it.
    }

    pub async fn list(&mut self) -> Step {
        let offsets = format!(r#"{{"stream": "{}", "partition": "2", "earliest": 1000, "latest": 2150}}"#, self.stream);
        self.emulator.put("offsets", &offsets)?;
        let first = self.page("").await?;
        ensure("there is no next_page_token", !first.next_page_token.is_empty())?;
        expect_partitions(&first.partitions, 0, &["2000", "1997", "2100"])?;
        let third = &first.partitions[2];
        expect_eq("earliest", &*third.earliest_sequence_number, "1000")?;
        expect_eq("latest", &*third.latest_sequence_number, "2150")?;
        expect_eq("lag", &third.lag, &50)?;
        let rest = self.page(&first.next_page_token).await?;
        expect_eq("next_page_token", &*rest.next_page_token, "")?;
        expect_partitions(&rest.partitions, 3, &["1999"])
    }

    pub async fn delete(&mut self) -> Step {
        self.delete_partition("3").await?;
        let got = self.get_fresh("3").await?;
        expect_eq("found", &got.found, &false)?;
        expect_eq("checkpoint", &got.checkpoint, &None)?;
        self.delete_partition("3").await
    }

    pub async fn deadline(&mut self) -> Step {
        self.emulator.post("faults", r#"{"kind": "hold", "method": "GET", "times": 0}"#)?;
        let began = Instant::now();
        let answer = self.get(self.fresh("0"), Duration::from_millis(500)).await;
        let took = began.elapsed();
        self.emulator.delete("faults")?;
        self.emulator.post("release", "")?;

        let failure = match answer {
            Ok(_) => return Err(Mismatch("the call went well, and should pass its deadline".to_owned())),
            Err(status) => Failure::from(status),
        };
        // The gateway's answer and the library's own race here.
        let reason = if failure.reason.is_empty() { "" } else { "UPSTREAM_TOO_SLOW" };
        Refusal::new(Code::DeadlineExceeded, reason).matches(&failure)?;
        ensure(format!("it took {took:?}"), took <= Duration::from_secs(3))?;
        expect_checkpoint(&found(self.get_fresh("0").await?)?, "shardId-0000000000", "2000", "")
    }

    pub async fn outage(&mut self) -> Step {
        self.emulator.post("faults", r#"{"kind": "error", "code": "DIS.5000", "method": "GET", "times": 0}"#)?;
        let answer = self.get(self.fresh("0"), CALL).await;
        self.emulator.delete("faults")?;
        Refusal::new(Code::Unavailable, "UPSTREAM_UNAVAILABLE")
            .with("dis_error_code", "DIS.5000")
            .with("http_status", "500")
            .retry(true)
            .fields(&[])
            .is(answer)?;
        expect_checkpoint(&found(self.get_fresh("0").await?)?, "shardId-0000000000", "2000", "")
    }

    pub async fn lost_answer(&mut self) -> Step {
        self.emulator.post("faults", r#"{"kind": "cut_after", "method": "POST", "times": 1}"#)?;
        let request = self.commit_of("0", "2200");
        Refusal::new(Code::Unavailable, reason::COMMIT_OUTCOME_UNKNOWN)
            .fields(&[])
            .is(self.commit(request.clone()).await)?;
        expect_checkpoint(&committed(self.commit(request).await?.into_inner())?, "shardId-0000000000", "2200", "")
    }

    pub async fn fenced(&mut self) -> Step {
        self.emulator.post("faults", r#"{"kind": "error", "code": "DIS.4702", "method": "POST", "times": 1}"#)?;
        let request = CommitCheckpointRequest {
            client_id: "consumer-1".to_owned(),
            generation_id: "7".to_owned(),
            ..self.commit_of("0", "2300")
        };
        Refusal::new(Code::FailedPrecondition, reason::CONSUMER_FENCED)
            .with("dis_error_code", "DIS.4702")
            .with("http_status", "400")
            .retry(false)
            .fields(&[])
            .is(self.commit(request).await)
    }

    pub async fn reconnect(&mut self) -> Step {
        // The old channel closes with its last client.
        self.gateway = CheckpointServiceClient::new(connect(&self.target)?);
        let got = self.get_fresh("0").await?;
        expect_eq("source", &got.source(), &CheckpointSource::Upstream)?;
        expect_checkpoint(&found(got)?, "shardId-0000000000", "2200", "")?;
        let request = self.commit_of("0", "2201");
        expect_checkpoint(&committed(self.commit(request).await?.into_inner())?, "shardId-0000000000", "2201", "")
    }

    fn key(&self, partition: &str) -> CheckpointKey {
        CheckpointKey {
            stream_name: self.stream.clone(),
            app_name: self.app.clone(),
            partition_id: partition.to_owned(),
            ..Default::default()
        }
    }

    fn fresh(&self, partition: &str) -> GetCheckpointRequest {
        GetCheckpointRequest { key: Some(self.key(partition)), read_mode: ReadMode::Fresh.into(), ..Default::default() }
    }

    fn commit_of(&self, partition: &str, number: &str) -> CommitCheckpointRequest {
        CommitCheckpointRequest {
            key: Some(self.key(partition)),
            sequence_number: number.to_owned(),
            ..Default::default()
        }
    }

    async fn get(
        &mut self,
        request: GetCheckpointRequest,
        deadline: Duration,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        within(deadline, self.gateway.get_checkpoint(with_timeout(deadline, request))).await
    }

    async fn get_fresh(&mut self, partition: &str) -> Result<GetCheckpointResponse, Status> {
        Ok(self.get(self.fresh(partition), CALL).await?.into_inner())
    }

    async fn commit(&mut self, request: CommitCheckpointRequest) -> Result<Response<CommitCheckpointResponse>, Status> {
        within(CALL, self.gateway.commit_checkpoint(with_timeout(CALL, request))).await
    }

    async fn delete_partition(&mut self, partition: &str) -> Step {
        let request = DeleteCheckpointRequest { key: Some(self.key(partition)) };
        within(CALL, self.gateway.delete_checkpoint(with_timeout(CALL, request))).await?;
        Ok(())
    }

    async fn batch_get(&mut self, partitions: &[&str]) -> Step<Vec<Option<Got>>> {
        let request = BatchGetCheckpointsRequest {
            keys: partitions.iter().map(|partition| self.key(partition)).collect(),
            read_mode: ReadMode::Fresh.into(),
            ..Default::default()
        };
        let answer = within(CALL, self.gateway.batch_get_checkpoints(with_timeout(CALL, request))).await?;
        let results = answer.into_inner().results;
        expect_eq("number of results", &results.len(), &partitions.len())?;
        Ok(results.into_iter().map(|result| result.result).collect())
    }

    async fn page(&mut self, token: &str) -> Result<ListCheckpointsResponse, Status> {
        let request = ListCheckpointsRequest {
            stream_name: self.stream.clone(),
            app_name: self.app.clone(),
            page_size: 3,
            page_token: token.to_owned(),
        };
        Ok(within(CALL, self.gateway.list_checkpoints(with_timeout(CALL, request))).await?.into_inner())
    }
}

/// Tells the gateway how much time there is.
fn with_timeout<T>(deadline: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

fn invalid(field: &'static str) -> Refusal {
    Refusal::new(Code::InvalidArgument, "FIELD_INVALID").retry(false).fields(&[field])
}

fn committed(response: CommitCheckpointResponse) -> Step<Checkpoint> {
    expect_eq("result", &response.result(), &CommitResult::Committed)?;
    require("effective", response.effective)
}

fn found(response: GetCheckpointResponse) -> Step<Checkpoint> {
    expect_eq("found", &response.found, &true)?;
    require("checkpoint", response.checkpoint)
}

/// The element of a batch must be an answer.
fn response(result: Option<Option<Got>>) -> Step<GetCheckpointResponse> {
    match result.flatten() {
        Some(Got::Response(response)) => Ok(response),
        Some(Got::Status(status)) => Err(Mismatch(format!("a result of the batch is {}", Failure::from(&status)))),
        None => Err(Mismatch("a result of the batch is empty".to_owned())),
    }
}

fn expect_checkpoint(checkpoint: &Checkpoint, partition: &str, number: &str, metadata: &str) -> Step {
    let got = checkpoint.key.as_ref().map_or("", |key| &key.partition_id);
    expect_eq("partition_id", got, partition)?;
    expect_eq("sequence_number", &*checkpoint.sequence_number, number)?;
    expect_eq("metadata", &*checkpoint.metadata, metadata)
}

fn expect_change(message: Option<WatchCheckpointsResponse>, number: &str, metadata: &str) -> Step {
    let message = require("message of the watch", message)?;
    expect_eq("found", &message.found, &true)?;
    let partition = message.key.unwrap_or_default().partition_id;
    expect_eq("partition of the message", &*partition, "shardId-0000000002")?;
    expect_checkpoint(&require("checkpoint", message.checkpoint)?, "shardId-0000000002", number, metadata)
}

fn expect_partitions(partitions: &[PartitionState], first: usize, numbers: &[&str]) -> Step {
    expect_eq("number of partitions", &partitions.len(), &numbers.len())?;
    for (index, (state, number)) in partitions.iter().zip(numbers).enumerate() {
        let index = first + index;
        expect_eq(format!("found of partition {index}"), &state.found, &true)?;
        expect_eq(format!("status of partition {index}"), &*state.status, "ACTIVE")?;
        expect_checkpoint(
            &require("checkpoint", state.checkpoint.clone())?,
            &format!("shardId-{index:010}"),
            number,
            "",
        )?;
    }
    Ok(())
}
