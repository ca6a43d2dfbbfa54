package io.disgateway.transcript;

import io.disgateway.client.Failure;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;

/**
 * The transcript: one conversation with a gateway that has the emulator of DIS behind it. {@code clients/TRANSCRIPT.md}
 * says what is said, and what must come back.
 */
public final class Transcript {
  private interface Action {
    void run() throws Exception;
  }

  private record Step(int id, String name, Action action) {}

  private static final String USAGE = """
      transcript --target TARGET --emulator URL --stream NAME --app NAME
      It first resets the emulator: everything in it is forgotten.
        --target   the gateway: host:port, or unix:///path
        --emulator the emulator behind it, such as http://127.0.0.1:9552""";

  private Transcript() {}

  public static void main(String[] args) throws InterruptedException {
    if (List.of(args).contains("--help")) {
      System.out.println(USAGE);
      return;
    }
    var flags = new HashMap<String, String>();
    for (int i = 0; i + 1 < args.length; i += 2) {
      flags.put(args[i], args[i + 1]);
    }
    if (!flags.keySet().containsAll(List.of("--target", "--emulator", "--stream", "--app"))) {
      System.err.println("transcript: --target, --emulator, --stream and --app are mandatory\n" + USAGE);
      System.exit(2);
    }
    try (var client = new Conversation(
        flags.get("--target"), new Emulator(flags.get("--emulator")), flags.get("--stream"), flags.get("--app"))) {
      boolean ok = steps(client).stream().allMatch(Transcript::run);
      System.exit(ok ? 0 : 1);
    } catch (Mismatch | IOException e) {
      System.err.println("transcript: the emulator cannot be prepared: " + e);
      System.exit(2);
    }
  }

  private static List<Step> steps(Conversation client) {
    return List.of(
        new Step(1, "get nothing", client::getNothing),
        new Step(2, "commit", client::commitFirst),
        new Step(3, "read back by the other spelling", client::readBack),
        new Step(4, "regression refused", client::regression),
        new Step(5, "rewind", client::rewind),
        new Step(6, "metadata with astral characters", client::astralMetadata),
        new Step(7, "invalid field", client::invalidField),
        new Step(8, "batch with one failing item", client::batch),
        new Step(9, "stream of 1,000 commits", client::stream),
        new Step(10, "watch sees a change", client::watch),
        new Step(11, "list with lag", client::list),
        new Step(12, "delete", client::delete),
        new Step(13, "deadline passes", client::deadline),
        new Step(14, "upstream outage", client::outage),
        new Step(15, "lost answer", client::lostAnswer),
        new Step(16, "fenced consumer", client::fenced),
        new Step(17, "resume after reconnecting", client::reconnect));
  }

  private static boolean run(Step step) {
    String mismatch;
    try {
      step.action().run();
      System.out.println("ok " + step.id() + " " + step.name());
      return true;
    } catch (Mismatch e) {
      mismatch = e.getMessage();
    } catch (StatusRuntimeException e) {
      mismatch = "the call failed: " + Failure.from(e);
    } catch (Exception e) {
      mismatch = e.toString();
    }
    var line = mismatch.strip().replaceAll("\\s*\\R\\s*", " "); // the text of a message has many
    System.out.println("FAILED " + step.id() + " " + step.name() + ": " + line);
    return false;
  }
}
