#pragma once

#include <sstream>
#include <stdexcept>

// `assert` that a release build has, too.
#define CHECK(condition) Check((condition), #condition, __FILE__, __LINE__)

inline void Check(bool holds, const char* condition, const char* file, int line) {
  if (!holds) {
    std::ostringstream message;
    message << file << ":" << line << ": not so: " << condition;
    throw std::logic_error(message.str());
  }
}

void TestFailure();
void TestRetry();
