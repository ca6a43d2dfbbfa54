#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "disgateway/v1/checkpoint.pb.h"

// What the command line says.
struct Flags {
  // Throws std::invalid_argument, which says what is wrong.
  static Flags Parse(int argc, char** argv);

  std::string target;
  disgateway::v1::CheckpointKey key;
  std::string client_id;
  std::string generation_id;
  std::uint32_t commit_every = 0;
  std::chrono::nanoseconds commit_after{};
  std::chrono::milliseconds interval{};
};
