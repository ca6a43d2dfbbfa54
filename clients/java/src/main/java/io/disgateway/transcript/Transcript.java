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
  private interface Saying {
    void hold() throws Exception;
  }

  private record Step(int id, String name, Saying saying) {}

  private Transcript() {}

  public static void main(String[] args) throws InterruptedException {
    var flags = new HashMap<String, String>();
    for (int i = 0; i + 1 < args.length; i += 2) {
      flags.put(args[i], args[i + 1]);
    }
    if (!flags.keySet().containsAll(List.of("--target", "--emulator", "--stream", "--app"))) {
      System.err.println("transcript: --target, --emulator, --stream and --app are mandatory");
      System.exit(2);
    }
    try (var talk = new Conversation(
        flags.get("--target"), new Emulator(flags.get("--emulator")), flags.get("--stream"), flags.get("--app"))) {
      boolean ok = steps(talk).stream().allMatch(Transcript::holds);
      System.exit(ok ? 0 : 1);
    } catch (Differs | IOException e) {
      System.err.println("transcript: the emulator cannot be prepared: " + e);
      System.exit(2);
    }
  }

  private static List<Step> steps(Conversation talk) {
    return List.of(
        new Step(1, "get nothing", talk::getNothing),
        new Step(2, "commit", talk::commitFirst),
        new Step(3, "read back by the other spelling", talk::readBack),
        new Step(4, "regression refused", talk::regression),
        new Step(5, "rewind", talk::rewind),
        new Step(6, "metadata with astral characters", talk::astralMetadata),
        new Step(7, "invalid field", talk::invalidField),
        new Step(8, "batch with one failing item", talk::batch),
        new Step(9, "stream of 1,000 commits", talk::stream),
        new Step(10, "watch sees a change", talk::watch),
        new Step(11, "list with lag", talk::list),
        new Step(12, "delete", talk::delete),
        new Step(13, "deadline passes", talk::deadline),
        new Step(14, "upstream outage", talk::outage),
        new Step(15, "lost answer", talk::lostAnswer),
        new Step(16, "fenced consumer", talk::fenced),
        new Step(17, "resume after reconnecting", talk::reconnect));
  }

  private static boolean holds(Step step) {
    String differs;
    try {
      step.saying().hold();
      System.out.println("ok " + step.id() + " " + step.name());
      return true;
    } catch (Differs e) {
      differs = e.getMessage();
    } catch (StatusRuntimeException e) {
      differs = "the call failed: " + Failure.of(e);
    } catch (Exception e) {
      differs = e.toString();
    }
    System.out.println("FAILED " + step.id() + " " + step.name() + ": " + differs);
    return false;
  }
}
