#include "flags.h"

#include <charconv>
#include <map>
#include <stdexcept>
#include <system_error>

namespace {

constexpr double kLargest = 1e9;

template <typename Number>
Number AboveZero(const std::string& flag, const std::string& text) {
  Number number{};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest != end || !(number > 0 && number <= kLargest)) {
    throw std::invalid_argument(flag + " is no number above 0: " + text);
  }
  return number;
}

}  // namespace

Flags Flags::Parse(int argc, char** argv) {
  std::map<std::string, std::string> values{
      {"--target", "127.0.0.1:50551"}, {"--stream", ""}, {"--app", ""}, {"--partition", "0"}, {"--client-id", ""},
      {"--generation-id", ""}, {"--commit-every", "10"}, {"--commit-seconds", "1"}, {"--interval-ms", "100"}};
  for (int i = 1; i < argc; i += 2) {
    const auto value = values.find(argv[i]);
    if (value == values.end()) {
      throw std::invalid_argument(std::string("there is no flag ") + argv[i]);
    }
    if (i + 1 == argc) {
      throw std::invalid_argument(std::string(argv[i]) + " needs a value");
    }
    value->second = argv[i + 1];
  }
  if (values["--stream"].empty() || values["--app"].empty()) {
    throw std::invalid_argument("--stream and --app are mandatory");
  }
  Flags flags;
  flags.target = values["--target"];
  flags.key.set_stream_name(values["--stream"]);
  flags.key.set_app_name(values["--app"]);
  flags.key.set_partition_id(values["--partition"]);
  flags.client_id = values["--client-id"];
  flags.generation_id = values["--generation-id"];
  flags.commit_every = AboveZero<std::uint32_t>("--commit-every", values["--commit-every"]);
  const std::chrono::duration<double> commit_after(AboveZero<double>("--commit-seconds", values["--commit-seconds"]));
  flags.commit_after = std::chrono::duration_cast<std::chrono::nanoseconds>(commit_after);
  flags.interval = std::chrono::milliseconds(AboveZero<std::uint32_t>("--interval-ms", values["--interval-ms"]));
  return flags;
}
