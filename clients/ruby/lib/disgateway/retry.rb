# frozen_string_literal: true

require_relative 'failure'

# Sends a call again until it succeeds, is refused, or has taken too long.
module DisGateway
  # That the program is to end.
  class Stop
    # When it was requested; nil: it was not.
    attr_reader :requested_at

    def initialize
      @reader, @writer = IO.pipe
    end

    # Request it upon these signals.
    def trap(*signals)
      signals.each { |signal| Signal.trap(signal) { request } }
      self
    end

    # The handler of a signal may call this.
    def request
      @requested_at ||= Process.clock_gettime(Process::CLOCK_MONOTONIC)
      @writer.write_nonblock('.', exception: false)
    end

    def requested?
      !requested_at.nil?
    end

    # Wait so many seconds, or until it is requested; whether it is.
    def wait(seconds = nil)
      !IO.select([@reader], nil, nil, seconds && [seconds, 0].max).nil?
    end
  end

  # A stop has ended the operation.
  class Stopped < StandardError; end

  # The operation has failed, and was not, or is not to be, tried again.
  class RetryError < StandardError
    # How the last call failed.
    attr_reader :failure

    def initialize(failure, outcome_unknown:, commit:)
      @failure = failure
      @outcome_unknown = outcome_unknown
      stored = outcome_unknown ? 'it may be committed' : 'it is not committed'
      super(commit ? "#{failure}; #{stored}" : failure.to_s)
    end

    # Whether any of its calls may have been carried out.
    def outcome_unknown?
      @outcome_unknown
    end
  end

  # Yields the options of a call until that succeeds, for at most 20 seconds, and returns its answer:
  #
  #   DisGateway.retry { |options| gateway.get_checkpoint(request, **options) }
  #
  # The options are a deadline, and that an operation is returned, which is executed here and can be cancelled. A call
  # whose outcome is unknown is sent again as it is: that is safe, but for a delete or a commit with +allow_rewind+
  # while others commit the same key.
  #
  # +commit+: it is a commit, so +stop+ does not end it, but leaves it at most 10 seconds; and the error says whether it
  # may be stored. Otherwise +stop+ ends it at once, a call under way included. +on_retry+ is called with the Failure
  # before each wait.
  #
  # Raises RetryError, or Stopped.
  def self.retry(commit: false, stop: nil, on_retry: nil, clock: nil, &call)
    Retry.new(commit, stop, on_retry, clock || Retry::SystemClock.new).run(&call)
  end

  # One operation.
  class Retry
    OPERATION = 20 # seconds, all of its calls included; less than the 30 that Kubernetes leaves
    AFTER_STOP = 10
    CALL = 5
    FIRST_BACKOFF = 0.25
    LAST_BACKOFF = 2

    # Seconds that never go back.
    class SystemClock
      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end

      # Ends early upon +stop+.
      def sleep(seconds, stop)
        stop ? stop.wait(seconds) : Kernel.sleep(seconds)
      end
    end

    def initialize(commit, stop, on_retry, clock)
      @commit = commit
      @stop = stop
      @on_retry = on_retry
      @clock = clock
      @began = clock.now
      @deadline = @began + OPERATION
      @backoff = FIRST_BACKOFF
      @outcome_unknown = false
    end

    def run
      loop do
        heed_stop
        return execute(yield(deadline: Time.now + [CALL, @deadline - @clock.now].min, return_op: true))
      rescue GRPC::BadStatus => e
        heed_stop
        failure = Failure.from_error(e)
        @outcome_unknown ||= failure.outcome_unknown?
        wait_after(failure)
      end
    end

    private

    # Before the first call, and after all that takes time.
    def heed_stop
      return unless @stop&.requested?
      raise Stopped unless @commit

      @deadline = [@deadline, [@stop.requested_at, @began].max + AFTER_STOP].min
    end

    # A call of a commit has at most 5 seconds, so that a stop need not end it.
    def execute(operation)
      return operation.execute if @commit || @stop.nil?

      watch = Thread.new do
        @stop.wait
        operation.cancel
      end
      operation.execute
    ensure
      watch&.kill
    end

    def wait_after(failure)
      # A RetryInfo of 0 must not make it spin.
      delay = failure.retry_delay ? [failure.retry_delay, FIRST_BACKOFF].max : @backoff * rand(0.8..1.2)
      @backoff = [@backoff * 2, LAST_BACKOFF].min
      wake = @clock.now + delay
      give_up(failure) if !failure.retryable? || wake >= @deadline
      @on_retry&.call(failure)
      # A stop ends the sleep, as it may have brought the deadline before +wake+.
      while @clock.now < wake
        @clock.sleep(wake - @clock.now, @stop&.requested? ? nil : @stop)
        heed_stop
        give_up(failure) if wake >= @deadline
      end
    end

    def give_up(failure)
      raise RetryError.new(failure, outcome_unknown: @outcome_unknown, commit: @commit)
    end
  end
end
