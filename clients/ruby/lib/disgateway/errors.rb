# frozen_string_literal: true

require 'google/protobuf/well_known_types' # Any#unpack, Duration#to_f
require 'google/rpc/error_details_pb'
require 'google/rpc/status_pb'
require 'grpc'

module DisGateway
  # Everything that an error of the gateway says, taken from its status details.
  #
  # A program decides by the reason. The status code says what kind of failure it is, and the message is for people.
  # +reason+ is empty where the error is not the gateway's own: the connection broke, or the caller's deadline passed.
  # +retry_after+ is in seconds, nil where the gateway did not say. +fields+ are those of the request that are wrong.
  Failure = Struct.new(:code, :message, :reason, :metadata, :retry_after, :fields, keyword_init: true) do
    # What a GRPC::BadStatus says.
    def self.of(error)
      status = error.to_rpc_status
      return self.in(status) if status

      new(code: error.code, message: error.details, reason: '', metadata: {}, fields: {})
    end

    # What the Google::Rpc::Status of one element of a batch or stream says.
    def self.in(status)
      failure = new(code: status.code, message: status.message, reason: '', metadata: {}, fields: {})
      status.details.each { |detail| failure.send(:read, detail) }
      failure
    end

    # Whether the very same call may succeed later. All calls of the gateway may be sent twice.
    def retryable?
      codes = [GRPC::Core::StatusCodes::UNAVAILABLE, GRPC::Core::StatusCodes::DEADLINE_EXCEEDED]
      !retry_after.nil? || codes.include?(code)
    end

    def to_s
      [code, reason, message].reject { |part| part.to_s.empty? }.join(' ')
    end

    private

    def read(detail)
      if (info = detail.unpack(Google::Rpc::ErrorInfo))
        # A proxy in between may answer with reasons of its own.
        self.reason, self.metadata = info.reason, info.metadata.to_h if info.domain == 'disgateway.v1'
      elsif (retry_info = detail.unpack(Google::Rpc::RetryInfo))
        self.retry_after = retry_info.retry_delay.to_f
      elsif (bad = detail.unpack(Google::Rpc::BadRequest))
        self.fields = bad.field_violations.to_h { |one| [one.field, one.description] }
      end
    end
  end
end
