# frozen_string_literal: true

require 'minitest/autorun'
require 'minitest/mock'
require_relative 'errors'

# Time passes only by sleeping, and by calls. It is its own stop, too.
class FakeClock
  attr_reader :now
  attr_accessor :stop_at

  def initialize(stop_at = Float::INFINITY)
    @now = 0.0
    @stop_at = stop_at
  end

  def sleep(seconds, stop)
    woken = stop && stop_at < now + seconds
    pass(woken ? stop_at - now : seconds)
  end

  def pass(seconds)
    @now += seconds
  end

  def requested?
    now >= stop_at
  end

  def requested_at
    stop_at if requested?
  end

  def wait
    Kernel.sleep
  end
end

# A call that is executed later.
class Operation
  def initialize(&block)
    @block = block
  end

  def execute
    @block.call
  end
end

class TestRetry < Minitest::Test
  UNAVAILABLE = { 'code' => 'UNAVAILABLE' }.freeze
  THROTTLED = { 'code' => 'RESOURCE_EXHAUSTED', 'reason' => 'UPSTREAM_THROTTLED', 'retry_delay_seconds' => 4 }.freeze
  UNKNOWN = { 'code' => 'UNAVAILABLE', 'reason' => DisGateway::COMMIT_OUTCOME_UNKNOWN }.freeze
  REGRESSION = { 'code' => 'FAILED_PRECONDITION', 'reason' => DisGateway::CHECKPOINT_REGRESSION }.freeze

  def setup
    @clock = FakeClock.new
    @at = []
    @timeouts = []
  end

  def test_an_answer_ends_it
    assert_equal 'done', run_with([UNAVAILABLE, nil])
    assert_equal 2, @at.size
    assert_equal 5, @timeouts[0]
  end

  def test_backoff_doubles_from_a_quarter_of_a_second_to_2_with_jitter_within_20
    assert_raises(DisGateway::RetryError) { run_with([UNAVAILABLE]) }
    waits = @at.each_cons(2).map { |one, next_one| next_one - one }
    waits.each_with_index { |wait, index| assert_in_epsilon [0.25 * 2**index, 2].min, wait, 0.3 }
    assert_operator waits.size, :>=, 9
    assert_operator waits.uniq.size, :>, 1
    assert_operator @at.last, :<, 20
  end

  def test_the_last_call_has_what_is_left
    assert_raises(DisGateway::RetryError) { run_with([THROTTLED], takes: 5) }
    assert_equal [0, 9, 18], @at
    assert_equal [5, 5, 2], @timeouts
    assert_equal 20, @clock.now
  end

  def test_retry_info_is_what_it_waits_but_never_nothing
    run_with([THROTTLED, THROTTLED.merge('retry_delay_seconds' => 0), nil])
    assert_equal [0, 4, 4.25], @at
  end

  def test_a_retry_info_past_the_deadline_ends_it_at_once
    assert_raises(DisGateway::RetryError) { run_with([THROTTLED.merge('retry_delay_seconds' => 20)]) }
    assert_equal 0, @clock.now
  end

  def test_what_is_not_retryable_ends_it
    error = assert_raises(DisGateway::RetryError) { run_with([REGRESSION]) }
    assert_equal DisGateway::CHECKPOINT_REGRESSION, error.failure.reason
    assert_equal 1, @at.size
  end

  def test_the_error_says_whether_the_commit_may_be_stored
    error = assert_raises(DisGateway::RetryError) { run_with([THROTTLED, REGRESSION], commit: true) }
    refute error.outcome_unknown?
    assert_match(/\AFAILED_PRECONDITION CHECKPOINT_REGRESSION: .*; it is not committed\z/, error.message)
    error = assert_raises(DisGateway::RetryError) { run_with([UNKNOWN, THROTTLED, REGRESSION], commit: true) }
    assert error.outcome_unknown?
    assert_match(/; it may be committed\z/, error.message)
    error = assert_raises(DisGateway::RetryError) { run_with([REGRESSION]) }
    refute_match(/committed\z/, error.message)
  end

  def test_a_stop_ends_a_read_while_it_sleeps
    @clock.stop_at = 1
    assert_raises(DisGateway::Stopped) { run_with([THROTTLED]) }
    assert_equal 1, @clock.now
  end

  def test_a_stop_ends_a_read_that_is_under_way_and_one_that_has_not_begun
    @clock.stop_at = 0.1
    assert_raises(DisGateway::Stopped) { run_with([{ 'code' => 'CANCELLED' }], takes: 0.1) }
    assert_raises(DisGateway::Stopped) { run_with([nil]) }
    assert_equal [0], @at
  end

  def test_a_stop_leaves_a_commit_10_seconds
    @clock.stop_at = 3
    error = THROTTLED.merge('retry_delay_seconds' => 1)
    assert_raises(DisGateway::RetryError) { run_with([error], takes: 1, commit: true) }
    assert_operator @at.last, :>, 3
    assert_includes 10..13, @clock.now
  end

  def test_a_stop_ends_the_sleep_of_a_commit_that_would_go_past_those
    @clock.stop_at = 1
    error = THROTTLED.merge('retry_delay_seconds' => 12)
    assert_raises(DisGateway::RetryError) { run_with([error], commit: true) }
    assert_equal 1, @clock.now
  end

  def test_a_stop_leaves_the_sleep_of_a_commit_that_ends_in_time
    @clock.stop_at = 1
    assert_equal 'done', run_with([THROTTLED, nil], commit: true)
    assert_equal [0, 4], @at
  end

  private

  # An operation each of whose calls takes so long and fails with the next of +errors+, the last for ever; nil: it
  # succeeds.
  def run_with(errors, takes: 0, **options)
    errors = errors.dup
    call = lambda do |settings|
      @at << @clock.now
      @timeouts << (settings[:deadline] - Time.now)
      Operation.new { answer(errors.size > 1 ? errors.shift : errors[0], [takes, @timeouts.last].min) }
    end
    Time.stub(:now, Time.at(0)) { DisGateway.retry(stop: @clock, clock: @clock, **options, &call) }
  end

  def answer(said, takes)
    @clock.pass(takes)
    said ? raise(Errors.error_of(said)) : 'done'
  end
end
