# frozen_string_literal: true

require 'disgateway'
require_relative 'emulator'
require_relative 'expect'

# The steps of TRANSCRIPT.md, in its order.
class Conversation
  include DisGateway::V1
  include Expect

  STEPS = {
    'get nothing' => :get_nothing,
    'commit' => :commit_first,
    'read back by the other spelling' => :read_back,
    'regression refused' => :regress,
    'rewind' => :rewind,
    'metadata with astral characters' => :astral,
    'invalid field' => :invalid,
    'batch with one failing item' => :batch,
    'stream of 1,000 commits' => :many_commits,
    'watch sees a change' => :watch,
    'list with lag' => :list,
    'delete' => :delete,
    'deadline passes' => :deadline,
    'upstream outage' => :outage,
    'lost answer' => :lost_answer,
    'fenced consumer' => :fenced,
    'resume after reconnecting' => :resume
  }.freeze
  TIMEOUT = 10
  STREAM_TIMEOUT = 60
  SNAKE = "\u{1F40D}"

  def initialize(target, emulator, stream, app)
    @target = target
    @emulator = emulator
    @stream = stream
    @app = app
    connect
  end

  def get_nothing
    answer = fresh('0')
    not_found(answer)
    equal('source', answer.source, :CHECKPOINT_SOURCE_UPSTREAM)
  end

  def commit_first
    answer = commit('0', '41', metadata: 'first')
    committed(answer, '41')
    equal('metadata', answer.effective.metadata, 'first')
    whole = { stream_name: @stream, app_name: @app, partition_id: long(0), checkpoint_type: 'LAST_READ' }
    equal('key', answer.effective.key, CheckpointKey.new(**whole))
  end

  def read_back
    answer = get(long(0))
    found(answer, '41', 'first')
    equal('partition', answer.checkpoint.key.partition_id, long(0))
    equal('checkpoint type', answer.checkpoint.key.checkpoint_type, 'LAST_READ')
    answer = fresh('0')
    found(answer, '41', 'first')
    equal('source', answer.source, :CHECKPOINT_SOURCE_UPSTREAM)
    equal('partition', answer.checkpoint.key.partition_id, long(0))
  end

  def regress
    said = failure { commit('0', '9') }
    metadata = { 'effective_sequence_number' => '41' }
    fails(said, CODES::FAILED_PRECONDITION, DisGateway::CHECKPOINT_REGRESSION, metadata: metadata)
  end

  def rewind
    answer = commit('0', '9', allow_rewind: true)
    committed(answer, '9')
    equal('metadata', answer.effective.metadata, '')
    found(fresh('0'), '9')
  end

  def astral
    thousand = SNAKE * 1000 # 4,000 bytes, 1,000 characters
    committed(commit('0', '10', metadata: thousand), '10')
    found(fresh('0'), '10', thousand)
    said = failure { commit('0', '11', metadata: thousand + SNAKE) }
    fails(said, CODES::INVALID_ARGUMENT, 'FIELD_INVALID', field: 'metadata')
  end

  def invalid
    said = failure { commit('0', '1.5') }
    fails(said, CODES::INVALID_ARGUMENT, 'FIELD_INVALID', field: 'sequence_number')
    said = failure { get('shardId-7') }
    fails(said, CODES::INVALID_ARGUMENT, 'FIELD_INVALID', field: 'key.partition_id')
  end

  def batch
    commits = { '1' => '20', '0' => '5', '3' => '30' }.map do |partition, number|
      CommitCheckpointRequest.new(key: key(partition), sequence_number: number)
    end
    request = BatchCommitCheckpointsRequest.new(commits: commits)
    results = @gateway.batch_commit_checkpoints(request, deadline: within(TIMEOUT)).results
    equal('number of results', results.size, 3)
    committed(results[0].response, '20')
    equal('partition', results[0].response.effective.key.partition_id, long(1))
    said = DisGateway::Failure.from_status(results[1].status)
    metadata = { 'effective_sequence_number' => '10' }
    fails(said, CODES::FAILED_PRECONDITION, DisGateway::CHECKPOINT_REGRESSION, metadata: metadata)
    committed(results[2].response, '30')
    equal('partition', results[2].response.effective.key.partition_id, long(3))

    reads = batch_get('3', '2', 'nonsense')
    found(reads[0].response, '30')
    equal('partition', reads[0].response.checkpoint.key.partition_id, long(3))
    equal('result', reads[1].result, :response)
    not_found(reads[1].response)
    fails(DisGateway::Failure.from_status(reads[2].status), CODES::INVALID_ARGUMENT, 'FIELD_INVALID',
          field: 'keys[2].partition_id')
  end

  def many_commits
    # The half-close comes when the enumerator of requests ends.
    requests = (1..1000).lazy.map do |id|
      commit = CommitCheckpointRequest.new(key: key((id % 4).to_s), sequence_number: (1000 + id).to_s)
      StreamCommitsRequest.new(id: id, commit: commit)
    end
    answers = @gateway.stream_commits(requests, deadline: within(STREAM_TIMEOUT)).to_a
    equal('ids', answers.map(&:id).sort, (1..1000).to_a)
    answers.each do |answer|
      equal("result of #{answer.id}", answer.result, :response)
      stored = %i[COMMIT_RESULT_COMMITTED COMMIT_RESULT_SUPERSEDED].include?(answer.response.result)
      equal("whether #{answer.id} is stored", stored, true)
      effective = answer.response.effective
      equal('partition', effective.key.partition_id, long(answer.id % 4))
      equal('at least its own number', Integer(effective.sequence_number, 10) >= 1000 + answer.id, true)
    end
    reads = batch_get('0', '1', '2', '3')
    reads.zip(%w[2000 1997 1998 1999]) { |read, number| found(read.response, number) }
  end

  def watch
    request = WatchCheckpointsRequest.new(keys: [key('2')])
    call = @gateway.watch_checkpoints(request, deadline: within(STREAM_TIMEOUT), return_op: true)
    wanted = [['1998', ''], ['2100', 'watched']]
    call.execute.each do |change|
      number, metadata = wanted.shift
      equal('found', change.found, true)
      equal('partition', change.key.partition_id, long(2))
      equal('number', change.checkpoint.sequence_number, number)
      equal('metadata', change.checkpoint.metadata, metadata)
      break if wanted.empty?

      committed(commit('2', '2100', metadata: 'watched'), '2100')
    end
    equal('what was not seen', wanted, [])
  ensure
    call&.cancel
  end

  def list
    offsets = { stream: @stream, partition: '2', earliest: 1000, latest: 2150 }
    @emulator.call('PUT', 'offsets', offsets)
    request = ListCheckpointsRequest.new(stream_name: @stream, app_name: @app, page_size: 3)
    page = @gateway.list_checkpoints(request, deadline: within(TIMEOUT))
    equal('partitions', standing(page), [active(0, '2000'), active(1, '1997'), active(2, '2100')])
    third = page.partitions[2]
    equal('earliest', third.earliest_sequence_number, '1000')
    equal('latest', third.latest_sequence_number, '2150')
    equal('lag', third.lag, 50)
    equal('whether there is a token', page.next_page_token.empty?, false)
    request.page_token = page.next_page_token
    page = @gateway.list_checkpoints(request, deadline: within(TIMEOUT))
    equal('partitions', standing(page), [active(3, '1999')])
    equal('token', page.next_page_token, '')
  end

  def delete
    request = DeleteCheckpointRequest.new(key: key('3'))
    @gateway.delete_checkpoint(request, deadline: within(TIMEOUT))
    not_found(fresh('3'))
    @gateway.delete_checkpoint(request, deadline: within(TIMEOUT))
  end

  def deadline
    @emulator.fault(kind: 'hold', method: 'GET', times: 0)
    began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    said = failure { fresh('0', 0.5) }
    equal('within 3 seconds', Process.clock_gettime(Process::CLOCK_MONOTONIC) - began < 3, true)
    equal('code', said.code, CODES::DEADLINE_EXCEEDED)
    equal('a known reason', ['', 'UPSTREAM_TOO_SLOW'].include?(said.reason), true)
    @emulator.clear
    @emulator.call('POST', 'release')
    found(fresh('0'), '2000')
  end

  def outage
    @emulator.fault(kind: 'error', method: 'GET', times: 0, code: 'DIS.5000')
    said = failure { fresh('0') }
    @emulator.clear
    metadata = { 'dis_error_code' => 'DIS.5000', 'http_status' => '500' }
    fails(said, CODES::UNAVAILABLE, 'UPSTREAM_UNAVAILABLE', metadata: metadata, retry_info: true)
    found(fresh('0'), '2000')
  end

  def lost_answer
    @emulator.fault(kind: 'cut_after', method: 'POST', times: 1)
    said = failure { commit('0', '2200') }
    equal('code', said.code, CODES::UNAVAILABLE)
    equal('reason', said.reason, DisGateway::COMMIT_OUTCOME_UNKNOWN)
    fields(said, [])
    committed(commit('0', '2200'), '2200')
  end

  def fenced
    @emulator.fault(kind: 'error', method: 'POST', times: 1, code: 'DIS.4702')
    said = failure { commit('0', '2300', client_id: 'consumer-1', generation_id: '7') }
    metadata = { 'dis_error_code' => 'DIS.4702', 'http_status' => '400' }
    fails(said, CODES::FAILED_PRECONDITION, DisGateway::CONSUMER_FENCED, metadata: metadata)
  end

  def resume
    connect
    answer = fresh('0')
    found(answer, '2200')
    equal('source', answer.source, :CHECKPOINT_SOURCE_UPSTREAM)
    committed(commit('0', '2201'), '2201')
  end

  private

  # A new channel; the one before it is closed.
  def connect
    @channel&.close
    # No service config: each error is looked at, and the deadlines are those of the transcript.
    options = { 'grpc.enable_retries' => 0, 'grpc.enable_http_proxy' => 0, 'grpc.use_local_subchannel_pool' => 1 }
    @channel = GRPC::Core::Channel.new(@target, options, :this_channel_is_insecure)
    @gateway = CheckpointService::Stub.new(@target, nil, channel_override: @channel)
  end

  def long(partition)
    format('shardId-%010d', partition)
  end

  # What a page says of each partition.
  def standing(page)
    page.partitions.map do |one|
      [one.checkpoint.key.partition_id, one.found, one.checkpoint.sequence_number, one.status]
    end
  end

  def active(partition, number)
    [long(partition), true, number, 'ACTIVE']
  end

  def within(seconds)
    Time.now + seconds
  end

  def key(partition)
    CheckpointKey.new(stream_name: @stream, app_name: @app, partition_id: partition)
  end

  def get(partition, mode = :READ_MODE_UNSPECIFIED, timeout = TIMEOUT)
    request = GetCheckpointRequest.new(key: key(partition), read_mode: mode)
    @gateway.get_checkpoint(request, deadline: within(timeout))
  end

  # Reads from DIS itself.
  def fresh(partition, timeout = TIMEOUT)
    get(partition, :READ_MODE_FRESH, timeout)
  end

  def commit(partition, number, **fields)
    request = CommitCheckpointRequest.new(key: key(partition), sequence_number: number, **fields)
    @gateway.commit_checkpoint(request, deadline: within(TIMEOUT))
  end

  def batch_get(*partitions)
    request = BatchGetCheckpointsRequest.new(keys: partitions.map { |one| key(one) }, read_mode: :READ_MODE_FRESH)
    results = @gateway.batch_get_checkpoints(request, deadline: within(TIMEOUT)).results
    equal('number of results', results.size, partitions.size)
    results.to_a
  end
end
