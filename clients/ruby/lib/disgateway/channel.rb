# frozen_string_literal: true

require_relative 'v1/checkpoint_services_pb'

# Connections to a gateway.
module DisGateway
  # Deadlines, retries of reads, and to wait for a gateway that is not there yet.
  SERVICE_CONFIG = File.read(File.join(__dir__, 'service-config.json'))

  CHANNEL_ARGS = {
    'grpc.service_config' => SERVICE_CONFIG,
    'grpc.enable_http_proxy' => 0, # http_proxy is not meant for a neighbour
    'grpc.max_receive_message_length' => 16 << 20, # a thousand checkpoints with long metadata are above 4 MiB
    'grpc.initial_reconnect_backoff_ms' => 100,
    'grpc.max_reconnect_backoff_ms' => 1000 # a sidecar is back within seconds
  }.freeze

  # A stub for +host:port+ or <tt>unix:///path</tt>, without TLS unless +credentials+ say otherwise. The connection is
  # made with the first call, and made again whenever it breaks. +channel_args+ go over CHANNEL_ARGS.
  def self.connect(target, credentials: :this_channel_is_insecure, channel_args: {})
    V1::CheckpointService::Stub.new(target, credentials, channel_args: CHANNEL_ARGS.merge(channel_args))
  end

  # The number that a checkpoint or a committed record has. ArgumentError for what is none: an empty one is not 0.
  def self.parse_sequence_number(text)
    raise ArgumentError, "#{text.inspect} is no sequence number" unless /\A[0-9]+\z/.match?(text)

    Integer(text, 10)
  end
end
