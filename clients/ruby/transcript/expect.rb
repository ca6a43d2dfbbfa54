# frozen_string_literal: true

require 'disgateway/errors'

# What must be so, said where it is not.
module Expect
  class Differs < StandardError; end

  CODES = GRPC::Core::StatusCodes

  def equal(what, found, wanted)
    raise Differs, "#{what} is #{found.inspect}, not #{wanted.inspect}" unless found == wanted
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
    DisGateway::Failure.of(e)
  else
    raise Differs, 'it succeeded, and must fail'
  end

  # It says all this. Metadata may hold more, the fields that are wrong may not.
  def fails(said, code, reason, metadata: {}, field: nil, retry_info: false)
    equal('code', said.code, code)
    equal('reason', said.reason, reason)
    metadata.each { |name, value| equal("metadata #{name}", said.metadata[name], value) }
    equal('fields', said.fields.keys, [field].compact)
    equal('a RetryInfo above 0', said.retry_after.to_f.positive?, retry_info)
  end
end
