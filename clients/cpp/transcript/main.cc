// The transcript: one conversation with a gateway that has the emulator of DIS behind it. clients/TRANSCRIPT.md says
// what is said, and what must come back.

#include <exception>
#include <iostream>
#include <map>
#include <string>

#include "conversation.h"

namespace {

constexpr char kUsage[] =
    "transcript --target TARGET --emulator URL --stream NAME --app NAME\n"
    "It first resets the emulator: everything in it is forgotten.\n"
    "  --target    the gateway: host:port, or unix:///path\n"
    "  --emulator  the emulator behind it, such as http://127.0.0.1:9552\n";

struct Step {
  int id;
  const char* name;
  void (Conversation::*run)();
};

constexpr Step kSteps[] = {
    {1, "get nothing", &Conversation::GetNothing},
    {2, "commit", &Conversation::CommitFirst},
    {3, "read back by the other spelling", &Conversation::ReadBack},
    {4, "regression refused", &Conversation::Regression},
    {5, "rewind", &Conversation::Rewind},
    {6, "metadata with astral characters", &Conversation::AstralMetadata},
    {7, "invalid field", &Conversation::InvalidField},
    {8, "batch with one failing item", &Conversation::Batch},
    {9, "stream of 1,000 commits", &Conversation::Stream},
    {10, "watch sees a change", &Conversation::Watch},
    {11, "list with lag", &Conversation::List},
    {12, "delete", &Conversation::Delete},
    {13, "deadline passes", &Conversation::Deadline},
    {14, "upstream outage", &Conversation::Outage},
    {15, "lost answer", &Conversation::LostAnswer},
    {16, "fenced consumer", &Conversation::Fenced},
    {17, "resume after reconnecting", &Conversation::Reconnect},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && argv[1] == std::string("--help")) {
    std::cout << kUsage;
    return 0;
  }
  std::map<std::string, std::string> flags;
  for (int i = 1; i + 1 < argc; i += 2) {
    flags[argv[i]] = argv[i + 1];
  }
  for (const char* flag : {"--target", "--emulator", "--stream", "--app"}) {
    if (flags.count(flag) == 0) {
      std::cerr << "transcript: " << flag << " is mandatory\n" << kUsage;
      return 2;
    }
  }
  try {
    Conversation client(flags["--target"], Emulator(flags["--emulator"]), flags["--stream"], flags["--app"]);
    for (const Step& step : kSteps) {
      try {
        (client.*step.run)();
      } catch (const std::exception& mismatch) {
        std::cout << "FAILED " << step.id << " " << step.name << ": " << mismatch.what() << std::endl;
        return 1;
      }
      std::cout << "ok " << step.id << " " << step.name << std::endl;
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "transcript: " << error.what() << std::endl;
    return 2;
  }
}
