#include "emulator.h"

#include <httplib.h>

#include "check.h"

namespace {

std::string Full(const std::string& path) { return "/_emulator/" + path; }

void MustBeWell(const std::string& path, const httplib::Result& result) {
  Holds("the emulator does not answer: " + httplib::to_string(result.error()), static_cast<bool>(result));
  Holds("the emulator answers " + path + " with " + std::to_string(result->status), result->status / 100 == 2);
}

}  // namespace

void Emulator::Put(const std::string& path, const std::string& json) const {
  MustBeWell(path, httplib::Client(url_).Put(Full(path), json, "application/json"));
}

void Emulator::Post(const std::string& path, const std::string& json) const {
  MustBeWell(path, httplib::Client(url_).Post(Full(path), json, "application/json"));
}

void Emulator::Delete(const std::string& path) const { MustBeWell(path, httplib::Client(url_).Delete(Full(path))); }
