# frozen_string_literal: true

Gem::Specification.new do |spec|
  spec.name = 'disgateway'
  spec.version = '0.1.0'
  spec.summary = 'Client of the DIS Checkpoint Gateway: stubs, connection, errors and retries'
  spec.authors = ['The DIS Checkpoint Gateway authors']
  spec.license = 'Apache-2.0'
  spec.files = Dir['lib/**/*.{rb,json}']
  spec.required_ruby_version = '>= 3.1'
  spec.add_dependency 'google-protobuf', '~> 3.21'
  spec.add_dependency 'googleapis-common-protos-types', '~> 1.4'
  spec.add_dependency 'grpc', '~> 1.51'
end
