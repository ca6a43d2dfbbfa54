#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace disgateway {

enum class ServiceConfig {
  // The recommended one: a call waits for a gateway that is still starting, has ten seconds, and is sent again where
  // that helps.
  kRecommended,
  // None, and no retries: a call says what has happened to it.
  kNone,
};

// Opens a channel to `host:port` or `unix:///path`, without TLS: the gateway is in the same pod. It connects with the
// first call, and again by itself, within a second, when the gateway was away.
std::shared_ptr<grpc::Channel> Connect(const std::string& target,
                                       ServiceConfig config = ServiceConfig::kRecommended);

}  // namespace disgateway
