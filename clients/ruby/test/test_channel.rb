# frozen_string_literal: true

require 'minitest/autorun'
require 'tmpdir'
require_relative 'errors'

# A gateway whose commits fail, each attempt counted.
class Failing < DisGateway::V1::CheckpointService::Service
  attr_reader :commits

  def initialize(error)
    super()
    @error = error
    @commits = 0
  end

  def commit_checkpoint(_request, _call)
    @commits += 1
    raise @error
  end
end

class TestChannel < Minitest::Test
  def teardown
    ENV.delete('http_proxy')
  end

  def test_an_error_comes_with_its_details_over_http_proxy_and_after_one_attempt
    ENV['http_proxy'] = 'http://127.0.0.1:9'
    metadata = { 'dis_error_code' => 'DIS.5000' }
    said = { 'code' => 'UNAVAILABLE', 'reason' => 'UPSTREAM_UNAVAILABLE', 'metadata' => metadata,
             'retry_delay_seconds' => 0.5 }
    service = Failing.new(Errors.error_of(said))
    error = serve(service) do |port|
      gateway = DisGateway.connect("127.0.0.1:#{port}")
      request = DisGateway::V1::CommitCheckpointRequest.new(sequence_number: '1')
      assert_raises(GRPC::BadStatus) { gateway.commit_checkpoint(request, deadline: Time.now + 5) }
    end
    failure = DisGateway::Failure.from_error(error)
    assert_equal ['UPSTREAM_UNAVAILABLE', metadata, 0.5], [failure.reason, failure.metadata, failure.retry_delay]
    assert_equal 1, service.commits
  end

  def test_a_stop_cancels_a_call_that_waits_for_a_gateway
    Dir.mktmpdir do |folder|
      gateway = DisGateway.connect("unix://#{folder}/absent.sock")
      stop = DisGateway::Stop.new
      Thread.new { sleep(0.1) && stop.request }
      began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      request = DisGateway::V1::GetCheckpointRequest.new
      assert_raises(DisGateway::Stopped) do
        DisGateway.retry(stop: stop) { |call| gateway.get_checkpoint(request, **call) }
      end
      assert_operator Process.clock_gettime(Process::CLOCK_MONOTONIC) - began, :<, 2
    end
  end

  def test_a_sequence_number_is_digits
    assert_equal 9_223_372_036_854_775_807, DisGateway.parse_sequence_number('9223372036854775807')
    assert_equal 10, DisGateway.parse_sequence_number('010')
    [nil, '', ' ', '-1', '1.5', '0x10', "1\n", '1_0'].each do |text|
      assert_raises(ArgumentError) { DisGateway.parse_sequence_number(text) }
    end
  end

  private

  def serve(service)
    server = GRPC::RpcServer.new(pool_size: 2)
    port = server.add_http2_port('127.0.0.1:0', :this_port_is_insecure)
    server.handle(service)
    thread = Thread.new { server.run }
    server.wait_till_running
    yield port
  ensure
    server.stop
    thread.join
  end
end
