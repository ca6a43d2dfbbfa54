package io.disgateway.example;

import io.disgateway.v1.CheckpointKey;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;

/** What the command line says. */
record Flags(
    String target,
    CheckpointKey key,
    String clientId,
    String generationId,
    long commitEvery,
    Duration commitAfter,
    Duration interval) {

  /** Throws an IllegalArgumentException that says what is wrong. */
  static Flags parse(String... args) {
    var values = new HashMap<>(Map.of(
        "--target", "127.0.0.1:50551", "--stream", "", "--app", "", "--partition", "0", "--client-id", "",
        "--generation-id", "", "--commit-every", "10", "--commit-seconds", "1", "--interval-ms", "100"));
    for (int i = 0; i < args.length; i += 2) {
      require(values.containsKey(args[i]), "there is no flag " + args[i]);
      require(i + 1 < args.length, args[i] + " needs a value");
      values.put(args[i], args[i + 1]);
    }
    require(!values.get("--stream").isEmpty() && !values.get("--app").isEmpty(), "--stream and --app are mandatory");
    var key = CheckpointKey.newBuilder()
        .setStreamName(values.get("--stream"))
        .setAppName(values.get("--app"))
        .setPartitionId(values.get("--partition"));
    return new Flags(
        values.get("--target"),
        key.build(),
        values.get("--client-id"),
        values.get("--generation-id"),
        (long) number(values, "--commit-every", "[0-9]{1,9}"),
        Duration.ofNanos((long) (number(values, "--commit-seconds", "[0-9]{1,6}([.][0-9]{1,9})?") * 1e9)),
        Duration.ofMillis((long) number(values, "--interval-ms", "[0-9]{1,9}")));
  }

  private static double number(Map<String, String> values, String flag, String pattern) {
    var text = values.get(flag);
    require(text.matches(pattern) && Double.parseDouble(text) > 0, flag + " is no number above 0: " + text);
    return Double.parseDouble(text);
  }

  private static void require(boolean isSo, String complaint) {
    if (!isSo) {
      throw new IllegalArgumentException(complaint);
    }
  }
}
