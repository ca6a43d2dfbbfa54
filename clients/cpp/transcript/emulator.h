#pragma once

#include <string>
#include <utility>

// The control API of the emulator: what the tests of a consumer may do to DIS.
class Emulator {
 public:
  explicit Emulator(std::string url) : url_(std::move(url)) {}

  void Put(const std::string& path, const std::string& json) const;
  void Post(const std::string& path, const std::string& json) const;
  void Delete(const std::string& path) const;

 private:
  std::string url_;
};
