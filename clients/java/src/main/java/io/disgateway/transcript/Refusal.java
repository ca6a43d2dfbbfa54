package io.disgateway.transcript;

import io.disgateway.client.Failure;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/** The failure that must come back; what it says nothing of is not looked at. */
final class Refusal {
  private final Status.Code code;
  private final String reason;
  private final Map<String, String> metadata = new HashMap<>();
  private Boolean retry;
  private List<String> fields;

  Refusal(Status.Code code, String reason) {
    this.code = code;
    this.reason = reason;
  }

  static Refusal invalid(String field) {
    return new Refusal(Status.Code.INVALID_ARGUMENT, "FIELD_INVALID").retry(false).fields(field);
  }

  Refusal with(String key, String value) {
    metadata.put(key, value);
    return this;
  }

  Refusal retry(boolean retry) {
    this.retry = retry;
    return this;
  }

  Refusal fields(String... fields) {
    this.fields = List.of(fields);
    return this;
  }

  /** Makes the call, which must fail so. */
  void of(Supplier<?> call) throws Differs {
    matches(failureOf(call));
  }

  /** Makes the call, which must fail. */
  static Failure failureOf(Supplier<?> call) throws Differs {
    try {
      call.get();
    } catch (StatusRuntimeException e) {
      return Failure.of(e);
    }
    throw new Differs("the call went well, and should fail");
  }

  void matches(Failure failure) throws Differs {
    Check.holds("code is " + failure.code() + ", not " + code + " (" + failure + ")", failure.code() == code);
    Check.same("reason", failure.reason(), reason);
    for (var entry : metadata.entrySet()) {
      Check.same("metadata " + entry.getKey(), failure.metadata().getOrDefault(entry.getKey(), ""), entry.getValue());
    }
    if (retry != null) {
      boolean delayed = failure.retryAfter().orElse(Duration.ZERO).compareTo(Duration.ZERO) > 0;
      Check.holds(
          retry ? "there is no RetryInfo with a delay" : "there is a RetryInfo",
          retry ? delayed : failure.retryAfter().isEmpty());
    }
    if (fields != null) {
      Check.same("fields", failure.fields(), fields);
    }
  }
}
