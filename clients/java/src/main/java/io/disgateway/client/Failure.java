package io.disgateway.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Everything that an error says.
 *
 * @param reason what to decide by; empty where the error is not from the gateway: the connection broke, or the caller's
 *     own deadline has passed
 * @param metadata has {@code dis_error_code}, {@code dis_request_id} and {@code http_status} where DIS has answered
 *     with an error
 * @param retryDelay how long to wait before the same call again, where the gateway said so
 * @param fieldViolations what is wrong with the request
 */
public record Failure(
    Status.Code code,
    String message,
    String reason,
    Map<String, String> metadata,
    Optional<Duration> retryDelay,
    List<FieldViolation> fieldViolations) {

  /** A field of the request that is wrong, such as {@code key.partition_id}, and why. */
  public record FieldViolation(String field, String description) {}

  /** The domain of the gateway's own reasons. */
  public static final String DOMAIN = "disgateway.v1";

  /** DIS has a higher number: {@code effective_sequence_number} in the metadata. */
  public static final String CHECKPOINT_REGRESSION = "CHECKPOINT_REGRESSION";

  /** Another consumer has taken over this partition. */
  public static final String CONSUMER_FENCED = "CONSUMER_FENCED";

  /** Rejoin the group before the next commit. */
  public static final String CONSUMER_GROUP_REBALANCING = "CONSUMER_GROUP_REBALANCING";

  /** The commit may be stored or not. Committing the same number again is safe. */
  public static final String COMMIT_OUTCOME_UNKNOWN = "COMMIT_OUTCOME_UNKNOWN";

  /** The checkpoint may be gone or not. Deleting it again is safe. */
  public static final String DELETE_OUTCOME_UNKNOWN = "DELETE_OUTCOME_UNKNOWN";

  /** The call had too little time left: nothing was sent. */
  public static final String DEADLINE_TOO_SHORT = "DEADLINE_TOO_SHORT";

  /** What the error of a call says. */
  public static Failure from(StatusRuntimeException error) {
    try {
      return from(StatusProto.fromThrowable(error));
    } catch (IllegalArgumentException e) { // the details are no Status, or that of another code
      var status = error.getStatus();
      return withoutDetails(status.getCode(), Optional.ofNullable(status.getDescription()).orElse(""));
    }
  }

  /** What the status of one element of a batch or a stream says. */
  public static Failure from(com.google.rpc.Status status) {
    var code = Status.fromCodeValue(status.getCode()).getCode();
    var info = ErrorInfo.getDefaultInstance();
    Optional<Duration> retryDelay = Optional.empty();
    List<FieldViolation> fieldViolations = List.of();
    try {
      for (Any detail : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          var candidate = detail.unpack(ErrorInfo.class);
          // Something in between may answer with reasons of its own.
          info = candidate.getDomain().equals(DOMAIN) ? candidate : info;
        } else if (detail.is(RetryInfo.class)) {
          var delay = detail.unpack(RetryInfo.class).getRetryDelay();
          retryDelay = Optional.of(Duration.ofSeconds(delay.getSeconds(), delay.getNanos()));
        } else if (detail.is(BadRequest.class)) {
          fieldViolations = detail.unpack(BadRequest.class).getFieldViolationsList().stream()
              .map(violation -> new FieldViolation(violation.getField(), violation.getDescription()))
              .toList();
        }
      }
    } catch (InvalidProtocolBufferException | ArithmeticException e) { // what cannot be read is worth nothing
      return withoutDetails(code, status.getMessage());
    }
    return new Failure(
        code, status.getMessage(), info.getReason(), info.getMetadataMap(), retryDelay, fieldViolations);
  }

  private static Failure withoutDetails(Status.Code code, String message) {
    return new Failure(code, message, "", Map.of(), Optional.empty(), List.of());
  }

  /**
   * Whether the very same call may succeed later. Every call of the gateway may be sent twice.
   *
   * <p>Without a reason the error is from gRPC or from something in between, which may make any of these codes of a
   * connection that broke. A caller that cancelled the call itself gets such a CANCELLED, too: it knows better.
   */
  public boolean retryable() {
    return retryDelay.isPresent() || switch (reason) {
      case COMMIT_OUTCOME_UNKNOWN, DELETE_OUTCOME_UNKNOWN, DEADLINE_TOO_SHORT -> true;
      case "" -> switch (code) {
        case UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, UNKNOWN, INTERNAL -> true;
        default -> false;
      };
      default -> false;
    };
  }

  /** Whether a write may have been carried out all the same: the gateway says so, or the error is not from it. */
  public boolean outcomeUnknown() {
    return code != Status.Code.OK && switch (reason) {
      case "", COMMIT_OUTCOME_UNKNOWN, DELETE_OUTCOME_UNKNOWN -> true;
      default -> false;
    };
  }

  /** The line for a log, after what it means to a consumer where that is more than a failed call. */
  public String explain() {
    return switch (reason) {
      case CHECKPOINT_REGRESSION -> "another consumer has committed a higher number: " + this;
      case CONSUMER_FENCED -> "another consumer has taken over this partition: " + this;
      case CONSUMER_GROUP_REBALANCING -> "the consumer group is rebalancing: " + this;
      default -> toString();
    };
  }

  /** One line for a log. */
  @Override
  public String toString() {
    var line = new StringBuilder(code.toString());
    if (!reason.isEmpty()) {
      line.append(' ').append(reason);
    }
    line.append(": ").append(message);
    for (var key : List.of("dis_error_code", "dis_request_id")) {
      if (metadata.containsKey(key)) {
        line.append(" (").append(key).append(' ').append(metadata.get(key)).append(')');
      }
    }
    return line.toString().replaceAll("\\R", " ");
  }
}
