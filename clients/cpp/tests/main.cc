#include <exception>
#include <iostream>

#include "check.h"

int main() try {
  TestFailure();
  TestRetry();
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
