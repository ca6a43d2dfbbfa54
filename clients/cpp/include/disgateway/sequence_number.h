#pragma once

#include <charconv>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <system_error>

namespace disgateway {

// Reads the number of a checkpoint, to compare it as an integer: as text, "9" comes after "10". Throws
// std::invalid_argument for what is no number, which never means that there is no checkpoint.
inline std::int64_t ParseSequenceNumber(const std::string& digits) {
  std::int64_t number = 0;
  const char* const end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, number);
  if (error != std::errc() || rest != end || digits[0] == '-') {
    throw std::invalid_argument("this is no sequence number: \"" + digits + "\"");
  }
  return number;
}

}  // namespace disgateway
