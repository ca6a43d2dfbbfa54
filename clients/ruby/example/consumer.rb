# frozen_string_literal: true

# What a program that reads one partition of a DIS stream looks like with the gateway: it resumes after its checkpoint,
# processes, commits after so many records or a second, and upon SIGTERM finishes with a last commit. The records are
# simulated: ruby -Ilib example/consumer.rb --stream orders --app billing

require 'optparse'
require 'disgateway/errors'
require 'disgateway/v1/checkpoint_services_pb'

include DisGateway::V1 # rubocop:disable Style/MixinUsage

PATIENCE = 25 # seconds on top of the service config's retries; less than the 30 that Kubernetes leaves
CONFIG = File.read(File.join(__dir__, 'service-config.json')) # deadlines, retries, and to wait for the gateway

$stdout.sync = true
options = { target: '127.0.0.1:50551', stream: 'orders', app: 'billing', partition: '0',
            'commit-every': 10, interval: 0.1 }
OptionParser.new do |parser|
  parser.on('--target TARGET', 'the gateway: host:port, or unix:///path')
  parser.on('--stream NAME', 'name of the DIS stream')
  parser.on('--app NAME', 'name of the consuming DIS app')
  parser.on('--partition ID', 'such as "0" or "shardId-0000000000"')
  parser.on('--commit-every N', Integer, 'and every second at the latest')
  parser.on('--interval SECONDS', Float, 'time between two records')
end.parse!(into: options)

# A signal's handler may do little: it wakes up the one who waits for the next record.
stopped, stop = IO.pipe
%w[TERM INT].each { |signal| Signal.trap(signal) { stop.write_nonblock('.', exception: false) } }

def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

# Calls until there is an answer that stands. A commit whose outcome is unknown is sent again: that is safe.
def patiently
  give_up = now + PATIENCE
  begin
    yield
  rescue GRPC::BadStatus => e
    failure = DisGateway::Failure.of(e)
    raise if !failure.retryable? || now >= give_up

    puts "trying again: #{failure}"
    sleep(failure.retry_after || 0.25)
    retry
  end
end

# One stub serves the whole program, and its channel reconnects by itself: after a second at the latest.
arguments = { 'grpc.service_config' => CONFIG, 'grpc.max_reconnect_backoff_ms' => 1000 }
gateway = CheckpointService::Stub.new(options[:target], :this_channel_is_insecure, channel_args: arguments, timeout: 5)
key = CheckpointKey.new(stream_name: options[:stream], app_name: options[:app], partition_id: options[:partition])

# Fresh, as whoever had the partition before may have committed through another gateway. An error never means that there
# is no checkpoint: starting over upon one would repeat the whole stream.
answer = patiently { gateway.get_checkpoint(GetCheckpointRequest.new(key: key, read_mode: :READ_MODE_FRESH)) }
last = answer.found ? Integer(answer.checkpoint.sequence_number, 10) : -1
puts answer.found ? "resuming after #{last}" : 'no checkpoint: starting at the oldest record'

processed = uncommitted = 0
committed_at = now
commit = lambda do
  request = CommitCheckpointRequest.new(key: key, sequence_number: last.to_s) # the LAST record that is finished
  patiently { gateway.commit_checkpoint(request) }
  puts "committed #{last}"
  uncommitted = 0
  committed_at = now
end
# Stands for a DIS cursor of type AFTER_SEQUENCE_NUMBER (TRIM_HORIZON where there is no checkpoint).
until IO.select([stopped], nil, nil, options[:interval])
  # Here a real consumer works on the record, and goes on when it has finished.
  last += 1
  processed += 1
  uncommitted += 1
  commit.call if uncommitted >= options[:'commit-every'] || now - committed_at >= 1
end
commit.call if uncommitted.positive?
puts "processed #{processed} records"
