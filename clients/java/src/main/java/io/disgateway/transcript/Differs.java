package io.disgateway.transcript;

/** What came back is not what the transcript says. */
final class Differs extends Exception {
  private static final long serialVersionUID = 1;

  Differs(String what) {
    super(what);
  }
}
