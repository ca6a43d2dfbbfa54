# frozen_string_literal: true

# Client of the DIS Checkpoint Gateway: stubs, connection, errors and retries.

require_relative 'disgateway/channel'
require_relative 'disgateway/failure'
require_relative 'disgateway/retry'
