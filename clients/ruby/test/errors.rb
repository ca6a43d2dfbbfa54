# frozen_string_literal: true

require 'disgateway'

# Errors as a gateway makes them.
module Errors
  module_function

  # +said+ is a case of failures.json.
  def status_of(said)
    details = []
    if said['reason']
      info = { reason: said['reason'], domain: said.fetch('domain', DisGateway::DOMAIN),
               metadata: said.fetch('metadata', {}) }
      details << Google::Rpc::ErrorInfo.new(**info)
    end
    if (delay = said['retry_delay_seconds'])
      duration = Google::Protobuf::Duration.new(seconds: delay.to_i, nanos: ((delay % 1) * 1e9).to_i)
      details << Google::Rpc::RetryInfo.new(retry_delay: duration)
    end
    if said['field']
      violation = Google::Rpc::BadRequest::FieldViolation.new(field: said['field'], description: 'is wrong')
      details << Google::Rpc::BadRequest.new(field_violations: [violation])
    end
    code = GRPC::Core::StatusCodes.const_get(said['code'])
    details = details.map { Google::Protobuf::Any.pack(_1) }
    Google::Rpc::Status.new(code: code, message: 'what went wrong', details: details)
  end

  # The error of a call. +packed+ is what comes as its details.
  def error_of(said, packed = nil)
    status = status_of(said)
    packed ||= Google::Rpc::Status.encode(status) unless status.details.empty?
    metadata = packed ? { 'grpc-status-details-bin' => packed } : {}
    GRPC::BadStatus.new_status_exception(status.code, status.message, metadata)
  end
end
