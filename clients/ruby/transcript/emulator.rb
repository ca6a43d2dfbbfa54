# frozen_string_literal: true

require 'json'
require 'net/http'

# The control API of the emulator.
class EmulatorControl
  def initialize(url)
    @url = URI(url)
  end

  # Raises Net::HTTPExceptions if the emulator does not take it.
  def call(method, path, body = nil)
    request = Net::HTTPGenericRequest.new(method, !body.nil?, true, "/_emulator/#{path}")
    request.body = JSON.generate(body) if body
    request['Content-Length'] = '0' unless body
    Net::HTTP.start(@url.host, @url.port, read_timeout: 10) { |http| http.request(request) }.value
  end

  # Forgets everything, and makes what the conversation is about.
  def prepare(stream, app)
    call('POST', 'reset')
    call('PUT', "streams/#{stream}", { partitions: 4 })
    call('PUT', "apps/#{app}")
  end

  # Lets the next calls to DIS go wrong; +times+ 0: until it is cleared.
  def fault(**fault)
    call('POST', 'faults', fault)
  end

  def clear
    call('DELETE', 'faults')
  end
end
