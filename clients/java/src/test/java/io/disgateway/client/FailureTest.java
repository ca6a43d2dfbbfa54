package io.disgateway.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import com.google.gson.annotations.SerializedName;
import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class FailureTest {
  private record Case(
      String name,
      String code,
      String reason,
      @SerializedName("retry_delay_seconds") Long retryDelaySeconds,
      String field,
      boolean retryable,
      @SerializedName("outcome_unknown") boolean outcomeUnknown) {}

  private record Table(List<Case> cases) {}

  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  static List<Case> cases() throws IOException {
    return new Gson().fromJson(Files.readString(Path.of("../failures.json")), Table.class).cases();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void tableOfFailures(Case expected) {
    var code = Status.Code.valueOf(expected.code());
    var status = com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("why");
    var reason = Optional.ofNullable(expected.reason()).orElse("");
    if (!reason.isEmpty()) {
      status.addDetails(Any.pack(ErrorInfo.newBuilder().setDomain(Failure.DOMAIN).setReason(reason).build()));
    }
    if (expected.retryDelaySeconds() != null) {
      var delay = Duration.newBuilder().setSeconds(expected.retryDelaySeconds());
      status.addDetails(Any.pack(RetryInfo.newBuilder().setRetryDelay(delay).build()));
    }
    List<Failure.FieldViolation> violations = List.of();
    if (expected.field() != null) {
      var violation = BadRequest.FieldViolation.newBuilder().setField(expected.field()).setDescription("wrong");
      status.addDetails(Any.pack(BadRequest.newBuilder().addFieldViolations(violation).build()));
      violations = List.of(new Failure.FieldViolation(expected.field(), "wrong"));
    }
    for (var failure : List.of(
        Failure.from(status.build()), Failure.from(StatusProto.toStatusRuntimeException(status.build())))) {
      assertEquals(code, failure.code());
      assertEquals("why", failure.message());
      assertEquals(reason, failure.reason());
      assertEquals(
          Optional.ofNullable(expected.retryDelaySeconds()).map(java.time.Duration::ofSeconds), failure.retryDelay());
      assertEquals(violations, failure.fieldViolations());
      assertEquals(expected.retryable(), failure.retryable());
      assertEquals(expected.outcomeUnknown(), failure.outcomeUnknown());
    }
  }

  @Test
  void detailsThatCannotBeRead() {
    withoutDetails("no protobuf".getBytes());
    withoutDetails(new byte[0]);
  }

  @Test
  void detailsOfAnotherCode() {
    var other = com.google.rpc.Status.newBuilder().setCode(Status.Code.ABORTED.value());
    withoutDetails(other.addDetails(Any.pack(RetryInfo.getDefaultInstance())).build().toByteArray());
  }

  @Test
  void aDetailThatCannotBeRead() {
    var broken = Any.newBuilder()
        .setTypeUrl("type.googleapis.com/google.rpc.ErrorInfo")
        .setValue(ByteString.copyFromUtf8("no protobuf"));
    var status = com.google.rpc.Status.newBuilder()
        .setCode(Status.Code.UNAVAILABLE.value())
        .setMessage("why")
        .addDetails(Any.pack(RetryInfo.getDefaultInstance()))
        .addDetails(broken);
    withoutDetails(status.build().toByteArray());
  }

  @Test
  void reasonsOfOthers() {
    var info = ErrorInfo.newBuilder().setDomain("proxy.example").setReason("CONSUMER_FENCED").build();
    var status = com.google.rpc.Status.newBuilder().setCode(Status.Code.UNAVAILABLE.value()).addDetails(Any.pack(info));
    assertEquals("", Failure.from(status.build()).reason());
  }

  @Test
  void oneLine() {
    var info = ErrorInfo.newBuilder()
        .setDomain(Failure.DOMAIN)
        .setReason(Failure.CONSUMER_FENCED)
        .putMetadata("dis_request_id", "r1")
        .putMetadata("dis_error_code", "DIS.4702");
    var status = com.google.rpc.Status.newBuilder()
        .setCode(Status.Code.FAILED_PRECONDITION.value())
        .setMessage("two\nlines")
        .addDetails(Any.pack(info.build()));
    var failure = Failure.from(status.build());
    var line = "FAILED_PRECONDITION CONSUMER_FENCED: two lines (dis_error_code DIS.4702) (dis_request_id r1)";
    assertEquals(line, failure.toString());
    assertTrue(failure.explain().endsWith(line));
    assertFalse(failure.explain().equals(line));
  }

  private static void withoutDetails(byte[] details) {
    var trailers = new Metadata();
    trailers.put(DETAILS, details);
    var error = new StatusRuntimeException(Status.UNAVAILABLE.withDescription("why"), trailers);
    var failure = Failure.from(error);
    assertEquals("UNAVAILABLE: why", failure.toString());
    assertEquals(Optional.empty(), failure.retryDelay());
    assertTrue(failure.outcomeUnknown());
  }
}
