# frozen_string_literal: true

# Holds the conversation of TRANSCRIPT.md with a gateway whose DIS is the emulator: ruby -Ilib transcript/main.rb --help

require 'optparse'
require_relative 'conversation'

$stdout.sync = true
options = { target: '127.0.0.1:50551', emulator: 'http://127.0.0.1:9552' }
parser = OptionParser.new do |parser|
  parser.banner = "transcript --stream NAME --app NAME\nIt first resets the emulator: everything in it is forgotten."
  parser.on('--target TARGET', 'the gateway: host:port, or unix:///path (127.0.0.1:50551)')
  parser.on('--emulator URL', 'the emulator behind it (http://127.0.0.1:9552)')
  parser.on('--stream NAME', 'name of the DIS stream')
  parser.on('--app NAME', 'name of the DIS app')
end
begin
  parser.parse!(into: options)
  raise OptionParser::MissingArgument, '--stream and --app are mandatory' unless options[:stream] && options[:app]
rescue OptionParser::ParseError => e
  warn "transcript: #{e.message}", parser
  exit 2
end

emulator = EmulatorControl.new(options[:emulator])
emulator.prepare(options[:stream], options[:app])
conversation = Conversation.new(options[:target], emulator, options[:stream], options[:app])
Conversation::STEPS.each.with_index(1) do |(name, step), number|
  conversation.public_send(step)
  puts "ok #{number} #{name}"
rescue Expect::Mismatch, GRPC::BadStatus => e
  puts "FAILED #{number} #{name}: #{e.is_a?(GRPC::BadStatus) ? DisGateway::Failure.from_error(e) : e.message}"
  exit 1
end
