package io.disgateway.client;

/** A call has failed for good, or for longer than anybody waits. */
public final class RetryException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final transient Failure failure;
  private final boolean outcomeUnknown;

  RetryException(String message, Failure failure, boolean outcomeUnknown, Throwable cause) {
    super(message, cause);
    this.failure = failure;
    this.outcomeUnknown = outcomeUnknown;
  }

  /** How the last attempt has ended. */
  public Failure failure() {
    return failure;
  }

  /** Whether any of the attempts may have been carried out: then a commit may be stored. */
  public boolean outcomeUnknown() {
    return outcomeUnknown;
  }
}
