# frozen_string_literal: true

require 'optparse'

# The options of the command line.
module Options
  DEFAULTS = { target: '127.0.0.1:50551', partition: '0', commit_every: 10, commit_seconds: 1.0, interval: 0.1 }.freeze

  # Says what is wrong with them, and ends with 2.
  def self.parse
    options = DEFAULTS.dup
    parser = define(options)
    rest = parser.parse!
    raise OptionParser::NeedlessArgument, rest.join(' ') unless rest.empty?
    missing = %i[stream app].select { options[_1].to_s.empty? }
    raise OptionParser::MissingArgument, missing.map { "--#{_1}" }.join(', ') unless missing.empty?

    options
  rescue OptionParser::ParseError => e
    warn "consumer: #{e.message}", parser
    exit 2
  end

  def self.define(options)
    OptionParser.new do |parser|
      parser.accept(:count, /\A[1-9]\d{0,8}\z/) { |text,| Integer(text, 10) }
      parser.accept(:seconds, /\A(?!0+(\.0+)?\z)\d{1,6}(\.\d+)?\z/) { |text,| Float(text) }
      parser.banner = 'consumer --stream NAME --app NAME'
      parser.on('--target TARGET', 'the gateway: host:port, or unix:///path') { options[:target] = _1 }
      parser.on('--stream NAME', 'name of the DIS stream') { options[:stream] = _1 }
      parser.on('--app NAME', 'name of the consuming DIS app') { options[:app] = _1 }
      parser.on('--partition ID', 'such as 0 or shardId-0000000000') { options[:partition] = _1 }
      parser.on('--commit-every N', :count, 'commit after so many records') { options[:commit_every] = _1 }
      parser.on('--commit-seconds SECONDS', :seconds, 'and so long after the first of them at the latest') do |seconds|
        options[:commit_seconds] = seconds
      end
      parser.on('--interval SECONDS', :seconds, 'time between two records') { options[:interval] = _1 }
      parser.on('--client-id ID', 'membership in a consumer group, sent with each commit') { options[:client_id] = _1 }
      parser.on('--generation-id ID', 'generation of that group') { options[:generation_id] = _1 }
    end
  end
  private_class_method :define
end
