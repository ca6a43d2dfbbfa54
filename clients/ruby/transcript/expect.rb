# frozen_string_literal: true

require 'disgateway'

# Checks of what comes back.
module Expect
  class Mismatch < StandardError; end

  CODES = GRPC::Core::StatusCodes

  def equal(what, found, wanted)
    raise Mismatch, "#{what} is #{found.inspect}, not #{wanted.inspect}" unless found == wanted
  end

  # Exactly this commit is stored.
  def committed(answer, number)
    equal('result', answer.result, :COMMIT_RESULT_COMMITTED)
    equal('effective number', answer.effective.sequence_number, number)
  end

  # There is such a checkpoint.
  def found(answer, number, metadata = '')
    equal('found', answer.found, true)
    equal('number', answer.checkpoint.sequence_number, number)
    equal('metadata', answer.checkpoint.metadata, metadata)
  end

  # There is no checkpoint, and that is no error.
  def not_found(answer)
    equal('found', answer.found, false)
    equal('checkpoint', answer.checkpoint, nil)
  end

  # How a call fails that must fail.
  def failure
    yield
  rescue GRPC::BadStatus => e
    DisGateway::Failure.from_error(e)
  else
    raise Mismatch, 'it succeeded, and must fail'
  end

  # It says all this. Metadata may hold more, the fields that are wrong may not. +retry_info+: a delay above 0 is there.
  def fails(said, code, reason, metadata: {}, field: nil, retry_info: false)
    equal('code', said.code, code)
    equal('reason', said.reason, reason)
    metadata.each { |name, value| equal("metadata #{name}", said.metadata[name], value) }
    fields(said, [field].compact)
    equal('whether there is a RetryInfo', !said.retry_delay.nil?, retry_info)
    equal('whether its delay is above 0', said.retry_delay.positive?, true) if retry_info
  end

  # Exactly these fields are wrong.
  def fields(said, wanted)
    equal('fields', said.field_violations.map(&:field), wanted)
  end
end
