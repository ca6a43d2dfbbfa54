# frozen_string_literal: true

# What a program that reads one partition of a DIS stream looks like with the gateway: it resumes after its checkpoint,
# processes, commits after so many records or seconds, and upon SIGTERM finishes with a last commit. The records are
# simulated: ruby -Ilib example/consumer.rb --stream orders --app billing

require 'disgateway'
require_relative 'options'

V1 = DisGateway::V1

def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

def consume(gateway, options, stop)
  key = V1::CheckpointKey.new(stream_name: options[:stream], app_name: options[:app], partition_id: options[:partition])
  on_retry = ->(failure) { puts "trying again: #{failure}" }

  # Fresh, as whoever had the partition before may have committed through another gateway. An error never means that
  # there is no checkpoint: starting over upon one would repeat the whole stream.
  read = V1::GetCheckpointRequest.new(key: key, read_mode: :READ_MODE_FRESH)
  answer = DisGateway.retry(stop: stop, on_retry: on_retry) { |call| gateway.get_checkpoint(read, **call) }
  last = answer.found ? DisGateway.parse_sequence_number(answer.checkpoint.sequence_number) : -1
  puts answer.found ? "resuming after #{last}" : 'no checkpoint: starting at the oldest record'

  processed = uncommitted = 0
  due = nil # when the first uncommitted record has waited long enough
  group = options.slice(:client_id, :generation_id) # with it DIS refuses a consumer that has lost its partition
  commit = lambda do
    # The LAST record that is finished.
    write = V1::CommitCheckpointRequest.new(key: key, sequence_number: last.to_s, **group)
    answer = DisGateway.retry(commit: true, stop: stop, on_retry: on_retry) do |call|
      gateway.commit_checkpoint(write, **call)
    end
    stands = DisGateway.parse_sequence_number(answer.effective&.sequence_number)
    raise "another consumer has taken over: it has committed #{stands}, and this one #{last}" if stands > last

    puts "committed #{last}"
    uncommitted = 0
    due = nil
  end

  # Stands for a DIS cursor of type AFTER_SEQUENCE_NUMBER (TRIM_HORIZON where there is no checkpoint). It waits for the
  # next record or for +due+, whichever is first.
  next_at = now + options[:interval]
  until stop.wait([next_at, due].compact.min - now)
    if now >= next_at
      # Here a real consumer works on the record. It is finished before +last+ moves.
      last += 1
      processed += 1
      uncommitted += 1
      due ||= now + options[:commit_seconds]
      next_at = now + options[:interval]
    end
    commit.call if uncommitted >= options[:commit_every] || (due && now >= due)
  end
  commit.call if uncommitted.positive?
  puts "processed #{processed} records"
end

$stdout.sync = true
options = Options.parse
stop = DisGateway::Stop.new.trap('TERM', 'INT')
begin
  consume(DisGateway.connect(options[:target]), options, stop)
rescue DisGateway::Stopped
  puts 'processed 0 records' # before it knew where to begin
rescue StandardError => e
  warn "stopped: #{e.message}" # the next start reads what stands
  exit 1
end
