#include "disgateway/channel.h"

#include "service_config.h"

namespace disgateway {

std::shared_ptr<grpc::Channel> Connect(const std::string& target, ServiceConfig config) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // the variable http_proxy is not for what is beside us
  arguments.SetMaxReceiveMessageSize(16 << 20);  // a thousand checkpoints with long metadata are above 4 MiB
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);  // in truth how long an attempt to connect may take
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);  // two minutes otherwise: a sidecar is back within seconds
  if (config == ServiceConfig::kRecommended) {
    arguments.SetServiceConfigJSON(kServiceConfig);
  } else {
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  }
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace disgateway
