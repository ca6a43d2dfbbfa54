#include "emulator.h"

#include <httplib.h>

#include "check.h"

namespace {

std::string Full(const std::string& path) { return "/_emulator/" + path; }

void ExpectOk(const std::string& path, const httplib::Result& result) {
  Require("the emulator does not answer: " + httplib::to_string(result.error()), static_cast<bool>(result));
  Require("the emulator answers " + path + " with " + std::to_string(result->status), result->status / 100 == 2);
}

}  // namespace

void Emulator::Put(const std::string& path, const std::string& json) const {
  ExpectOk(path, httplib::Client(url_).Put(Full(path), json, "application/json"));
}

void Emulator::Post(const std::string& path, const std::string& json) const {
  ExpectOk(path, httplib::Client(url_).Post(Full(path), json, "application/json"));
}

void Emulator::Delete(const std::string& path) const { ExpectOk(path, httplib::Client(url_).Delete(Full(path))); }
