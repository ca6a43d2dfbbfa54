# frozen_string_literal: true

require 'json'
require 'minitest/autorun'
require_relative 'errors'

class TestFailure < Minitest::Test
  CODES = GRPC::Core::StatusCodes

  JSON.parse(File.read(File.join(__dir__, '../../failures.json')))['cases'].each do |one|
    define_method("test_#{one['name']}") do
      both = [DisGateway::Failure.from_error(Errors.error_of(one)),
              DisGateway::Failure.from_status(Errors.status_of(one))]
      both.each { |failure| check(failure, one) }
    end
  end

  def test_a_call_that_its_caller_cancelled_is_not_to_be_sent_again
    failure = DisGateway::Failure.from_error(Errors.error_of({ 'code' => 'CANCELLED' }), cancelled_by_caller: true)
    refute failure.retryable?
    assert failure.outcome_unknown?
  end

  def test_a_reason_of_somebody_else_is_none
    said = { 'code' => 'UNAVAILABLE', 'reason' => 'ASLEEP', 'domain' => 'example.org' }
    failure = DisGateway::Failure.from_error(Errors.error_of(said))
    assert_equal '', failure.reason
    assert failure.retryable?
  end

  def test_details_that_cannot_be_decoded_or_are_anothers_leave_code_and_message
    other = Errors.status_of({ 'code' => 'ABORTED', 'reason' => 'CONSUMER_FENCED' })
    inner = Errors.status_of({ 'code' => 'UNAVAILABLE', 'reason' => 'GATEWAY_DRAINING', 'retry_delay_seconds' => 1 })
    inner.details[1].value = "\x0a\xff".b
    packed = ["\xff".b, Google::Rpc::Status.encode(other), Google::Rpc::Status.encode(inner), %w[two values]]
    packed.each do |one|
      failure = DisGateway::Failure.from_error(Errors.error_of({ 'code' => 'UNAVAILABLE' }, one))
      assert_equal [CODES::UNAVAILABLE, 'what went wrong', ''], [failure.code, failure.message, failure.reason]
      assert_nil failure.retry_delay
      assert failure.retryable?
    end
  end

  def test_ok_has_no_unknown_outcome
    refute DisGateway::Failure.from_status(Google::Rpc::Status.new).outcome_unknown?
  end

  def test_one_line_for_the_log
    metadata = { 'dis_error_code' => 'DIS.4702', 'dis_request_id' => 'r1', 'http_status' => '400' }
    said = { 'code' => 'FAILED_PRECONDITION', 'reason' => 'CONSUMER_FENCED', 'metadata' => metadata }
    line = 'FAILED_PRECONDITION CONSUMER_FENCED: what went wrong (dis_error_code DIS.4702) (dis_request_id r1)'
    assert_equal line, DisGateway::Failure.from_error(Errors.error_of(said)).to_s
    error = GRPC::BadStatus.new_status_exception(CODES::UNAVAILABLE, "two\nlines, \xC3\xBC and \xFF".b)
    assert_equal "UNAVAILABLE: two lines, \u00fc and \ufffd", DisGateway::Failure.from_error(error).to_s
  end

  private

  def check(failure, one)
    assert_equal one['code'], failure.code_name
    assert_equal 'what went wrong', failure.message
    assert_equal one.fetch('reason', ''), failure.reason
    delay = one['retry_delay_seconds']
    delay ? assert_equal(delay, failure.retry_delay) : assert_nil(failure.retry_delay)
    violations = one['field'] ? [DisGateway::FieldViolation.new(one['field'], 'is wrong')] : []
    assert_equal violations, failure.field_violations
    assert_equal one['retryable'], failure.retryable?
    assert_equal one['outcome_unknown'], failure.outcome_unknown?
  end
end
