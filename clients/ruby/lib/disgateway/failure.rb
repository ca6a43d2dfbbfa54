# frozen_string_literal: true

require 'google/protobuf/well_known_types' # Any#unpack, Duration#to_f
require 'google/rpc/error_details_pb'
require 'google/rpc/status_pb'
require 'grpc'

# A program decides by the reason of an error. The status code says what kind of failure it is, and the message is for
# people.
module DisGateway
  # The ErrorInfo domain of the gateway's own reasons.
  DOMAIN = 'disgateway.v1'
  # DIS has a higher number: <tt>metadata[EFFECTIVE_SEQUENCE_NUMBER]</tt>.
  CHECKPOINT_REGRESSION = 'CHECKPOINT_REGRESSION'
  EFFECTIVE_SEQUENCE_NUMBER = 'effective_sequence_number'
  # Another consumer has taken over this partition.
  CONSUMER_FENCED = 'CONSUMER_FENCED'
  # Rejoin the consumer group before the next commit.
  CONSUMER_GROUP_REBALANCING = 'CONSUMER_GROUP_REBALANCING'
  # The commit may be stored or not. Committing the same number again is safe.
  COMMIT_OUTCOME_UNKNOWN = 'COMMIT_OUTCOME_UNKNOWN'
  # The checkpoint may be gone or not.
  DELETE_OUTCOME_UNKNOWN = 'DELETE_OUTCOME_UNKNOWN'

  # One field of the request that is wrong: its path, such as "key.partition_id", and what is wrong with it.
  FieldViolation = Struct.new(:field, :description)

  # What an error of the gateway says, read from the status details that each of them carries.
  class Failure
    CODE_NAMES = GRPC::Core::StatusCodes.constants.to_h { |name| [GRPC::Core::StatusCodes.const_get(name), name.to_s] }
    OUTCOME_UNKNOWN = [COMMIT_OUTCOME_UNKNOWN, DELETE_OUTCOME_UNKNOWN].freeze
    RETRYABLE_REASONS = [*OUTCOME_UNKNOWN, 'DEADLINE_TOO_SHORT'].freeze
    # Without a reason these are from the library or something in between, and pass.
    RETRYABLE_CODES = %w[UNAVAILABLE DEADLINE_EXCEEDED CANCELLED UNKNOWN INTERNAL].freeze
    private_constant :CODE_NAMES, :OUTCOME_UNKNOWN, :RETRYABLE_REASONS, :RETRYABLE_CODES

    # +reason+ is empty where the error is not the gateway's own: the connection broke, or the caller's deadline passed.
    # +metadata+ has dis_error_code, dis_request_id and http_status where DIS has answered with an error. +retry_delay+
    # is in seconds, nil where the gateway did not say. +field_violations+ is an Array of FieldViolation.
    attr_reader :code, :message, :reason, :metadata, :retry_delay, :field_violations

    private_class_method :new

    # Reads a GRPC::BadStatus; details that cannot be read are left out. +cancelled_by_caller+: the program itself has
    # cancelled the call, so it is not to be sent again.
    def self.from_error(error, cancelled_by_caller: false)
      packed = error.metadata['grpc-status-details-bin']
      status = Google::Rpc::Status.decode(packed) if packed
      new(error.code, error.details, status, cancelled_by_caller)
    rescue Google::Protobuf::Error, ArgumentError, TypeError
      new(error.code, error.details, nil, cancelled_by_caller)
    end

    # Reads the Google::Rpc::Status of one element of a batch or stream.
    def self.from_status(status)
      new(status.code, status.message, status, false)
    end

    def initialize(code, message, status, cancelled_by_caller)
      @code = code
      @message = message.dup.force_encoding(Encoding::UTF_8).scrub
      @cancelled_by_caller = cancelled_by_caller
      without_details
      return unless status && status.code == code # else it belongs to another error

      status.details.each { |detail| read(detail) }
    rescue Google::Protobuf::Error
      without_details
    end

    # The name of the status code.
    def code_name
      CODE_NAMES.fetch(code) { "code #{code}" }
    end

    # Whether the very same call may succeed later.
    def retryable?
      return true if retry_delay || RETRYABLE_REASONS.include?(reason)

      reason.empty? && RETRYABLE_CODES.include?(code_name) && !@cancelled_by_caller
    end

    # Whether a write that failed so may be carried out all the same.
    def outcome_unknown?
      code != GRPC::Core::StatusCodes::OK && (reason.empty? || OUTCOME_UNKNOWN.include?(reason))
    end

    # One line for a log.
    def to_s
      dis = metadata.slice('dis_error_code', 'dis_request_id').map { |name, value| " (#{name} #{value})" }
      name = [code_name, reason].reject(&:empty?).join(' ')
      "#{name}: #{message}#{dis.join}".gsub(/\s+/, ' ')
    end

    private

    def without_details
      @reason = ''
      @metadata = {}
      @retry_delay = nil
      @field_violations = []
    end

    def read(detail)
      if (info = detail.unpack(Google::Rpc::ErrorInfo))
        # A proxy in between may answer with reasons of its own.
        @reason, @metadata = info.reason, info.metadata.to_h if info.domain == DOMAIN
      elsif (retry_info = detail.unpack(Google::Rpc::RetryInfo))
        @retry_delay = [retry_info.retry_delay.to_f, 0.0].max
      elsif (bad = detail.unpack(Google::Rpc::BadRequest))
        @field_violations = bad.field_violations.map { |one| FieldViolation.new(one.field, one.description) }
      end
    end
  end
end
