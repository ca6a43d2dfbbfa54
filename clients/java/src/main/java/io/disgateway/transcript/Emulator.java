package io.disgateway.transcript;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** The control API of the emulator: what the tests of a consumer may do to DIS. */
record Emulator(String url, HttpClient http) {
  Emulator(String url) {
    this(url, HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build());
  }

  void put(String path, String json) throws Mismatch, IOException, InterruptedException {
    send("PUT", path, json);
  }

  void post(String path, String json) throws Mismatch, IOException, InterruptedException {
    send("POST", path, json);
  }

  void delete(String path) throws Mismatch, IOException, InterruptedException {
    send("DELETE", path, "");
  }

  private void send(String method, String path, String json) throws Mismatch, IOException, InterruptedException {
    var request = HttpRequest.newBuilder(URI.create(url + "/_emulator/" + path))
        .method(method, BodyPublishers.ofString(json))
        .build();
    int status = http.send(request, BodyHandlers.discarding()).statusCode();
    Check.require("the emulator answers " + method + " " + path + " with " + status, status / 100 == 2);
  }
}
