package io.disgateway.transcript;

/** What came back is not what the transcript says. */
final class Mismatch extends Exception {
  private static final long serialVersionUID = 1;

  Mismatch(String what) {
    super(what);
  }
}
