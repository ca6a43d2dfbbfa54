package io.disgateway.client;

/** Sequence numbers are strings of digits, to be compared as integers: {@code "9"} comes before {@code "10"}. */
public final class SequenceNumbers {
  private SequenceNumbers() {}

  /**
   * Reads the number of a checkpoint.
   *
   * @throws NumberFormatException it is none, which never means that there is no checkpoint
   */
  public static long parse(String digits) {
    try {
      if (digits.matches("[0-9]+")) { // parseLong takes a sign, too
        return Long.parseLong(digits);
      }
    } catch (NumberFormatException e) {
      // There are too many: see below.
    }
    throw new NumberFormatException("this is no sequence number: \"" + digits + '"');
  }
}
