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
  void of(Supplier<?> call) throws Mismatch {
    matches(failureOf(call));
  }

  /** Makes the call, which must fail. */
  static Failure failureOf(Supplier<?> call) throws Mismatch {
    try {
      call.get();
    } catch (StatusRuntimeException e) {
      return Failure.from(e);
    }
    throw new Mismatch("the call went well, and should fail");
  }

  void matches(Failure failure) throws Mismatch {
    Check.require("code is " + failure.code() + ", not " + code + " (" + failure + ")", failure.code() == code);
    Check.expectEqual("reason", failure.reason(), reason);
    for (var entry : metadata.entrySet()) {
      var got = failure.metadata().getOrDefault(entry.getKey(), "");
      Check.expectEqual("metadata " + entry.getKey(), got, entry.getValue());
    }
    if (retry != null) {
      boolean delayed = failure.retryDelay().orElse(Duration.ZERO).compareTo(Duration.ZERO) > 0;
      Check.require(
          retry ? "there is no RetryInfo with a delay" : "there is a RetryInfo",
          retry ? delayed : failure.retryDelay().isEmpty());
    }
    if (fields != null) {
      var got = failure.fieldViolations().stream().map(Failure.FieldViolation::field).toList();
      Check.expectEqual("fields", got, fields);
    }
  }
}
