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
 * @param retryAfter how long to wait before the same call again, where the gateway said so
 * @param fields the fields of the request that are wrong, such as {@code key.partition_id}
 */
public record Failure(
    Status.Code code,
    String message,
    String reason,
    Map<String, String> metadata,
    Optional<Duration> retryAfter,
    List<String> fields) {

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

  /** What the error of a call says. */
  public static Failure of(StatusRuntimeException error) {
    return of(StatusProto.fromThrowable(error));
  }

  /** What the status of one element of a batch or a stream says. */
  public static Failure of(com.google.rpc.Status status) {
    var info = ErrorInfo.getDefaultInstance();
    Optional<Duration> retryAfter = Optional.empty();
    List<String> fields = List.of();
    try {
      for (Any detail : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          var candidate = detail.unpack(ErrorInfo.class);
          // Something in between may answer with reasons of its own.
          info = candidate.getDomain().equals(DOMAIN) ? candidate : info;
        } else if (detail.is(RetryInfo.class)) {
          var delay = detail.unpack(RetryInfo.class).getRetryDelay();
          retryAfter = Optional.of(Duration.ofSeconds(delay.getSeconds(), delay.getNanos()));
        } else if (detail.is(BadRequest.class)) {
          var violations = detail.unpack(BadRequest.class).getFieldViolationsList();
          fields = violations.stream().map(BadRequest.FieldViolation::getField).toList();
        }
      }
    } catch (InvalidProtocolBufferException e) {
      throw new IllegalArgumentException("the details of a status cannot be read", e);
    }
    var code = Status.fromCodeValue(status.getCode()).getCode();
    return new Failure(code, status.getMessage(), info.getReason(), info.getMetadataMap(), retryAfter, fields);
  }

  /**
   * Whether the very same call may succeed later. Every call of the gateway may be sent twice.
   *
   * <p>Without a reason the error is from gRPC or from something in between. Of a connection that broke or a gateway
   * that went away it may make any of these codes, and the outcome is not known.
   */
  public boolean retryable() {
    return retryAfter.isPresent() || switch (code) {
      case UNAVAILABLE, DEADLINE_EXCEEDED -> true;
      case CANCELLED, UNKNOWN, INTERNAL -> reason.isEmpty();
      default -> false;
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
    return line.toString();
  }
}
